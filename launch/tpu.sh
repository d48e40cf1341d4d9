#!/usr/bin/env bash
# Trains on a Cloud TPU with one or more hosts:
#   launch/tpu.sh --zone=ZONE --type=v5litepod-16 --version=v2-alpha-tpuv5-lite [--name=attend] [--spot]
#     [--before=COMMAND] [--dry-run] -- --config=... --workdir=/...
#
# Requests the TPU as a queued resource, or uses an existing one with that name. Copies the files that git tracks to
# every host, installs the requirements, runs COMMAND there (to mount the workdir's file system), then starts the same
# train.py on all hosts. If the TPU is preempted, the script requests it again, and the run resumes from the newest
# checkpoint. It also resumes after a crash, at most RESTARTS times (default 3), but not after status 0 (finished) or 2
# (a user error). The script does not delete the TPU at the end; it prints the command that does.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "error: $*" >&2; exit 2; }

name=attend zone='' type='' version='' spot='' before=true dry='' restarts=${RESTARTS:-3}
while [[ ${1---} != -- ]]; do
  case $1 in
    --name=* | --zone=* | --type=* | --version=* | --before=*) flag=${1%%=*} && printf -v "${flag#--}" %s "${1#*=}" ;;
    --spot) spot=$1 ;;
    --dry-run) dry=$1 ;;
    *) fail "$1 is not a flag of launch/tpu.sh: those of train.py come after --." ;;
  esac
  shift
done
[[ $# -gt 1 ]] || fail "the flags of train.py are missing: -- --config=... --workdir=/..."
shift
[[ $zone && $type && $version ]] || fail "--zone, --type and --version are needed, such as --type=v5litepod-16 --version=v2-alpha-tpuv5-lite."
[[ $restarts =~ ^[0-9]+$ ]] || fail "RESTARTS=$restarts should be a number."
[[ " $*" == *" --workdir="@(/|gs://|s3://)* ]] || fail "give --workdir=/... on a file system that all hosts share, or of one host gs://...: the TPU's own disks are deleted with it."

archive=.cache/attend.tar.gz jax=$(sed -n 's/^jax==\([0-9.]*\).*/\1/p' requirements.txt)
setup="mkdir -p attend && tar -xzf attend.tar.gz -C attend && cd attend"
setup+=" && { [ -e .venv/ready ] || { sudo apt-get -qq update && sudo apt-get -qq install -y python3.11-venv make; }; }"
setup+=" && make .venv/ready PYTHON=python3.11 && .venv/bin/python -m pip install --quiet \"jax[tpu]==$jax\" && { $before; }"
# The lock: after a lost connection, the new process waits until the old one has ended and released the TPU.
train="cd attend && flock .lock .venv/bin/python train.py $(printf '%q ' "$@")--stopped_status=75"

run() { # runs a command; with --dry-run prints it, with words that a shell would split in single quotes
  [[ $dry ]] || { "$@"; return; }
  local line='' word
  for word in "$@"; do
    [[ $word == *[!A-Za-z0-9_=:,./-]* ]] && word="'${word//\'/\'\\\'\'}'"
    line+=" $word"
  done
  echo "${line# }"
}
tpus() { run gcloud compute tpus "$@" --zone="$zone"; }
on_all_hosts() { tpus tpu-vm ssh "$name" --worker=all --command="$1"; }
create() { tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$type" --runtime-version="$version" ${spot:+"$spot"}; }
attempt() { tpus tpu-vm scp "$archive" "$name:" --worker=all && on_all_hosts "$setup" && on_all_hosts "$train"; }
state() { gcloud compute tpus queued-resources describe "$name" --zone="$zone" --format='value(state.state)' 2>&1 || true; }
have_tpu() {
  while true; do
    answer=$(state)
    case $answer in
      *NOT_FOUND*) create ;;
      *ACTIVE) return ;;
      *SUSPENDED) tpus queued-resources delete "$name" --force --quiet ;; # preempted
      *FAILED | *ERROR*) echo "error: no TPU: $answer (gcloud compute tpus queued-resources describe $name --zone=$zone)" >&2; exit 1 ;;
      *) sleep 30 ;;
    esac
  done
}

if [[ $dry ]]; then echo "git ls-files -z | tar -czf $archive --null -T -" && create && attempt && exit; fi
mkdir -p .cache
git ls-files -z | tar -czf "$archive" --null -T -
for ((crashes = 0; ; )); do
  have_tpu
  status=0
  attempt || status=$?
  [[ $status == 0 || $status == 2 ]] && break
  [[ $status == 75 || $(state) != *ACTIVE ]] && continue # the run was saved, or the TPU was lost
  ((++crashes <= restarts)) || break
  echo "train.py ended with status $status: resuming from the newest checkpoint, restart $crashes of $restarts." >&2
done
echo "The TPU still exists; to delete it: gcloud compute tpus queued-resources delete $name --zone=$zone --force" >&2
exit "$status"
