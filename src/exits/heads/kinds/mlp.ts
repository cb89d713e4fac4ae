/**
 * A residual MLP in front of the model's own unembedding U, which stays frozen:
 *   U (n(x) + W₂ gelu(W₁ n(x)))        W₁ [m, C] begins random, W₂ [C, m] at zero
 */
import { bytesOf, project } from "../../../model/index.js";
import { Tensor } from "../../../tensor/index.js";
import { add, gelu, linear } from "../../../tensor/ops/index.js";
import type { HeadKindDefinition } from "./head-kind-definition.js";
import { vocabularySpace } from "./vocabulary-space.js";

export const mlp: HeadKindDefinition = {
  defaultInner: ({ hiddenSize }) => hiddenSize,
  weightShapes: ({ config: { hiddenSize } }, { inner }) => ({ up: [inner, hiddenSize], down: [hiddenSize, inner] }),
  initialWeights({ device, config: { hiddenSize } }, { inner }, rng) {
    const up = Float32Array.from({ length: inner * hiddenSize }, () => rng.normal() / Math.sqrt(hiddenSize));
    return Promise.resolve({
      up: Tensor.from(device, up, [inner, hiddenSize], { requiresGrad: true }),
      down: Tensor.from(device, new Float32Array(hiddenSize * inner), [hiddenSize, inner], { requiresGrad: true }),
    });
  },
  logits: (normed, { up, down }, model) =>
    project(add(normed, linear(gelu(linear(normed, up!)), down!)), model.weights.unembedding),
  space: () => vocabularySpace,
  multiplyAdds: ({ hiddenSize, vocabSize }, inner) => 2 * hiddenSize * inner + hiddenSize * vocabSize,
  modelBytes: (model) => bytesOf(model.weights.unembedding),
};
