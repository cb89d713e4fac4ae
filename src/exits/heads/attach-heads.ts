/** Attaches untrained exit heads to a frozen model. */
import { OptionError } from "../../errors.js";
import type { Model } from "../../model/index.js";
import type { WeightDtype } from "../../tensor/index.js";
import { ExitHead } from "./exit-head.js";
import { ExitHeads } from "./exit-heads.js";
import { chooseShape, type HeadKind } from "./head-shape.js";
import type { HeadMap } from "./maps/index.js";
import { checkDepths, placeExits, type Placement } from "./placement.js";
import { type HeadVocabulary, type PreviewSize, unembeddingPreviewSize } from "./vocabularies/index.js";

/** The preview of the model's own unembedding. */
export interface UnembeddingPreview extends Partial<PreviewSize> {
  /** The token ids that it ranks and can emit (`frequentTokens` finds them). @default all */
  readonly shortlist?: readonly number[];
}

/** Where heads go, and of which kind they are. */
export interface AttachOptions {
  /**
   * How many exits, placed by `placement`; or their depths (blocks run, ascending). None is legal beside a preview of
   * the unembedding. @default 3, or L - 1 if fewer
   */
  readonly exits?: number | readonly number[];
  /** @default "v2" */
  readonly placement?: Placement;
  /** A name for a map and a vocabulary. @default "dense"; "linear" if the unembedding has more than 2^23 values */
  readonly kind?: HeadKind;
  /** How the state becomes a vector, in place of a kind. @default "none" if only a vocabulary is given */
  readonly map?: HeadMap;
  /** How the vector becomes logits, in place of a kind. @default "full" if only a map is given */
  readonly vocabulary?: HeadVocabulary;
  /**
   * Inner size of the maps lowRank (@default C/4) and mlp (@default C). With other maps the number of tokens of a list
   * (@default 16,384 of previewShortlist, 8,192 of shortlist, 256 of trainedShortlist, or V/2 if fewer).
   */
  readonly inner?: number;
  /** The token ids that a vocabulary with a list can emit (`frequentTokens` finds them). @default the lowest ids */
  readonly shortlist?: readonly number[];
  /**
   * The size of a preview: the rank of its coarse logits, and how many tokens get exact ones.
   * @default { rank: C/6, candidates: 64, or half of the ranked tokens if fewer }
   */
  readonly preview?: Partial<PreviewSize>;
  /**
   * One more exit, after the last block: a preview of the model's own unembedding, of this size. Where its margin
   * passes the policy's threshold, the full product does not run. There is nothing to train; `fitPreviews` fits it.
   * `true`: of all tokens, rank C/3 and 128 candidates, or V/2 if fewer. @default false
   */
  readonly unembeddingPreview?: boolean | UnembeddingPreview;
  /**
   * The dtype of the heads' own packed matrices. A coarser one than the model's reduces memory traffic; calibration
   * measures what it costs in agreement. @default the model's; int8 beside int4 and "stored"; int4 for the coarse
   * logits of previews
   */
  readonly dtype?: WeightDtype;
  /** Seeds the random part of the initial weights (lowRank, mlp). @default 0 */
  readonly seed?: number;
}

export const attachDefaults = {
  /** L - 1 if fewer. */
  exits: 3,
  placement: "v2",
  seed: 0,
} as const satisfies AttachOptions;

/**
 * Attaches untrained heads (logit lenses) to a model, which stays frozen. Throws an OptionError if the exits do not fit
 * the model, and a HeadsError if a kind, map, vocabulary or dtype does not exist or a shortlist is illegal.
 */
export function attachHeads(model: Model, options: AttachOptions = {}): ExitHeads {
  const { numLayers } = model.config;
  const { exits = Math.min(attachDefaults.exits, numLayers - 1), seed = attachDefaults.seed } = options;
  const { unembeddingPreview: preview = false } = options;
  const none = preview !== false && (exits === 0 || (typeof exits === "object" && exits.length === 0));
  const depths = none ? [] : chooseDepths(numLayers, exits, options);
  const shape = chooseShape(model, options);
  const heads = depths.map((depth) => new ExitHead(model, depth, shape));
  if (preview !== false) heads.push(previewOf(model, depths, preview === true ? {} : preview));
  return new ExitHeads(model, heads, seed);
}

function chooseDepths(
  numLayers: number,
  exits: number | readonly number[],
  { placement = attachDefaults.placement }: AttachOptions,
): readonly number[] {
  return typeof exits === "number" ? placeExits(numLayers, exits, placement) : checkDepths(numLayers, exits);
}

/** The exit at depth L, beside exits at these depths. */
function previewOf(model: Model, depths: readonly number[], { shortlist, ...size }: UnembeddingPreview): ExitHead {
  const { numLayers, hiddenSize, vocabSize } = model.config;
  if (depths.at(-1) === numLayers) {
    throw new OptionError(
      "exit-depths",
      `attachHeads: there is an exit at depth ${numLayers} already, where the preview of the unembedding would be; ` +
        "leave out one of them",
      { depths, numLayers },
    );
  }
  const preview = { ...unembeddingPreviewSize({ hiddenSize, vocabSize: shortlist?.length ?? vocabSize }), ...size };
  const vocabulary = shortlist === undefined ? "preview" : "previewShortlist";
  return new ExitHead(model, numLayers, chooseShape(model, { map: "none", vocabulary, shortlist, preview }));
}
