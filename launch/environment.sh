# Sourced by local.sh, test.sh and worker.sh: makes the environment and keeps it up to date.
#
#   VSFA_VENV   where it lies; default .venv in the repository
#
# `make_environment run|test|tpu` sets $python. Packages are installed when setup.py or
# pyproject.toml are not those of the last installation; a stamp in the environment remembers.
#
# shellcheck shell=bash

# Large allocations in huge pages: on Linux the tiny model's training step is a fifth faster.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

# The test packages hold the TPU's compiler; without a TPU or a GPU jax would look for one, loudly.
if [[ -z ${JAX_PLATFORMS:-} && ! -e /dev/vfio && ! -e /dev/dxg && ! -e /dev/kfd ]] &&
  ! compgen -G '/dev/accel*' >/dev/null && ! compgen -G '/dev/nvidia[0-9]*' >/dev/null; then
  export JAX_PLATFORMS=cpu
fi

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${VSFA_VENV:-$repository/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
python=$venv/bin/python

find_python() {
  local name
  for name in python3.11 python3.12 python3 python; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' \
      >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  echo "error: no Python 3.11 or 3.12 with venv and ensurepip on PATH;" \
    "on Debian or Ubuntu: apt install python3.11-venv" >&2
  return 2
}

make_environment() {
  local kind=$1 extras="" stamp wanted found
  [[ $kind == run ]] || extras="[$kind]"
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    found=$(find_python) || exit 2
    echo "making $venv with $("$found" --version)"
    "$found" -m venv "$venv"
  fi
  wanted="$repository $(cat "$repository/setup.py" "$repository/pyproject.toml" | cksum)"
  for stamp in "$venv/.vsfa_jax_test" "$venv/.vsfa_jax_$kind"; do
    if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
      return
    fi
  done
  echo "installing vsfa_jax$extras into $venv"
  "$python" -m pip install --quiet --disable-pip-version-check --editable "$repository$extras"
  echo "$wanted" >"$venv/.vsfa_jax_$kind"
}
