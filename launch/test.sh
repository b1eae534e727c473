#!/usr/bin/env bash
# The environment with the test packages, lint, and the tests.
#
#   bash launch/test.sh [--slow] [pytest arguments]
#
#   VSFA_VENV   virtual environment; default .venv in the repository
#
# Without --slow the default set in two processes, at most ten minutes on two cores; with it the slow
# tests alone, one after the other, for some of them take most of a machine's memory.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

marker="not slow and not device"
processes=(--numprocesses=2 --dist=loadfile)
if [[ ${1:-} == --slow ]]; then
  marker="slow and not device"
  processes=()
  shift
fi
make_environment test

cd "$repository"
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m pytest -q -m "$marker" ${processes[@]+"${processes[@]}"} "$@"
