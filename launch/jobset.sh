#!/usr/bin/env bash
# A job on any Kubernetes cluster with TPUs, JobSet and, if one likes, Kueue.
#
#   bash launch/jobset.sh run    --name=NAME --image=IMAGE --topology=TPU:TOPOLOGY JOB [FLAG ...]
#   bash launch/jobset.sh status --name=NAME       how it is
#   bash launch/jobset.sh log    --name=NAME       what its pods say, to their end
#   bash launch/jobset.sh fetch  JOB --to=FOLDER   copies the workdir here
#   bash launch/jobset.sh delete --name=NAME       the job and its secrets
#
# JOB   --config=FILE --workdir=gs://BUCKET/FOLDER [--config.KEY=VALUE ...]
#       [--stage=train|evaluate|all]
#
#   --topology=TPU:TOPOLOGY    as v6e:4x4, [--chips_per_host=1|4|8], [--slices=N]
#   --queue=NAME               Kueue's local queue
#   --spot, --reservation=NAME on which nodes
#   --service_account=NAME     Kubernetes service account that may read and write the workdir
#   --max_restarts=N           starts after a process has died; default 10. Those after a preemption
#                              are not counted
#   --grace_s=N                seconds from SIGTERM to SIGKILL; default 120
#   --context=NAME, --namespace=NAME   of kubectl
#   --dry_run                  prints the JobSet and every command, and gives none
#
# IMAGE is one of launch/image.sh. HF_TOKEN and WANDB_API_KEY, where set, go to kubectl's standard
# input as the Secret NAME. launch/render_jobset.py, which makes the JobSet, wants PyYAML.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${VSFA_PYTHON:-$root/.venv/bin/python}
[[ -n ${VSFA_PYTHON:-} || -x $python ]] || python=python3
# shellcheck disable=SC2034 # `run` hands most of them on by name
{
  name="" image="" topology="" chips_per_host="" slices="" queue="" spot="" reservation="" to=""
  service_account="" max_restarts="" grace_s="" context="" namespace=""
}
command=${1:-}
[[ $# == 0 ]] || shift
check_command "$command" "run status log fetch delete"
read_flags "name image topology chips_per_host slices queue spot reservation service_account
  max_restarts grace_s context namespace to" "$@"

if [[ $command == fetch ]]; then
  check_job
  [[ -n $to ]] || fail "--to: not given; wanted a folder to copy to"
  fetch_from_storage "$(job_flag workdir)" "$to"
  exit
fi

check_name "$name"
need_tool kubectl "https://kubernetes.io/docs/tasks/tools"
kubectl=(kubectl)
[[ -z $context ]] || kubectl+=(--context="$context")
[[ -z $namespace ]] || kubectl+=(--namespace="$namespace")

# A Secret of the secrets that are set; `data` takes base64, which no value breaks out of.
secret_manifest() {
  local secret
  printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\ntype: Opaque\ndata:\n' "$name"
  for secret in $(given_secrets); do
    printf '  %s: %s\n' "$secret" "$(printf %s "${!secret}" | base64 | tr -d '\n')"
  done
}

run() {
  local render=("$python" "$root/launch/render_jobset.py" --name="$name") flag given jobset
  local apply=("${kubectl[@]}" apply --server-side --filename=-)
  check_job
  check_image "$image"
  for flag in image topology chips_per_host slices queue reservation service_account max_restarts \
    grace_s; do
    [[ -z ${!flag} ]] || render+=("--$flag=${!flag}")
  done
  [[ -z $spot ]] || render+=(--spot)
  given=$(given_secrets)
  [[ -z $given ]] || render+=(--secret="$name")
  jobset=$("${render[@]}" -- "${job[@]}")
  if [[ -n $given ]]; then
    remark "a Secret $name of ${given//$'\n'/ } on its standard input:"
    if ((dry_run)); then quote "${apply[@]}"; else secret_manifest | "${apply[@]}"; fi
  fi
  if ((dry_run)); then
    echo "$(quote "${apply[@]}") <<'END'"
    printf '%s\nEND\n' "$jobset"
  else
    "${apply[@]}" <<<"$jobset"
  fi
}

delete() {
  give "${kubectl[@]}" delete jobset "$name" --ignore-not-found
  give "${kubectl[@]}" delete secret "$name" --ignore-not-found
}

case $command in
  run | delete) "$command" ;;
  status) give "${kubectl[@]}" get jobset "$name" --output=wide ;;
  log)
    give "${kubectl[@]}" logs --selector="jobset.sigs.k8s.io/jobset-name=$name" --prefix \
      --follow --tail=-1 --max-log-requests=1000
    ;;
esac
