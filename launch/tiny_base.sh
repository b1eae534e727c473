#!/usr/bin/env bash
# The embedded base model from random weights: it learns to see, then to find what it is asked for.
#
#   bash launch/tiny_base.sh coupled|uncoupled FOLDER
#
#   VSFA_VENV   virtual environment; default .venv in the repository
#
# FOLDER/base is the model: a directory that transformers' LlavaForConditionalGeneration loads. A
# second call goes on where the first one stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

world=${1:-} folder=${2:-}
if [[ $world != coupled && $world != uncoupled || -z $folder ]]; then
  echo "usage: bash launch/tiny_base.sh coupled|uncoupled FOLDER" >&2
  exit 2
fi
[[ $folder == /* ]] || folder=$PWD/$folder
make_environment run

cd "$repository"
trap 'exit 130' INT TERM # training saves and ends; half a part is not exported
part() { # NAME CONFIG [--config.KEY=VALUE ...]
  local name=$1 config=$2
  shift 2
  [[ -d $folder/$name ]] && return
  "$python" -m vsfa_jax.train --config="$config" --workdir="$folder/run_$name" \
    --config.data.path="tinyworld/$world" "$@"
  "$python" -m vsfa_jax.export --config="$config" --workdir="$folder/run_$name" \
    --out="$folder/$name" "$@"
}
part seeing configs/tiny_base.py
part base configs/tiny_base_questions.py --config.model.path="$folder/seeing"
echo "base: $folder/base"
