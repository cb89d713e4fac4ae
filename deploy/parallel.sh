#!/bin/bash
# All shards of a command on one machine, by GNU parallel, and then the command without --shard, which makes one result
# of what they have left in STORE.
#   deploy/parallel.sh SHARDS STORE OUT calibrate MODEL --heads HEADS --text TEXT …
# JOBS: shards at a time, by default one for each processor. ROUNDS=2 for calibrate with a fill that changes other
# tokens. EARLY_EXITS: how early-exits is started, as words. Started again, it does what is missing.
set -euo pipefail
if [ "$#" -lt 4 ]; then
  echo "usage: parallel.sh SHARDS STORE OUT COMMAND [ARGUMENT…]" >&2
  exit 2
fi
shards=$1 store=$2 out=$3
shift 3
read -ra start <<<"${EARLY_EXITS:-npx early-exits}"

for _ in $(seq "${ROUNDS:-1}"); do
  seq 0 $((shards - 1)) |
    parallel --quote --jobs "${JOBS:-100%}" --halt soon,fail=1 --line-buffer \
      "${start[@]}" "$@" --store "$store" --shard "{}/$shards"
done
exec "${start[@]}" "$@" --store "$store" --out "$out"
