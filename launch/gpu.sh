#!/usr/bin/env bash
# Trains on all NVIDIA GPUs of one machine: launch/gpu.sh [--dry-run] --config=... (the flags of train.py)
#
# Sets up .venv with the JAX that fits the driver. After a crash it runs the same command again, which resumes from the
# newest checkpoint, at most RESTARTS times (default 3). It does not restart after status 0 (finished, or saved after a
# signal) or 2 (a user error). It passes on Ctrl-C, SIGTERM and SIGHUP: train.py saves and exits. A dry run on a machine
# without a GPU shows what one with a new driver would do.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "error: $*" >&2; exit 2; }
run() { if [[ $dry ]]; then line=$(printf '%q ' "$@"); echo "${line% }"; else "$@"; fi; }

dry=
if [[ ${1-} == --dry-run ]]; then dry=yes; shift; fi
restarts=${RESTARTS:-3}
[[ $restarts =~ ^[0-9]+$ ]] || fail "RESTARTS=$restarts should be a number."

# JAX for CUDA 13 needs driver 580 and compute capability 7.5 (Turing); for CUDA 12 driver 525, older GPUs included.
if command -v nvidia-smi >/dev/null; then
  answer=$(nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader) || true
elif [[ $dry ]]; then
  echo "There is no nvidia-smi here: as on a machine with driver 580 and an H100." >&2
  answer='580.0, 9.0'
else
  fail "there is no nvidia-smi here: install NVIDIA's driver, or train on the CPU with make train."
fi
[[ $answer =~ ^([0-9]+)\.[0-9.]+,\ ([0-9]+)\.([0-9]+) ]] || fail "nvidia-smi finds no GPU: ${answer%%$'\n'*}"
driver=${BASH_REMATCH[1]} capability=$((BASH_REMATCH[2] * 10 + BASH_REMATCH[3]))
if ((driver >= 580 && capability >= 75)); then
  extra=cuda13
elif ((driver >= 525)); then
  extra=cuda12
else
  fail "NVIDIA's driver $driver is too old for JAX: install 525 or newer."
fi
jax=$(sed -n 's/^jax==\([0-9.]*\).*/\1/p' requirements.txt)
if [[ ! -e .venv/$extra-$jax ]]; then
  run make .venv/ready
  run .venv/bin/python -m pip install --quiet "jax[$extra]==$jax"
  run touch ".venv/$extra-$jax"
fi

if [[ $dry ]]; then
  run .venv/bin/python train.py "$@"
  exit
fi

# The child has its own process group, so it gets each signal once, from here. A signal interrupts `wait`: wait again.
set -m
asked='' again=''
trap 'asked=yes again=yes; kill -INT "$!" 2>/dev/null || true' INT
trap 'asked=yes again=yes; kill -TERM "$!" 2>/dev/null || true' TERM HUP
for ((attempt = 1; ; attempt++)); do
  [[ $asked ]] && exit 143  # the signal came before there was a child to pass it on to
  .venv/bin/python train.py "$@" &
  while true; do
    again='' status=0
    wait "$!" || status=$?
    [[ $again ]] || break
  done
  [[ $status == 0 || $status == 2 || $asked || $attempt -gt $restarts ]] && exit "$status"
  echo "train.py ended with status $status: resuming from the newest checkpoint, restart $attempt of $restarts." >&2
done
