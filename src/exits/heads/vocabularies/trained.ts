/**
 * An unembedding of the head's own, as in the paper (arXiv 2407.21082):
 *   W h + b         W [V, w] begins as the model's unembedding U; b only if U has a bias
 * If the map's h is narrower than the states, W begins as U in the map's basis Q [w, C], U·Qᵀ, and has no bias.
 */
import { scope, type Tensor } from "../../../tensor/index.js";
import { linear } from "../../../tensor/ops/index.js";
import { scoreNames } from "../score.js";
import { allRows, frozenCopy, trainableCopy } from "./copies.js";
import type { HeadVocabularyDefinition } from "./head-vocabulary-definition.js";
import { vocabularySpace } from "./vocabulary-space.js";

export const trained: HeadVocabularyDefinition = {
  reads: "any",
  scores: scoreNames,
  weightShapes: ({ config: { vocabSize }, weights }, { width, narrow }) => ({
    weight: [vocabSize, width],
    ...(weights.unembedding.bias && !narrow && { bias: [vocabSize] }),
  }),
  initialWeights(model, _shape, basis) {
    const { weight, bias } = model.weights.unembedding;
    return Promise.resolve(
      scope(() => {
        const rows = allRows(weight); // [V, C]
        if (basis !== undefined) return { weight: trainableCopy(linear(rows, frozenCopy(basis))) };
        return { weight: trainableCopy(rows), ...(bias && { bias: trainableCopy(bias) }) };
      }),
    );
  },
  logits: (h, { weight, bias }) => linear(h, weight!, { bias: bias as Tensor | undefined }),
  space: () => vocabularySpace,
  multiplyAdds: ({ vocabSize }, { width }) => width * vocabSize,
  modelBytes: () => 0,
};
