#!/bin/bash
# Submits all shards of a command and, after them, the command without --shard, which makes one result of what they have
# left in STORE. Prints the numbers of the jobs, the last one's last.
#   deploy/slurm/submit.sh SHARDS STORE OUT calibrate MODEL --heads HEADS --text TEXT …
# ROUNDS=2 for calibrate with a fill that changes other tokens (project): the second array runs the candidates that the
# records of the first one propose. SBATCH_* variables set partition, account, time limit and log files.
set -euo pipefail
if [ "$#" -lt 4 ]; then
  echo "usage: submit.sh SHARDS STORE OUT COMMAND [ARGUMENT…]" >&2
  exit 2
fi
shards=$1 store=$2 out=$3
shift 3
task=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/task.sbatch

after=()
for _ in $(seq "${ROUNDS:-1}"); do
  job=$(sbatch --parsable "${after[@]}" --array="0-$((shards - 1))" "$task" "$@" --store "$store" --shard auto)
  after=(--dependency="afterok:$job")
  echo "$job"
done
sbatch --parsable "${after[@]}" "$task" "$@" --store "$store" --out "$out"
