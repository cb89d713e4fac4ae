/**
 * Two thin matrices in place of the dense one:
 *   W₂ (W₁ n(x))       W₁ [r, C], W₂ [V, r] begin as the best rank-r approximation of the unembedding U
 */
import { scope, Tensor } from "../../../tensor/index.js";
import { linear } from "../../../tensor/ops/index.js";
import { allRows, frozenCopy, trainableCopy } from "./copies.js";
import type { HeadKindDefinition } from "./head-kind-definition.js";
import { topSingularVectors } from "./top-singular-vectors.js";
import { vocabularySpace } from "./vocabulary-space.js";

export const lowRank: HeadKindDefinition = {
  defaultInner: ({ hiddenSize }) => Math.max(1, Math.floor(hiddenSize / 4)),
  weightShapes: ({ config: { vocabSize, hiddenSize } }, { inner }) => ({
    down: [inner, hiddenSize],
    up: [vocabSize, inner],
  }),
  async initialWeights({ device, config: { vocabSize, hiddenSize }, weights }, { inner }, rng) {
    // U ≈ (U Q)(Qᵀ) with Q the top right singular vectors of U.
    const unembedding = await weights.unembedding.weight.read();
    const q = topSingularVectors(unembedding, vocabSize, hiddenSize, inner, rng); // rows: [r, C]
    const down = Tensor.from(device, q, [inner, hiddenSize], { requiresGrad: true });
    const up = scope(() => trainableCopy(linear(allRows(weights.unembedding.weight), frozenCopy(down))));
    return { down, up };
  },
  logits: (normed, { down, up }) => linear(linear(normed, down!), up!),
  space: () => vocabularySpace,
  multiplyAdds: ({ hiddenSize, vocabSize }, inner) => inner * (hiddenSize + vocabSize),
  modelBytes: () => 0,
};
