/**
 * A translator in front of the model's own unembedding U, which stays frozen:
 *   U (A n(x))         A [C, C] begins as the identity
 */
import { bytesOf, project } from "../../../model/index.js";
import { Tensor } from "../../../tensor/index.js";
import { linear } from "../../../tensor/ops/index.js";
import type { HeadKindDefinition } from "./head-kind-definition.js";
import { vocabularySpace } from "./vocabulary-space.js";

export const tied: HeadKindDefinition = {
  defaultInner: () => 0,
  weightShapes: ({ config: { hiddenSize } }) => ({ translator: [hiddenSize, hiddenSize] }),
  initialWeights({ device, config: { hiddenSize } }) {
    const identity = new Float32Array(hiddenSize * hiddenSize);
    for (let i = 0; i < hiddenSize; i++) identity[i * (hiddenSize + 1)] = 1;
    return Promise.resolve({
      translator: Tensor.from(device, identity, [hiddenSize, hiddenSize], { requiresGrad: true }),
    });
  },
  logits: (normed, { translator }, model) => project(linear(normed, translator!), model.weights.unembedding),
  space: () => vocabularySpace,
  multiplyAdds: ({ hiddenSize, vocabSize }) => hiddenSize * hiddenSize + hiddenSize * vocabSize,
  modelBytes: (model) => bytesOf(model.weights.unembedding),
};
