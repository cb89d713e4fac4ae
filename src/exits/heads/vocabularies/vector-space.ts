/**
 * The output space of heads that find the best tokens without all logits. Packed, such a head gives its vectors h
 * [R, C]; here they are read: a few candidates are chosen, and their logits computed exactly. Statistics have an argmax
 * and a margin; their log-sum-exp and entropy are NaN, which passes no threshold. Everything that needs all logits
 * (sampling, losses) uses the full product with the model's unembedding.
 */
import { type Model, project } from "../../../model/index.js";
import { PackedMatrix, ROW_STATS, scope, type Tensor } from "../../../tensor/index.js";
import { crossEntropy, linearAt, takeAlongRows } from "../../../tensor/ops/index.js";
import type { OutputSpace, PackedHead } from "./head-vocabulary-definition.js";

/** Exact logits of some tokens, by ascending id: the two best that count, ties included, are among them. */
export interface Candidates {
  readonly ids: readonly number[];
  readonly logits: Float32Array;
}

/** A space whose candidates `find` chooses, for every row of h [R, C]. `packed` gives the head as it decodes. */
export function vectorSpace(
  packed: () => PackedHead,
  find: (h: Tensor, head: PackedHead) => Promise<readonly Candidates[]>,
): OutputSpace {
  return {
    async readStats(h) {
      const found = await find(h, packed());
      const stats = new Float32Array(found.length * ROW_STATS.width).fill(NaN);
      for (const [r, candidates] of found.entries()) {
        writeBest(stats.subarray(r * ROW_STATS.width, (r + 1) * ROW_STATS.width), candidates);
      }
      return stats;
    },

    readLogits: (h) => readAll(h, packed().model),
    losses: (h, ids) => scope(() => crossEntropy(project(h, packed().model.weights.unembedding), ids)),
    targetOf: (teacher) => Promise.resolve(teacher),
    agrees: (column, target) => column === target,
  };
}

/** All logits of h [R, C]: R·V numbers. */
export async function readAll(h: Tensor, model: Model): Promise<Float32Array> {
  const logits = scope(() => project(h, model.weights.unembedding));
  const values = await logits.read();
  logits.dispose();
  return values;
}

/** The logits of some tokens for one vector h [1, C], with the bits of the full product. */
export async function readSome(h: Tensor, ids: readonly number[], model: Model): Promise<Float32Array> {
  const { unembedding } = model.weights;
  const { weight, bias } = unembedding;
  const logits = scope(() =>
    weight instanceof PackedMatrix
      ? linearAt(h, weight, ids, { ...(bias && { bias }) })
      : takeAlongRows(project(h, unembedding), ids, ids.length),
  );
  const values = await logits.read();
  logits.dispose();
  return values;
}

/** Writes the best token, the lowest id on ties, and the two largest logits. */
function writeBest(stats: Float32Array, { ids, logits }: Candidates): void {
  let best = 0;
  let second = -Infinity;
  for (let i = 1; i < ids.length; i++) {
    if (logits[i]! > logits[best]!) {
      second = logits[best]!;
      best = i;
    } else if (logits[i]! > second) second = logits[i]!;
  }
  stats[ROW_STATS.argmax] = ids[best]!;
  stats[ROW_STATS.top1] = logits[best]!;
  stats[ROW_STATS.top2] = second;
}
