/** Batches of positions from shards: shards in a seeded order per epoch, the positions of each in another. */
import { requireInteger } from "../../errors.js";
import type { Model } from "../../model/index.js";
import { createRng, Tensor } from "../../tensor/index.js";
import type { BatchSource, HiddenBatch } from "./batches.js";
import type { LoadedStates } from "./record-states.js";

export interface CachedBatchOptions {
  /** Positions per batch. @default 512 */
  readonly rows?: number;
  /** Shuffles the shards and the positions within each. @default 0 */
  readonly seed?: number;
}

/** Of shards with so many positions; the shard in use stays in memory. */
export function shardBatches(
  model: Model,
  depths: readonly number[],
  counts: readonly number[],
  load: (shard: number) => Promise<LoadedStates>,
  { rows = 512, seed = 0 }: CachedBatchOptions,
): BatchSource {
  requireInteger("cachedBatches: rows", rows, 1);
  const batchesOf = (count: number): number => Math.ceil(count / rows);
  const batchesPerEpoch = counts.reduce((sum, count) => sum + batchesOf(count), 0);
  let loaded: { readonly shard: number; readonly states: LoadedStates } | undefined;
  return {
    batchesPerEpoch,
    async batch(step) {
      const rng = createRng(seed).fork(`epoch ${Math.floor(step / batchesPerEpoch)}`);
      const order = rng.shuffle(counts.map((_, shard) => shard));
      const batches = order.flatMap((shard) =>
        Array.from({ length: batchesOf(counts[shard]!) }, (_, index) => ({ shard, index })),
      );
      const { shard, index } = batches[step % batchesPerEpoch]!;
      if (loaded?.shard !== shard) loaded = { shard, states: await load(shard) };
      const chosen = rng
        .fork(`shard ${shard}`)
        .shuffle(Array.from({ length: counts[shard]! }, (_, row) => row))
        .slice(index * rows, (index + 1) * rows);
      return batchOf(model, depths, loaded.states, chosen);
    },
  };
}

/** On the device. */
function batchOf(
  model: Model,
  depths: readonly number[],
  states: LoadedStates,
  chosen: readonly number[],
): HiddenBatch {
  const width = model.config.hiddenSize;
  const take = (values: Float32Array): Tensor => {
    const out = new Float32Array(chosen.length * width);
    chosen.forEach((row, i) => out.set(values.subarray(row * width, (row + 1) * width), i * width));
    return Tensor.from(model.device, out, [chosen.length, width]);
  };
  return {
    hidden: new Map(depths.map((depth) => [depth, take(states.hidden.get(depth)!)])),
    final: take(states.final),
    rows: chosen.length,
    positions: Int32Array.from(chosen, (row) => states.positions[row]!),
    outcome: {
      argmax: Int32Array.from(chosen, (row) => states.argmax[row]!),
      logSumExp: Float32Array.from(chosen, (row) => states.logSumExp[row]!),
    },
  };
}
