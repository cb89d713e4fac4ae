/** Options that determine the heads of `early-exits train`, and their defaults for a model. */
import type { Model } from "early-exits";
import { defaultKind, placeExits, previewSize, type ProjectionInput } from "early-exits/exits";
import { libraryDefaults } from "early-exits/node";

export interface HeadRecipe {
  /** If `depths` is empty; 0: only the preview of the unembedding. */
  readonly exits: number;
  /** Empty: a rule places the exits. */
  readonly depths: readonly number[];
  readonly kind: "dense" | "linear";
  /** Rank of the preview of linear heads; 0: none. */
  readonly headPreview: number;
  /** Rank of the unembedding's preview, an exit after the last block; 0: none. */
  readonly preview: number;
  /** Most frequent tokens, which previews rank; 0: all. */
  readonly previewList: number;
  /** Tokens whose logits a preview computes exactly; 0: its default. */
  readonly candidates: number;
  readonly steps: number;
  readonly batch: number;
  readonly sequence: number;
  readonly lr: number;
  /** Tokens that the loss compares; 0: the whole vocabulary. */
  readonly list: number;
  /** Share of documents held out to measure on. */
  readonly heldShare: number;
  readonly measureEvery: number;
  readonly seed: number;
  /** Sampled documents; 0: text is given. */
  readonly self: number;
  readonly selfTemperature: number;
  readonly selfTokens: number;
  /** Input of predicted keys and values. */
  readonly project: ProjectionInput | "none";
}

/** Independent of the model. */
export const recipeDefaults = {
  exits: libraryDefaults.attach.exits,
  previewList: 0,
  steps: libraryDefaults.train.steps,
  batch: libraryDefaults.train.batchSize,
  sequence: libraryDefaults.train.sequenceLength,
  lr: libraryDefaults.train.learningRate,
  heldShare: 0.05,
  measureEvery: libraryDefaults.train.measureEvery,
  selfTokens: 144,
  seed: 0,
} as const satisfies Partial<HeadRecipe>;

/** Vocabulary above which the loss compares a list of tokens: all would take most of the time. */
const LARGE_VOCABULARY = 16_384;
const LISTED = 8192;

/**
 * The place of a single exit in a model with a large vocabulary, as a share of its blocks: plain models decide late.
 */
const LATE = 0.7;

/**
 * Recipe without the user's word. If the vocabulary is so large that a head would cost more than the blocks it saves,
 * it is that of the package's exits: a late head with a preview of the vocabulary, and a preview of the unembedding.
 */
export function recipeFor({ config }: Model): HeadRecipe {
  const large = defaultKind(config) !== "dense";
  return {
    ...recipeDefaults,
    exits: Math.min(large ? 1 : recipeDefaults.exits, config.numLayers - 1),
    depths: large && config.numLayers > 1 ? [Math.max(1, Math.round(LATE * config.numLayers))] : [],
    kind: defaultKind(config),
    headPreview: large ? previewSize(config, "linear").rank : 0,
    preview: large ? previewSize(config, "preview").rank : 0,
    candidates: 0,
    sequence: Math.min(recipeDefaults.sequence, config.maxPositionEmbeddings),
    list: config.vocabSize > LARGE_VOCABULARY ? LISTED : 0,
    self: 0,
    selfTemperature: 1,
    project: "none",
  };
}

/** Depths without the preview of the unembedding, whose states are always recorded. */
export function depthsOf({ config }: Model, { exits, depths }: HeadRecipe): readonly number[] {
  if (depths.length > 0) return depths.filter((depth) => depth < config.numLayers);
  return exits === 0 ? [] : placeExits(config.numLayers, exits);
}
