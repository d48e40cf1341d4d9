#!/usr/bin/env bash
# Trains on SLURM, one task per node with all GPUs of the node. In the folder of train.py:
#   sbatch --nodes=2 --gpus-per-node=8 --cpus-per-task=64 --time=24:00:00 launch/slurm.sh --config=... --workdir=...
#   bash launch/slurm.sh --dry-run --config=...    prints what a job would run; SLURM gives NODES and JOB
#
# SLURM sends SIGTERM to the tasks before the time limit, and at a preemption with grace time. All tasks then save and
# exit with status 75, and the job is requeued under the same job ID. After a crash the same command runs again on the
# same nodes, at most RESTARTS times (default 3), but not after status 0 (finished) or 2 (a user error). After a node
# failure SLURM requeues the job (--requeue).
#
# CONTAINER, an environment variable, is the image to run in: NAME.sif by Apptainer, any other by Enroot (pyxis).
#SBATCH --job-name=attend
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# No "B:" prefix: it would signal only this shell, which cannot pass it on, because srun kills its tasks on SIGTERM.
#SBATCH --signal=TERM@120
set -euo pipefail

fail() { echo "error: $*" >&2; exit 2; }

dry=
if [[ ${1-} == --dry-run ]]; then dry=yes; shift; fi
restarts=${RESTARTS:-3}
[[ $restarts =~ ^[0-9]+$ ]] || fail "RESTARTS=$restarts should be a number."
[[ $dry || ${SLURM_JOB_ID-} ]] || fail "this script is a job: submit it with sbatch launch/slurm.sh ..., or add --dry-run first."
[[ -f train.py ]] || fail "there is no train.py in $PWD: submit the job from its folder."
[[ $dry || ${CONTAINER-} || -x .venv/bin/python ]] || fail "there is no .venv here: run make .venv/ready, then .venv/bin/pip install 'jax[cuda13]==...' (launch/README.md)."

# Under SLURM, JAX gives each process one GPU by default, that of SLURM_LOCALID. Here a task uses all GPUs of the node.
if [[ ${SLURM_GPUS_ON_NODE:-0} -gt 0 ]]; then
  JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((SLURM_GPUS_ON_NODE - 1)))
  export JAX_LOCAL_DEVICE_IDS
fi
# Since SLURM 22.05, srun does not inherit this value from sbatch.
[[ ${SLURM_CPUS_PER_TASK-} ]] && export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

# What lies outside this folder is mounted by MOUNTS=/data:/data,...
mounts="$PWD:$PWD${MOUNTS:+,$MOUNTS}"
case ${CONTAINER-} in
  '') inside=() python=(.venv/bin/python) ;;
  *.sif) inside=() python=(apptainer exec --nv --bind "$mounts" --pwd "$PWD" "$CONTAINER" python) ;;
  *) inside=(--container-image="$CONTAINER" --container-mounts="$mounts" --container-workdir="$PWD") python=(python) ;;
esac

command=(
  # A failed task must not kill the others while they save: train.py ends them itself.
  srun --ntasks="${SLURM_JOB_NUM_NODES:-NODES}" --ntasks-per-node=1 --kill-on-bad-exit=0 "${inside[@]}"
  "${python[@]}" train.py "$@" --stopped_status=75
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
  echo "train.py ended with status $status: resuming from the newest checkpoint, restart $attempt of $restarts." >&2
done
