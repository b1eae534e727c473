#!/usr/bin/env bash
# A job on a GKE cluster through xpk.
#
#   bash launch/xpk.sh create WHERE TPU [--spot|--reservation=NAME]    a cluster with such slices
#   bash launch/xpk.sh run    WHERE TPU --name=NAME --image=IMAGE JOB  starts the job
#   bash launch/xpk.sh list   WHERE                                    the jobs and how they are
#   bash launch/xpk.sh fetch  JOB --to=FOLDER                          copies the workdir here
#   bash launch/xpk.sh delete WHERE --name=NAME                        the job, not the cluster
#
# WHERE  --cluster=CLUSTER --project=PROJECT --zone=ZONE; the latter two by default the
#        environment's CLOUDSDK_CORE_PROJECT and CLOUDSDK_COMPUTE_ZONE
# TPU    --tpu_type=TYPE, as v6e-16, [--slices=N]
# JOB    --config=FILE --workdir=gs://BUCKET/FOLDER [--config.KEY=VALUE ...]
#        [--stage=train|evaluate|all]
#
#   --max_restarts=N  starts of the whole job after a process has died or was preempted; default 10
#   --grace_s=N       seconds from SIGTERM to SIGKILL; default 120
#   --dry_run         prints every command and gives none
#
# IMAGE is one of launch/image.sh. HF_TOKEN and WANDB_API_KEY, where set, are given to xpk by name;
# it takes the values from the environment and writes them into the job's description, where whoever
# may read the cluster's jobs can read them. launch/jobset.sh keeps them in a Secret.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

cluster="" tpu_type="" slices=1 spot="" reservation="" name="" image="" max_restarts=10 grace_s=120
to=""
project=${CLOUDSDK_CORE_PROJECT:-} zone=${CLOUDSDK_COMPUTE_ZONE:-}
command=${1:-}
[[ $# == 0 ]] || shift
check_command "$command" "create run list fetch delete"
read_flags "cluster project zone tpu_type slices spot reservation name image max_restarts grace_s
  to" "$@"

if [[ $command == fetch ]]; then
  check_job
  [[ -n $to ]] || fail "--to: not given; wanted a folder to copy to"
  fetch_from_storage "$(job_flag workdir)" "$to"
  exit
fi

[[ -n $cluster ]] || fail "--cluster: not given"
check_place
where=(--cluster="$cluster" --project="$project" --zone="$zone")
need_tool xpk "pip install xpk"
scratch=/tmp/vsfa_jax_scratch # as a dry run shows it
case $command in
  create | run)
    [[ -n $tpu_type ]] || fail "--tpu_type: not given; one is v6e-16"
    check_number slices "$slices" 1
    ;;
esac
case $command in
  run | delete) check_name "$name" ;;
esac

create() {
  local capacity=(--on-demand)
  [[ -z $spot || -z $reservation ]] || fail "--spot and --reservation exclude each other"
  [[ -z $spot ]] || capacity=(--spot)
  [[ -z $reservation ]] || capacity=(--reservation="$reservation")
  give xpk cluster create "${where[@]}" --tpu-type="$tpu_type" --num-slices="$slices" \
    "${capacity[@]}"
}

run() {
  local environment=() given start
  check_job
  check_image "$image"
  check_number max_restarts "$max_restarts" 0
  check_number grace_s "$grace_s" 1
  given=$(given_secrets)
  if [[ -n $given ]]; then
    remark "with the names ${given//$'\n'/ } in it:"
    if ((!dry_run)); then
      scratch=$(mktemp)
      trap 'rm -f "$scratch"' EXIT
      echo "$given" >"$scratch"
    fi
    environment=(--env-file="$scratch")
  fi
  start="exec bash launch/job.sh $(quote "${job[@]}")"
  # shellcheck disable=SC2016 # Kubernetes would put a variable of that name there
  start=${start//'$('/'$$('}
  # xpk starts a job again after the exit statuses 42 and 127 to 255, and after those named here
  give xpk workload create "${where[@]}" --workload="$name" --tpu-type="$tpu_type" \
    --num-slices="$slices" --docker-image="$image" --max-restarts="$max_restarts" \
    --restart-on-exit-codes=1 --termination-grace-period-seconds="$grace_s" \
    "${environment[@]}" --command="$start"
}

case $command in
  create | run) "$command" ;;
  list) give xpk workload list "${where[@]}" ;;
  delete) give xpk workload delete "${where[@]}" --workload="$name" --force ;;
esac
