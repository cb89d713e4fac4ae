/** The vocabularies of exit heads: one table. A new one is one more entry, and everything else follows from it. */
import { full } from "./full.js";
import type { HeadVocabularyDefinition } from "./head-vocabulary-definition.js";
import { preview } from "./preview.js";
import { previewShortlist } from "./preview-shortlist.js";
import { screened } from "./screened.js";
import { shortlist } from "./shortlist.js";
import { trained } from "./trained.js";
import { trainedShortlist } from "./trained-shortlist.js";

const table = {
  full,
  trained,
  shortlist,
  trainedShortlist,
  screened,
  preview,
  previewShortlist,
} satisfies Readonly<Record<string, HeadVocabularyDefinition>>;

/** The names of all vocabularies. */
export const headVocabularies = Object.keys(table) as readonly (keyof typeof table)[];

/** How a head's vectors become logits: by the model's own unembedding, one of its own, or rows of listed tokens. */
export type HeadVocabulary = (typeof headVocabularies)[number];

/** The definitions of all vocabularies by name. */
export const vocabularies: Readonly<Record<HeadVocabulary, HeadVocabularyDefinition>> = table;

/** Whether a vocabulary of that name exists. */
export function isHeadVocabulary(name: unknown): name is HeadVocabulary {
  return typeof name === "string" && Object.hasOwn(vocabularies, name);
}

export { trainableCopy } from "./copies.js";
export type {
  Constant,
  HeadVocabularyDefinition,
  HeadWeights,
  ModelSizes,
  OutputSpace,
  PreviewSize,
  VocabularyShape,
} from "./head-vocabulary-definition.js";
export { checkShortlist, readListedRows } from "./listed-rows.js";
export { unembeddingPreviewSize } from "./preview.js";
export { shareUnitGain } from "./shared-constants.js";
