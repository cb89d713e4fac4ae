/**
 * A preview of n frequent tokens: coarse logits for these only, which is most of a preview's work, and then the best of
 * them exactly. It never emits another token. Everything that needs all logits uses the full product, as `preview` does.
 *   a = W₂ W₁ h (+ b)         W₁ [r, C], W₂ [n, r], b [n]: fitted for the listed rows of the unembedding
 */
import type { HeadVocabularyDefinition } from "./head-vocabulary-definition.js";
import { preview } from "./preview.js";
import { shareBias } from "./shared-constants.js";

/** The number of listed tokens if the user says nothing. */
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
