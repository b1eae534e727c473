#!/usr/bin/env bash
# A job on Cloud TPU VMs, through a queued resource, spot or reserved.
#
#   bash launch/tpu_vm.sh create  WHERE TPU        asks for it; no fault where it exists
#   bash launch/tpu_vm.sh install WHERE            this tree's HEAD and its packages, on all workers
#   bash launch/tpu_vm.sh run     WHERE TPU JOB    starts the job, again whenever it is preempted
#   bash launch/tpu_vm.sh log     WHERE            what the job has said so far, on all workers
#   bash launch/tpu_vm.sh stop    WHERE            lets the step end, saves, does not start again
#   bash launch/tpu_vm.sh fetch   WHERE JOB --to=FOLDER    copies the workdir here
#   bash launch/tpu_vm.sh delete  WHERE            the queued resource and its VMs
#   bash launch/tpu_vm.sh all     WHERE TPU JOB    create, install, run, delete
#
# WHERE  --name=NAME --project=PROJECT --zone=ZONE; the latter two by default the environment's
#        CLOUDSDK_CORE_PROJECT and CLOUDSDK_COMPUTE_ZONE
# TPU    --accelerator_type=TYPE --runtime_version=VERSION [--spot|--reserved] [--slices=N]
# JOB    --config=FILE --workdir=gs://BUCKET/FOLDER [--config.KEY=VALUE ...]
#        [--stage=train|evaluate|all]
#
#   --source=URL --revision=COMMIT  what to install instead of this tree's HEAD
#   --create_flag=--FLAG[=X]        one more flag of gcloud's `queued-resources create`
#   --ssh_flag=--FLAG[=X]           one more flag of its `ssh` and `scp`, as --tunnel-through-iap
#   --max_restarts=N                starts after a process has died; default 10. Those after a
#                                   preemption are not counted
#   --poll_s=N                      seconds between looks at the queued resource; default 30
#   --dry_run                       prints every command and gives none
#
# Interrupting `run` leaves the job running; a second `run` stops it at a checkpoint and goes on
# from there. HF_TOKEN and WANDB_API_KEY, where set, go to the workers in a file that only its owner
# can read. Exit status: 0; 2 for a fault of the input; 130 after `stop`; otherwise the job's own.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cloud.sh"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name="" accelerator_type="" runtime_version="" spot="" reserved="" slices=1 to=""
source="" revision="" create_flag=() ssh_flag=() max_restarts=10 poll_s=30
project=${CLOUDSDK_CORE_PROJECT:-} zone=${CLOUDSDK_COMPUTE_ZONE:-}
command=${1:-}
[[ $# == 0 ]] || shift
check_command "$command" "create install run log stop fetch delete all"
read_flags "name project zone accelerator_type runtime_version spot reserved slices source revision
  create_flag+ ssh_flag+ max_restarts poll_s to" "$@"

check_name "$name"
check_place
[[ ${source:+1} == "${revision:+1}" ]] || fail "--source and --revision belong together"
case $command in
  create | run | all)
    [[ -n $accelerator_type ]] || fail "--accelerator_type: not given; one is v5litepod-16"
    [[ -n $runtime_version ]] || fail "--runtime_version: not given; one is v2-alpha-tpuv5-lite"
    [[ -z $spot || -z $reserved ]] || fail "--spot and --reserved exclude each other"
    check_number slices "$slices" 1
    check_number max_restarts "$max_restarts" 0
    check_number poll_s "$poll_s" 0
    ;;
esac
case $command in
  run | fetch | all) check_job ;;
esac
[[ $command != fetch || -n $to ]] || fail "--to: not given; wanted a folder to copy to"
need_tool gcloud "the Google Cloud CLI"

queued=(gcloud compute tpus queued-resources)
where=(--project="$project" --zone="$zone")
everywhere=(--worker=all --node=all --batch-size=all "${ssh_flag[@]}")
scratch=/tmp/vsfa_jax_scratch # as a dry run shows it
if ((!dry_run)); then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
fi

# The state of the queued resource; ABSENT where there is none.
queue_state() {
  if ! "${queued[@]}" describe "$name" "${where[@]}" --format="value(state.state)" \
    2>"$scratch/errors"; then
    if grep -q NOT_FOUND "$scratch/errors"; then
      echo ABSENT
    else
      cat "$scratch/errors" >&2
      return 2
    fi
  fi
}

request() {
  local nodes=(--node-id="$name") capacity=()
  ((slices == 1)) || nodes=(--node-count="$slices" --node-prefix="$name")
  [[ -z $spot ]] || capacity=(--spot)
  [[ -z $reserved ]] || capacity=(--reserved)
  give "${queued[@]}" create "$name" "${where[@]}" "${nodes[@]}" \
    --accelerator-type="$accelerator_type" --runtime-version="$runtime_version" \
    "${capacity[@]}" "${create_flag[@]}"
}

remove() {
  give "${queued[@]}" delete "$name" "${where[@]}" --force --quiet
}

# What has to look first shows in a dry run how it looks.
show_look() { # WHAT
  remark "$1"
  give "${queued[@]}" describe "$name" "${where[@]}" --format="value(state.state)"
}

create() {
  local state=ABSENT
  if ((dry_run)); then
    show_look "where there is none, or a preempted or failed one, which is deleted first:"
  else
    state=$(queue_state) || exit 2
  fi
  case $state in
    ABSENT) request ;;
    SUSPENDED | FAILED) remove && request ;;
    *) echo "$name exists: $state" ;;
  esac
}

# Waits until the workers can be used; asks again for what has been preempted.
await() {
  local state shown=""
  if ((dry_run)); then
    show_look "every $poll_s s until it says ACTIVE; SUSPENDED: deleted and asked for again"
    return
  fi
  while :; do
    state=$(queue_state) || exit 2
    [[ $state == "$shown" ]] || echo "$name: $state" >&2
    shown=$state
    case $state in
      ACTIVE) return ;;
      CREATING | ACCEPTED | WAITING_FOR_RESOURCES | PROVISIONING | SUSPENDING | DELETING) ;;
      SUSPENDED) { remove && request; } || exit ;;
      ABSENT) request || exit ;;
      *) fail "$name: found state ${state:-of no name}, wanted ACTIVE in the end; to see why:" \
        "$(quote "${queued[@]}" describe "$name" "${where[@]}")" ;;
    esac
    sleep "$poll_s"
  done
}

# Gives a command on every worker of every slice at once; a worker that is gone is noticed.
on_workers() { # COMMAND
  give "${queued[@]}" ssh "$name" "${where[@]}" "${everywhere[@]}" \
    --ssh-flag=-oServerAliveInterval=30 --ssh-flag=-oConnectTimeout=20 --command="$1"
}

to_workers() { # FILE NAME
  give "${queued[@]}" scp "$1" "$name:$2" "${where[@]}" "${everywhere[@]}"
}

install() {
  local unpack="rm -rf vsfa_jax && mkdir vsfa_jax && tar -xzf vsfa_jax.tar.gz -C vsfa_jax"
  if [[ -n $source ]]; then
    unpack="rm -rf vsfa_jax && $(quote git clone --quiet "$source" vsfa_jax)"
    unpack+=" && $(quote git -C vsfa_jax checkout --quiet --detach "$revision")"
  else
    ((dry_run)) || warn_of_uncommitted "$root"
    give git -C "$root" archive --format=tar.gz --output="$scratch/vsfa_jax.tar.gz" HEAD &&
      to_workers "$scratch/vsfa_jax.tar.gz" vsfa_jax.tar.gz || return
  fi
  on_workers "$unpack && bash vsfa_jax/launch/worker.sh install"
}

send_secrets() {
  local secret given
  given=$(given_secrets)
  [[ -n $given ]] || return 0
  remark "with ${given//$'\n'/ } in it, readable by its owner alone:"
  if ((!dry_run)); then
    for secret in $given; do
      [[ ${!secret} != *$'\n'* ]] || fail "$secret: found a line break in it"
      printf '%s=%s\n' "$secret" "${!secret}"
    done >"$scratch/secrets" && chmod 600 "$scratch/secrets"
  fi
  to_workers "$scratch/secrets" .vsfa_jax_secrets
}

# Once through: whatever is still running is stopped on all workers before any starts again.
attempt() {
  local id=ID
  ((dry_run)) || id=$(date +%s)
  remark "where this fails, what \`install\` does comes next:"
  { on_workers "bash vsfa_jax/launch/worker.sh installed" || install; } &&
    send_secrets &&
    on_workers "bash vsfa_jax/launch/worker.sh stop" &&
    on_workers "bash vsfa_jax/launch/worker.sh run $id $(quote "${job[@]}")"
}

run() {
  local restarts=0 status state
  trap 'echo "interrupted; the job goes on: see log, run and stop" >&2; exit 130' INT TERM
  while :; do
    await
    status=0
    attempt || status=$?
    case $status in
      0 | 2 | 130) return "$status" ;;
    esac
    sleep "$poll_s" # for the queued resource to know of a preemption
    state=$(queue_state) || exit 2
    if [[ $state != ACTIVE ]]; then
      echo "preempted: $name is $state; starting again" >&2
    elif ((++restarts <= max_restarts)); then
      echo "the job ended with $status; start $restarts of $max_restarts after that" >&2
    else
      echo "error: the job ended with $status, after $max_restarts more starts" >&2
      return "$status"
    fi
  done
}

fetch() {
  local workdir
  workdir=$(job_flag workdir)
  if [[ $workdir == gs://* ]]; then
    fetch_from_storage "$workdir" "$to"
  else
    give mkdir -p "$to"
    give "${queued[@]}" scp "$name:$workdir" "$to" "${where[@]}" --worker=0 --node=0 --recurse \
      "${ssh_flag[@]}"
  fi
}

delete() {
  local state=ACTIVE
  if ((!dry_run)); then
    state=$(queue_state) || exit 2
  fi
  if [[ $state == ABSENT ]]; then
    echo "$name: there is none"
  else
    remove
  fi
}

case $command in
  create | install | run | fetch | delete) "$command" ;;
  log) on_workers "bash vsfa_jax/launch/worker.sh log" ;;
  stop) on_workers "bash vsfa_jax/launch/worker.sh stop --for_good" ;;
  all)
    create
    await
    install
    status=0
    run || status=$?
    delete
    exit "$status"
    ;;
esac
