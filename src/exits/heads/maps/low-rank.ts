/**
 * A map to fewer dimensions:
 *   h = W₁ n(x)         W₁ [r, C] begins as the top right singular vectors of the unembedding U
 * so that W₂ h, with a trained W₂ [V, r], begins as the best rank-r approximation of U n(x). A vocabulary that reads
 * vectors of the hidden size gets them back by W₂ [C, r], which begins as W₁ᵀ: h = W₂ W₁ n(x).
 */
import { Tensor } from "../../../tensor/index.js";
import { inTurns } from "../../../turns.js";
import { topSingularVectors } from "../../../tensor/top-eigenvectors.js";
import { linear } from "../../../tensor/ops/index.js";
import type { HeadMapDefinition } from "./head-map-definition.js";
import { initialNorm, normed, normShapes } from "./norm.js";

export const lowRank: HeadMapDefinition = {
  defaultInner: ({ hiddenSize }) => Math.max(1, Math.floor(hiddenSize / 4)),
  width: ({ hiddenSize }, { inner, reads }) => (reads === "any" ? inner : hiddenSize),
  weightShapes(model, { inner, reads }) {
    const { hiddenSize } = model.config;
    return {
      ...normShapes(model),
      down: [inner, hiddenSize],
      ...(reads === "hidden" && { back: [hiddenSize, inner] }),
    };
  },
  async initialWeights(model, { inner, reads }, rng, signal) {
    const { device, config, weights } = model;
    const { vocabSize, hiddenSize } = config;
    const unembedding = await weights.unembedding.weight.read();
    const q = await inTurns(topSingularVectors(unembedding, vocabSize, hiddenSize, inner, rng), signal); // rows: [r, C]
    const transposed = Float32Array.from(
      { length: hiddenSize * inner },
      (_, i) => q[(i % inner) * hiddenSize + Math.floor(i / inner)]!,
    );
    const trainable = { requiresGrad: true };
    return {
      ...initialNorm(model),
      down: Tensor.from(device, q, [inner, hiddenSize], trainable),
      ...(reads === "hidden" && { back: Tensor.from(device, transposed, [hiddenSize, inner], trainable) }),
    };
  },
  apply(x, weights, model) {
    const { down, back } = weights;
    const narrow = linear(normed(x, weights, model), down!);
    return back === undefined ? narrow : linear(narrow, back);
  },
  basis: ({ down }, { reads }) => (reads === "any" ? down : undefined),
  multiplyAdds: ({ hiddenSize }, { inner, reads }) => (reads === "any" ? 1 : 2) * inner * hiddenSize,
};
