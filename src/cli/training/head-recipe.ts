/** The options that determine the heads that `early-exits train` makes, and their defaults for a model. */
import type { Model } from "../../index.js";
import { defaultKind, placeExits, type ProjectionInput } from "../../exits/index.js";
import { attachDefaults } from "../../exits/heads/attach-heads.js";
import { previewSize } from "../../exits/heads/head-shape.js";
import { trainDefaults } from "../../exits/train/train-heads.js";

/** Kept in the checkpoint and in training.json. */
export interface HeadRecipe {
  /** How many exits, if `depths` is empty; 0: only the preview of the unembedding. */
  readonly exits: number;
  /** Where the exits are; empty: a rule says. */
  readonly depths: readonly number[];
  readonly kind: "dense" | "linear";
  /** Rank of the preview of linear heads; 0: none. */
  readonly headPreview: number;
  /** Rank of the preview of the model's unembedding, an exit after the last block; 0: none. */
  readonly preview: number;
  /** Tokens that previews rank, the most frequent ones; 0: all. */
  readonly previewList: number;
  /** Tokens whose logits a preview computes exactly; 0: its default. */
  readonly candidates: number;
  readonly steps: number;
  readonly batch: number;
  readonly sequence: number;
  readonly lr: number;
  /** Tokens that the loss compares; 0: the whole vocabulary. */
  readonly list: number;
  /** Share of the documents that is held out to measure on. */
  readonly heldShare: number;
  /** Steps between two measurements. */
  readonly measureEvery: number;
  readonly seed: number;
  /** Documents sampled from the model; 0: text is given. */
  readonly self: number;
  readonly selfTemperature: number;
  /** New tokens per sampled answer. */
  readonly selfTokens: number;
  /** The input from which keys and values are predicted. */
  readonly project: ProjectionInput | "none";
}

/** The defaults that do not depend on the model. */
export const recipeDefaults = {
  exits: attachDefaults.exits,
  previewList: 0,
  steps: trainDefaults.steps,
  batch: trainDefaults.batchSize,
  sequence: trainDefaults.sequenceLength,
  lr: trainDefaults.learningRate,
  heldShare: 0.05,
  measureEvery: trainDefaults.measureEvery,
  selfTokens: 144,
  seed: 0,
} as const satisfies Partial<HeadRecipe>;

/** Above this vocabulary, the loss compares a list of tokens: comparing all would take most of the time. */
const LARGE_VOCABULARY = 16_384;
const LISTED = 8192;

/** Where one exit of a model with a large vocabulary goes, as a share of its blocks: plain models decide late. */
const LATE = 0.7;

/**
 * The recipe of a run for which the user says nothing. If the vocabulary is so large that a head would cost more than
 * the blocks it saves, the recipe is that of the exits that come with the package: a late head with a preview of the
 * vocabulary, and a preview of the model's own unembedding.
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

/** The depths of the exits but the preview of the unembedding, whose states are recorded in any case. */
export function depthsOf({ config }: Model, { exits, depths }: HeadRecipe): readonly number[] {
  if (depths.length > 0) return depths.filter((depth) => depth < config.numLayers);
  return exits === 0 ? [] : placeExits(config.numLayers, exits);
}
