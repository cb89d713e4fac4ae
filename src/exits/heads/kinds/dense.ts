/**
 * The paper's head (arXiv 2407.21082), with an unembedding of its own:
 *   W n(x) + b         W [V, C] begins as the model's unembedding U; b only if U has a bias
 */
import { scope, type Tensor } from "../../../tensor/index.js";
import { linear } from "../../../tensor/ops/index.js";
import { allRows, trainableCopy } from "./copies.js";
import type { HeadKindDefinition } from "./head-kind-definition.js";
import { vocabularySpace } from "./vocabulary-space.js";

export const dense: HeadKindDefinition = {
  defaultInner: () => 0,
  weightShapes: ({ config: { vocabSize, hiddenSize }, weights }) => ({
    weight: [vocabSize, hiddenSize],
    ...(weights.unembedding.bias && { bias: [vocabSize] }),
  }),
  initialWeights(model) {
    const { weight, bias } = model.weights.unembedding;
    return Promise.resolve(
      scope(() => ({ weight: trainableCopy(allRows(weight)), ...(bias && { bias: trainableCopy(bias) }) })),
    );
  },
  logits: (normed, { weight, bias }) => linear(normed, weight!, { bias: bias as Tensor | undefined }),
  space: () => vocabularySpace,
  multiplyAdds: ({ hiddenSize, vocabSize }) => hiddenSize * vocabSize,
  modelBytes: () => 0,
};
