#!/usr/bin/env bash
# What every launcher starts on every host: training, then evaluation.
#
#   bash launch/job.sh [--stage=train|evaluate|all] --config=FILE --workdir=DIR [FLAG ...]
#
#   VSFA_PYTHON       interpreter; default that of .venv in the repository, else python3
#   VSFA_SECRETS      file of NAME=VALUE lines that go to the environment, if it exists
#   VSFA_FAULT_FILE   file to make when the exit status is 2
#
# SIGTERM and SIGINT go on to Python as SIGTERM, which lets the step end and saves. Exit status: 0
# when everything is done; 2 for a fault of the input, which no second start would mend; 143 when
# a signal stopped it, here or on another host, so that what started the job starts it again, and
# training goes on from its newest checkpoint; otherwise Python's own.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${VSFA_PYTHON:-$repository/.venv/bin/python}
[[ -n ${VSFA_PYTHON:-} || -x $python ]] || python=python3

stage=all flags=()
for flag in "$@"; do
  if [[ $flag == --stage=* ]]; then
    stage=${flag#*=}
  else
    flags+=("$flag")
  fi
done
case $stage in
  train) modules=(vsfa_jax.train) ;;
  evaluate) modules=(vsfa_jax.evaluate) ;;
  all) modules=(vsfa_jax.train vsfa_jax.evaluate) ;;
  *)
    echo "error: --stage: found ${stage@Q}, wanted train, evaluate or all" >&2
    exit 2
    ;;
esac

if [[ -f ${VSFA_SECRETS:-} ]]; then
  while IFS='=' read -r name value; do
    [[ ! $name =~ ^[A-Z_]+$ ]] || export "$name=$value"
  done <"$VSFA_SECRETS"
fi

child="" stopped=0
stop() {
  stopped=1
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}
trap stop TERM INT

for module in "${modules[@]}"; do
  ((!stopped)) || exit 143
  "$python" -m "$module" --distributed=on --stopped_status=143 "${flags[@]}" &
  child=$!
  ((!stopped)) || kill -TERM "$child" 2>/dev/null || true # a signal before its number was known
  status=0
  wait "$child" || status=$?
  while kill -0 "$child" 2>/dev/null; do # a signal ends `wait`, not the child
    status=0
    wait "$child" || status=$?
  done
  child=""
  if ((status == 2)); then
    [[ -z ${VSFA_FAULT_FILE:-} ]] || : >"$VSFA_FAULT_FILE"
    exit 2
  fi
  ((!stopped)) || exit 143
  ((status == 0)) || exit "$status"
done
