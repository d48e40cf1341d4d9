#!/usr/bin/env bash
# Trains on Kubernetes with JobSet, one pod per host:
#   launch/kubernetes.sh --image=IMAGE --claim=CLAIM --accelerators=nvidia.com/gpu=8 --hosts=2 [--name=attend]
#     [--select=KEY=VALUE,KEY=VALUE] [--dry-run] -- --config=... --workdir=/runs/...
#
# Fills in launch/jobset.yaml and applies it; --dry-run prints it. IMAGE has the code in its working directory and
# `python` on its path. CLAIM is a persistent volume claim that every host can write. RESTARTS is a variable (20).
# The hosts find each other by the flags of train.py: JAX's own method (jax[k8s]) needs an account that may read pods.
set -euo pipefail
cd "$(dirname "$0")"

fail() { echo "error: $*" >&2; exit 2; }
check() { [[ $2 =~ $3 ]] || fail "--$1=$2 should be $4."; }

name=attend image='' claim='' hosts=1 accelerators='' select='' dry='' restarts=${RESTARTS:-20}
while [[ ${1---} != -- ]]; do
  case $1 in
    --name=* | --image=* | --claim=* | --hosts=* | --accelerators=* | --select=*)
      flag=${1%%=*} && printf -v "${flag#--}" %s "${1#*=}" ;;
    --dry-run) dry=$1 ;;
    *) fail "$1 is not a flag of launch/kubernetes.sh: those of train.py come after --." ;;
  esac
  shift
done
[[ $# -gt 1 ]] || fail "the flags of train.py are missing: -- --config=... --workdir=/runs/..."
shift
check name "$name" '^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$' "small letters, digits and hyphens, at most 40"
check image "$image" '^[A-Za-z0-9][A-Za-z0-9._:/@-]*$' "the name of an image"
check claim "$claim" '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$' "the name of a persistent volume claim"
check hosts "$hosts" '^[1-9][0-9]*$' "a number"
check accelerators "$accelerators" '^[a-z0-9./-]+=[1-9][0-9]*$' "RESOURCE=NUMBER per host, such as nvidia.com/gpu=8"
check select "$select" '^([A-Za-z0-9./_-]+=[A-Za-z0-9._-]+(,|$))*$' "KEY=VALUE,KEY=VALUE of node labels"
[[ $restarts =~ ^[0-9]+$ ]] || fail "RESTARTS=$restarts should be a number."
[[ " $*" != *" --workdir="[gs][s3]://* ]] || fail "a workdir in a bucket is for one host, and this script's are on the claim, mounted at /runs: give --workdir=/runs/NAME."
[[ " $*" == *" --workdir=/runs/"* ]] || fail "give --workdir=/runs/NAME: the claim is mounted at /runs, and files elsewhere are lost with the pod."

# Flags as JSON strings, which are valid YAML. "$(" is escaped as "$$(", or Kubernetes would insert a variable's value.
arguments=
for argument in "$@"; do
  argument=${argument//\\/\\\\}
  argument=${argument//\"/\\\"}
  arguments+="\"${argument//\$(/\$\$(}\", "
done
arguments+="\"--coordinator=$name-hosts-0-0.$name:1234\", \"--hosts=$hosts\", \"--host=\$(HOST)\", \"--stopped_status=75\""
selector=
IFS=, read -ra pairs <<<"$select"
for pair in ${pairs[@]+"${pairs[@]}"}; do selector+="${selector:+, }\"${pair%%=*}\": \"${pair#*=}\""; done
arguments="[$arguments]" selector="{$selector}" limits="{\"${accelerators%=*}\": ${accelerators#*=}}"

shopt -u patsub_replacement 2>/dev/null || true # in bash 5.2 an "&" in the replacement would mean the matched text
text=$(<jobset.yaml)
text=${text//"\${NAME}"/$name}
text=${text//"\${IMAGE}"/$image}
text=${text//"\${CLAIM}"/$claim}
text=${text//"\${HOSTS}"/$hosts}
text=${text//"\${RESTARTS}"/$restarts}
text=${text//"\${ACCELERATORS}"/$limits}
text=${text//"\${SELECTOR}"/$selector}
text=${text//"\${ARGUMENTS}"/$arguments}
if [[ $dry ]]; then echo "$text"; else kubectl apply --filename=- <<<"$text"; fi
