#!/usr/bin/env bash
# A job on GPUs under Slurm; a script for sbatch, from the repository's root.
#
#   sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 launch/slurm.sh JOB [FLAG ...]
#   squeue --me                        how it is; vsfa_jax-<number>.log has what it says
#   scancel <number>                   ends it
#   bash launch/slurm.sh --dry_run JOB [FLAG ...]     prints every command and gives none
#
# JOB   --config=FILE --workdir=FOLDER [--config.KEY=VALUE ...] [--stage=train|evaluate|all], the
#       folder on a file system that every node sees, or gs://BUCKET/FOLDER
#
#   --container_image=IMAGE    where the cluster has pyxis; the repository is mounted in it
#   --container_mounts=A:B     what else is mounted, separated by commas
#   --max_restarts=N           starts after a process has died or the time has run out; default 10
#
# One task for each GPU, or one for each node, which then has all its GPUs; JAX finds coordinator
# and rank from Slurm's variables. If one task fails all are ended, and the job is queued again; a
# preempted one Slurm itself queues again. Two minutes before its time runs out SIGTERM saves.
# HF_TOKEN and WANDB_API_KEY come through the environment, which sbatch hands on.
#
#SBATCH --job-name=vsfa_jax
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ -f $root/launch/cloud.sh ]] || root=${SLURM_SUBMIT_DIR:-$PWD} # sbatch runs a copy elsewhere
if [[ ! -f $root/launch/cloud.sh ]]; then
  echo "error: no launch/cloud.sh in $root; wanted sbatch from the repository's root" >&2
  exit 2
fi
# shellcheck source=cloud.sh
source "$root/launch/cloud.sh"

container_image="" container_mounts="" max_restarts=10
read_flags "container_image container_mounts max_restarts" "$@"
check_job
check_number max_restarts "$max_restarts" 0
((dry_run)) || [[ -n ${SLURM_JOB_ID:-} ]] || fail "not in a Slurm job; wanted sbatch, or --dry_run"
need_tool srun Slurm
number=${SLURM_JOB_ID:-NUMBER}

# JAX gives a task under Slurm the one GPU of its rank on the node, unless it is told otherwise.
gpus=${SLURM_GPUS_ON_NODE:-0} tasks=${SLURM_TASKS_PER_NODE:-1} # one for two nodes is 8(x2)
tasks=${tasks%%[(,]*}
if ((gpus > 1 && tasks == 1)); then
  JAX_LOCAL_DEVICE_IDS=$(seq --separator=, 0 $((gpus - 1)))
  export JAX_LOCAL_DEVICE_IDS
elif ((gpus > 0 && tasks != gpus)); then
  fail "found $tasks tasks and $gpus GPUs on a node, wanted one task, or one for each GPU"
fi

step=(srun --kill-on-bad-exit=1)
if [[ -n $container_image ]]; then
  step+=(--container-image="$container_image"
    --container-mounts="$root:$root${container_mounts:+,$container_mounts}"
    --container-workdir="$root")
elif [[ -n $container_mounts ]]; then
  fail "--container_mounts: found without --container_image"
fi
step+=(bash "$root/launch/job.sh" "${job[@]}")
again=(scontrol requeue "$number")
export VSFA_FAULT_FILE=$root/.vsfa_jax-$number.fault

if ((dry_run)); then
  [[ -z ${JAX_LOCAL_DEVICE_IDS:-} ]] || quote export JAX_LOCAL_DEVICE_IDS="$JAX_LOCAL_DEVICE_IDS"
  quote export VSFA_FAULT_FILE="$VSFA_FAULT_FILE"
  quote "${step[@]}"
  remark "where that fails, but for a fault of the input or scancel, at most $max_restarts times:"
  quote "${again[@]}"
  exit
fi

child=""
trap '[[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true' TERM # srun hands it to its tasks
rm -f "$VSFA_FAULT_FILE"
"${step[@]}" &
child=$!
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do # a signal ends `wait`, not srun
  status=0
  wait "$child" || status=$?
done

if [[ -f $VSFA_FAULT_FILE ]]; then # tasks that were ended after the fault have other statuses
  rm -f "$VSFA_FAULT_FILE"
  status=2
fi
((status != 0 && status != 2)) || exit "$status"
if [[ $(squeue --noheader --jobs="$number" --format=%T) != RUNNING ]]; then
  exit "$status" # cancelled; or preempted, and Slurm queues it again
fi
if ((${SLURM_RESTART_COUNT:-0} >= max_restarts)); then
  echo "error: the job ended with $status, after $max_restarts more starts" >&2
  exit "$status"
fi
echo "the job ended with $status; queued again" >&2
"${again[@]}"
