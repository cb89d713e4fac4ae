/**
 * A preview of N frequent tokens:
 *   a = W₂ W₁ h (+ b)         W₁ [r, C], W₂ [N, r]: coarse logits of the listed tokens, which are most of its work
 *   z_j = U_j h + b_j         for the n of them with the largest a, exactly
 * It is `preview` (preview.ts) with the listed rows of U in place of all; its greedy token is always a listed one.
 * Training, sampling and losses use the full product here, too.
 */
import type { HeadVocabularyDefinition } from "./head-vocabulary-definition.js";
import { preview } from "./preview.js";
import { shareBias } from "./shared-constants.js";

/** The number of listed tokens if the user says nothing: a third of the vocabularies of today's small chat models. */
const LISTED = 16_384;

export const previewShortlist: HeadVocabularyDefinition = {
  ...preview,
  listed: ({ vocabSize }) => Math.min(LISTED, vocabSize >> 1),
  async constants(model, { shortlist: ids = [] }) {
    const previewBias = await shareBias(model, ids);
    return previewBias === undefined ? {} : { previewBias };
  },
  multiplyAdds: ({ hiddenSize }, shape) => preview.multiplyAdds({ hiddenSize, vocabSize: shape.listed }, shape),
};
