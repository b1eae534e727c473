#!/usr/bin/env bash
# The side of launch/tpu_vm.sh that runs on each TPU VM; nobody has to call it by hand.
#
#   bash launch/worker.sh install             an environment with the TPU's packages
#   bash launch/worker.sh installed           exit status 0 where that has been done
#   bash launch/worker.sh run ID [FLAG ...]   starts launch/job.sh, once for each ID; follows it
#   bash launch/worker.sh stop [--for_good]   SIGTERM, and SIGKILL if that does not end it
#   bash launch/worker.sh log                 what the job has said so far
#
#   VSFA_STATE     folder of its log and of what is running; default ~/.vsfa_jax
#   VSFA_VENV      virtual environment; default ~/vsfa_jax_venv, so that a new tree keeps it
#   VSFA_GRACE_S   seconds from SIGTERM to SIGKILL; default 120
#
# The job outlives the connection that started it, and gcloud gives a command again when its
# connection breaks: `run` with the ID of before follows what that one started, or tells how it
# ended. Its exit status is that of launch/job.sh, or 130 where the job was stopped for good.
set -euo pipefail

state=${VSFA_STATE:-$HOME/.vsfa_jax}
export VSFA_VENV=${VSFA_VENV:-$HOME/vsfa_jax_venv}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$state"

running() { # the supervisor lives, and is not another process with its number
  [[ -f $state/supervisor ]] && kill -0 "$(<"$state/supervisor")" 2>/dev/null &&
    grep -q worker.sh "/proc/$(<"$state/supervisor")/cmdline" 2>/dev/null
}

install() {
  source "$here/environment.sh"
  if ! "$python" -m pip --version >/dev/null 2>&1 && ! find_python >/dev/null 2>&1; then
    # images of TPU VMs have Python 3.10; uv brings one that fits
    python3 -m pip install --quiet --user uv
    python3 -m uv venv --quiet --seed --python 3.11 "$venv"
  fi
  make_environment tpu
  touch "$state/installed"
}

# Runs the job as its own session; leaves its exit status in a file.
supervise() { # FLAG ...
  local status=0 job
  export VSFA_PYTHON=${VSFA_PYTHON:-$VSFA_VENV/bin/python} VSFA_SECRETS=$HOME/.vsfa_jax_secrets
  cd "$here/.."
  bash "$here/job.sh" "$@" &
  job=$!
  echo "$job" >"$state/job"
  wait "$job" || status=$?
  echo "$status" >"$state/status.new"
  mv "$state/status.new" "$state/status"
}

run() { # ID FLAG ...
  local id=$1 shown supervisor status=137 # where the supervisor itself was killed
  shift
  touch "$state/log" "$state/id"
  shown=$(wc -c <"$state/log")
  if [[ $(<"$state/id") != "$id" ]]; then
    if running; then
      echo "error: a job is running already; wanted \`stop\` before" >&2
      exit 1
    fi
    [[ ! -f $HOME/.vsfa_jax_secrets ]] || chmod 600 "$HOME/.vsfa_jax_secrets"
    rm -f "$state/status" "$state/stopped" "$state/job"
    setsid bash "$here/worker.sh" supervise "$@" >>"$state/log" 2>&1 </dev/null &
    echo $! >"$state/supervisor"
    echo "$id" >"$state/id"
  fi
  supervisor=$(<"$state/supervisor")
  tail --follow --bytes="+$((shown + 1))" --sleep-interval=0.2 --pid="$supervisor" "$state/log" |
    sed --unbuffered "s/^/${HOSTNAME%%.*}: /"
  [[ ! -f $state/stopped ]] || exit 130
  [[ ! -f $state/status ]] || status=$(<"$state/status")
  exit "$status"
}

stop() { # [--for_good]
  local sent=0 waited
  [[ ${1:-} != --for_good ]] || touch "$state/stopped"
  for ((waited = 0; waited < ${VSFA_GRACE_S:-120} * 5; waited++)); do
    running || return 0
    if ((!sent)) && [[ -f $state/job ]]; then # its number comes just after the supervisor's
      kill -TERM "$(<"$state/job")" 2>/dev/null || true
      sent=1
    fi
    sleep 0.2
  done
  echo "no end within ${VSFA_GRACE_S:-120} s of SIGTERM: SIGKILL" >&2
  kill -KILL -- "-$(<"$state/supervisor")" 2>/dev/null || true
}

command=${1:-}
[[ $# == 0 ]] || shift
case $command in
  install | run | stop | supervise) "$command" "$@" ;;
  installed) [[ -f $state/installed ]] ;;
  log) cat "$state/log" ;;
  *)
    echo "error: found ${command@Q}, wanted install, installed, run, stop or log" >&2
    exit 2
    ;;
esac
