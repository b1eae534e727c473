#!/usr/bin/env bash
# From a fresh machine to a fine-tuned and evaluated model: no weights and no data to get.
#
#   bash launch/local.sh [--config.KEY=VALUE ...]
#
#   VSFA_VENV      virtual environment; default .venv in the repository
#   VSFA_WORKDIR   folder of the run; default runs/tiny in the repository
#
# A second call reuses the environment, and goes on with the run where it stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

workdir=${VSFA_WORKDIR:-$repository/runs/tiny}
[[ $workdir == /* ]] || workdir=$PWD/$workdir
make_environment run

cd "$repository"
trap 'exit 130' INT TERM # training saves and ends; half a run is not evaluated
"$python" -m vsfa_jax.train --config=configs/tiny.py --workdir="$workdir" "$@"
"$python" -m vsfa_jax.evaluate --config=configs/tiny.py --workdir="$workdir" "$@"
