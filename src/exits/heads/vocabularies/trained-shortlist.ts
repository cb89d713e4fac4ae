/**
 * Logits for n frequent tokens only, and one for all other tokens together, with rows of the head's own:
 *   W h + b            W [n + 1, w] begins as the rows of the unembedding U for the n tokens and the mean of its other
 *                      rows; b [n + 1] begins at U's bias, plus log(V - n) for the other tokens
 * If the map's h is narrower than the states, W begins as those rows in the map's basis. shortlist-space.ts defines how
 * such logits are trained and scored.
 */
import { scope, Tensor } from "../../../tensor/index.js";
import { linear } from "../../../tensor/ops/index.js";
import { scoreNames } from "../score.js";
import { frozenCopy, trainableCopy } from "./copies.js";
import type { HeadVocabularyDefinition } from "./head-vocabulary-definition.js";
import { readListedRows } from "./listed-rows.js";
import { shortlistSpace } from "./shortlist-space.js";

export const trainedShortlist: HeadVocabularyDefinition = {
  reads: "any",
  scores: scoreNames,
  listed: ({ vocabSize }) => Math.min(256, vocabSize >> 1),
  weightShapes: (_model, { width, shortlist: ids = [] }) => ({
    weight: [ids.length + 1, width],
    bias: [ids.length + 1],
  }),
  async initialWeights(model, { shortlist: ids = [] }, basis) {
    const { device } = model;
    const { vocabSize, hiddenSize } = model.config;
    const n = ids.length;
    const { rows, bias } = await readListedRows(model, ids);
    bias[n]! += Math.log(vocabSize - n);
    const weight = scope(() => {
      const own = Tensor.from(device, rows, [n + 1, hiddenSize]);
      return trainableCopy(basis === undefined ? own : linear(own, frozenCopy(basis)));
    });
    return { weight, bias: Tensor.from(device, bias, [n + 1], { requiresGrad: true }) };
  },
  logits: (h, { weight, bias }) => linear(h, weight!, { bias: bias as Tensor }),
  space: ({ shortlist: ids = [] }, vocabSize) => shortlistSpace(ids, vocabSize),
  multiplyAdds: (_sizes, { width, listed }) => width * (listed + 1),
  modelBytes: () => 0,
};
