/** Several recordings as one source of batches: every epoch takes each batch of each source once, in a seeded order. */
import { createRng } from "early-exits/tensor";
import type { BatchSource } from "early-exits/exits";

/** Joins sources that count their batches. */
export function joinSources(sources: readonly BatchSource[], seed: number): BatchSource {
  if (sources.length === 1) return sources[0]!;
  const counts = sources.map(({ batchesPerEpoch }) => batchesPerEpoch!);
  const batchesPerEpoch = counts.reduce((sum, count) => sum + count, 0);
  const orders = new Map<number, readonly { readonly source: number; readonly index: number }[]>();
  const orderOf = (epoch: number) => {
    const known = orders.get(epoch);
    if (known !== undefined) return known;
    // A source reads its batches in order, a shard at a time; only the turns of the sources are shuffled.
    const turns = counts.flatMap((count, source) => Array.from({ length: count }, () => source));
    const next = counts.map(() => 0);
    const shuffled = createRng(seed).fork(`epoch ${epoch}`).shuffle(turns);
    const order = shuffled.map((source) => ({ source, index: next[source]!++ }));
    orders.set(epoch, order);
    return order;
  };
  return {
    batchesPerEpoch,
    batch(step) {
      const epoch = Math.floor(step / batchesPerEpoch);
      const { source, index } = orderOf(epoch)[step % batchesPerEpoch]!;
      return sources[source]!.batch(epoch * counts[source]! + index);
    },
  };
}
