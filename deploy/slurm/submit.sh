#!/bin/bash
# Submits all shards of a command and, after them, the merge. Prints the numbers of the jobs, the merging one last.
#   deploy/slurm/submit.sh SHARDS PARTS OUT calibrate MODEL --heads HEADS --text TEXT …
# ROUNDS=2 for calibrate with a fill that changes other tokens (project): the second array runs the
# candidates that the first one has proposed. SBATCH_* variables set partition, account, time limit and log files.
set -euo pipefail
if [ "$#" -lt 4 ]; then
  echo "usage: submit.sh SHARDS PARTS OUT COMMAND [ARGUMENT…]" >&2
  exit 2
fi
shards=$1 parts=$2 out=$3
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

after=()
for _ in $(seq "${ROUNDS:-1}"); do
  job=$(sbatch --parsable "${after[@]}" --array="0-$((shards - 1))" "$here/array.sbatch" "$@" --parts "$parts")
  after=(--dependency="afterok:$job")
  echo "$job"
done
sbatch --parsable "${after[@]}" "$here/merge.sbatch" "$parts" --out "$out"
