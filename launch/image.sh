#!/usr/bin/env bash
# The container image of launch/xpk.sh and launch/jobset.sh: this tree's HEAD and its packages.
#
#   bash launch/image.sh --image=REGISTRY/NAME:TAG [--extra=tpu|cuda] [--dry_run]
#
# Builds and pushes it with docker.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
image="" extra=tpu
read_flags "image extra" "$@"
check_image "$image"
[[ $extra == tpu || $extra == cuda ]] || fail "--extra: found ${extra@Q}, wanted tpu or cuda"
need_tool docker "https://docs.docker.com/engine/install"

build=(docker build --file=launch/Dockerfile --build-arg="EXTRA=$extra" --tag="$image" -)
if ((dry_run)); then
  echo "$(quote git -C "$root" archive HEAD) | $(quote "${build[@]}")"
else
  warn_of_uncommitted "$root"
  git -C "$root" archive HEAD | "${build[@]}"
fi
give docker push "$image"
