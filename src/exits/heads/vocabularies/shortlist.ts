/**
 * Logits for n frequent tokens by the model's own rows, and one for all others together by a learned row r [1, C]:
 *   [U h; r·h] + b     U [n, C] are the rows of the unembedding for the n tokens: frozen, shared by all heads with
 *                      this list, and not stored; r begins as the mean of the other rows; b [n + 1] begins at the
 *                      unembedding's bias, plus log(V - n) for the other tokens
 * A head trains and stores C + n + 1 numbers instead of (n + 1)·C. shortlist-space.ts defines how such logits are
 * trained and scored.
 */
import { Tensor } from "../../../tensor/index.js";
import { linear } from "../../../tensor/ops/index.js";
import { scoreNames } from "../score.js";
import type { HeadVocabularyDefinition } from "./head-vocabulary-definition.js";
import { readListedRows } from "./listed-rows.js";
import { shareLastColumn, shareRows } from "./shared-constants.js";
import { shortlistSpace } from "./shortlist-space.js";

/** The number of listed tokens if the user says nothing: these hold nine tenths of a small chat model's answers. */
const LISTED = 8192;

export const shortlist: HeadVocabularyDefinition = {
  reads: "hidden",
  scores: scoreNames,
  listed: ({ vocabSize }) => Math.min(LISTED, vocabSize >> 1),
  weightShapes: ({ config: { hiddenSize } }, { shortlist: ids = [] }) => ({
    rest: [1, hiddenSize],
    bias: [ids.length + 1],
  }),
  async initialWeights(model, { shortlist: ids = [] }) {
    const { vocabSize, hiddenSize } = model.config;
    const n = ids.length;
    const { rows, bias } = await readListedRows(model, ids);
    bias[n]! += Math.log(vocabSize - n);
    return {
      rest: Tensor.from(model.device, rows.slice(n * hiddenSize), [1, hiddenSize], { requiresGrad: true }),
      bias: Tensor.from(model.device, bias, [n + 1], { requiresGrad: true }),
    };
  },
  async constants(model, { shortlist: ids = [] }, dtype) {
    return {
      rows: await shareRows(model, ids, dtype), // [n + 1, C], the last one zero
      last: await shareLastColumn(model, ids.length + 1), // [n + 1, 1]
    };
  },
  logits(h, { rows, rest, last, bias }) {
    const restLogits = linear(linear(h, rest!), last!); // [R, C] -> [R, 1] -> [R, n + 1], zero but for the last column
    return linear(h, rows!, { bias: bias as Tensor, residual: restLogits });
  },
  space: ({ shortlist: ids = [] }, vocabSize) => shortlistSpace(ids, vocabSize),
  multiplyAdds: ({ hiddenSize }, { listed }) => (hiddenSize + 1) * (listed + 1) + hiddenSize,
  modelBytes: () => 0,
};
