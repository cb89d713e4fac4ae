/**
 * The output space of heads with a preview. Packed, such a head gives its vectors h [R, C]; here they are read: the
 * coarse logits choose n candidates, whose logits are then computed exactly. Statistics have an argmax and a margin;
 * their log-sum-exp and entropy are NaN, which passes no threshold. Everything that needs all logits (sampling, losses)
 * uses the full product.
 */
import { type Model, project } from "../../../model/index.js";
import { ROW_STATS, scope, type Tensor } from "../../../tensor/index.js";
import { crossEntropy, embedding, linear, reshape, sliceRows } from "../../../tensor/ops/index.js";
import type { OutputSpace, PackedHead } from "./head-vocabulary-definition.js";
import { largest } from "./largest.js";

/** A space of n candidates; `packed` gives the head's model and its packed weights. */
export function previewSpace(candidates: number, packed: () => PackedHead): OutputSpace {
  return {
    async readStats(h) {
      const { model } = packed();
      const rows = h.shape[0]!;
      const { vocabSize } = model.config;
      const coarse = scope(() => coarseLogits(h, packed())); // [R, V]
      const values = await coarse.read();
      coarse.dispose();
      const stats = new Float32Array(rows * ROW_STATS.width).fill(NaN);
      for (let r = 0; r < rows; r++) {
        const ids = largest(values.subarray(r * vocabSize, (r + 1) * vocabSize), candidates);
        const exact = scope(() => exactLogits(sliceRows(h, r, r + 1), ids, model));
        writeBest(stats.subarray(r * ROW_STATS.width, (r + 1) * ROW_STATS.width), ids, await exact.read());
        exact.dispose();
      }
      return stats;
    },

    async readLogits(h) {
      const logits = scope(() => project(h, packed().model.weights.unembedding));
      const values = await logits.read();
      logits.dispose();
      return values;
    },

    losses: (h, ids) => scope(() => crossEntropy(project(h, packed().model.weights.unembedding), ids)),
    targetOf: (teacher) => Promise.resolve(teacher),
    agrees: (column, target) => column === target,
  };
}

/** W₂ W₁ h + b [R, V]. */
function coarseLogits(h: Tensor, { model, weights: { previewDown, previewUp } }: PackedHead): Tensor {
  return linear(linear(h, previewDown!), previewUp!, { bias: model.weights.unembedding.bias });
}

/** The logits [1, n] of some tokens for one vector [1, C]. */
function exactLogits(h: Tensor, ids: readonly number[], { weights: { unembedding } }: Model): Tensor {
  const { weight, bias } = unembedding;
  const ofIds = bias && reshape(embedding(reshape(bias, [bias.size, 1]), ids), [ids.length]);
  return linear(h, embedding(weight, ids), { bias: ofIds });
}

/** Writes the best token, the lowest id on ties, and the two largest logits. */
function writeBest(stats: Float32Array, ids: readonly number[], logits: Float32Array): void {
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
