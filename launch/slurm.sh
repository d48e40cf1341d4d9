#!/usr/bin/env bash
# Trains on SLURM, one task a node with all of the node's GPUs. From the folder of train.py:
#   sbatch --nodes=2 --gpus-per-node=8 --cpus-per-task=64 --time=24:00:00 launch/slurm.sh --config=... --workdir=...
#   bash launch/slurm.sh --dry-run --config=...    prints what a job would run
#
# The SIGTERM that comes before the time limit, or at a preemption with grace time, goes to the tasks: all save and leave
# with status 75, and the job is queued again under its number. After a crash the same command runs again on the same
# nodes, RESTARTS times (3) at most; not after status 0 (finished) or 2 (a mistake). A lost node: --requeue.
#SBATCH --job-name=attend
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# Without "B:", which would signal this shell alone. Nor can the shell pass it on: srun answers SIGTERM with SIGKILL.
#SBATCH --signal=TERM@120
set -euo pipefail

fail() { echo "error: $*" >&2; exit 2; }

dry=
if [[ ${1-} == --dry-run ]]; then dry=yes; shift; fi
restarts=${RESTARTS:-3}
[[ $restarts =~ ^[0-9]+$ ]] || fail "RESTARTS=$restarts should be a number."
[[ $dry || ${SLURM_JOB_ID-} ]] || fail "this is a job: submit it with sbatch launch/slurm.sh ..., or add --dry-run first."
[[ -f train.py ]] || fail "there is no train.py in $PWD: submit the job from its folder."
[[ $dry || -x .venv/bin/python ]] || fail "there is no .venv here: run make .venv/ready, then .venv/bin/pip install 'jax[cuda13]==...' (launch/README.md)."

# Under SLURM JAX gives each process the one GPU of its SLURM_LOCALID, unless told otherwise: here a task has the node's.
if [[ ${SLURM_GPUS_ON_NODE:-0} -gt 0 ]]; then
  JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((SLURM_GPUS_ON_NODE - 1)))
  export JAX_LOCAL_DEVICE_IDS
fi
# srun no longer takes this over from sbatch by itself (since SLURM 22.05).
[[ ${SLURM_CPUS_PER_TASK-} ]] && export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

command=(
  # One bad task must not have the others killed while they save: train.py ends them itself.
  srun --ntasks="${SLURM_JOB_NUM_NODES:-1}" --ntasks-per-node=1 --kill-on-bad-exit=0
  .venv/bin/python train.py "$@" --stopped_status=75
)
if [[ $dry ]]; then
  line=$(printf '%q ' "${command[@]}")
  echo "${JAX_LOCAL_DEVICE_IDS+JAX_LOCAL_DEVICE_IDS=$JAX_LOCAL_DEVICE_IDS }${line% }"
  echo "scontrol requeue ${SLURM_JOB_ID:-JOB}  # if that ends with status 75"
  exit
fi

for ((attempt = 1; ; attempt++)); do
  status=0
  "${command[@]}" || status=$?
  case $status in
    0 | 2) exit "$status" ;;
    75) exec scontrol requeue "$SLURM_JOB_ID" ;;
  esac
  ((attempt <= restarts)) || exit "$status"
  echo "train.py ended with status $status: going on from the newest checkpoint, restart $attempt of $restarts." >&2
done
