/** Attaches untrained exit heads to a frozen model. */
import type { Model } from "../../model/index.js";
import type { WeightDtype } from "../../tensor/index.js";
import { ExitHead } from "./exit-head.js";
import { ExitHeads } from "./exit-heads.js";
import { chooseShape } from "./head-shape.js";
import type { HeadKind } from "./kinds/index.js";
import { checkDepths, placeExits, type Placement } from "./placement.js";

/** Where heads go, and of which kind they are. */
export interface AttachOptions {
  /** How many exits, placed by `placement`; or their depths (blocks run, ascending). @default 3, or L - 1 if fewer */
  readonly exits?: number | readonly number[];
  /** @default "v2" */
  readonly placement?: Placement;
  /** @default "dense" */
  readonly kind?: HeadKind;
  /**
   * Inner size of lowRank (@default C/4) and mlp (@default C) heads, number of tokens of shortlist heads (@default 256,
   * or V/2 if fewer).
   */
  readonly inner?: number;
  /** The token ids that shortlist heads can emit (`frequentTokens` finds them). @default the lowest ids */
  readonly shortlist?: readonly number[];
  /**
   * The dtype of the heads' own packed matrices. A coarser one than the model's reduces memory traffic; calibration
   * measures what it costs in agreement. @default the model's; int8 beside int4 and "stored"
   */
  readonly dtype?: WeightDtype;
  /** Seeds the random part of the initial weights (lowRank, mlp). @default 0 */
  readonly seed?: number;
}

export const attachDefaults = {
  /** L - 1 if fewer. */
  exits: 3,
  placement: "v2",
  kind: "dense",
  seed: 0,
} as const satisfies AttachOptions;

/**
 * Attaches untrained heads (logit lenses) to a model, which stays frozen. Throws an OptionError if the exits do not fit
 * the model, and a HeadsError if a kind or dtype does not exist or a shortlist is illegal.
 */
export function attachHeads(model: Model, options: AttachOptions = {}): ExitHeads {
  const { numLayers } = model.config;
  const { exits = Math.min(attachDefaults.exits, numLayers - 1), seed = attachDefaults.seed } = options;
  const { placement = attachDefaults.placement, kind = attachDefaults.kind } = options;
  const depths = typeof exits === "number" ? placeExits(numLayers, exits, placement) : checkDepths(numLayers, exits);
  const shape = chooseShape(model, { ...options, kind });
  const heads = depths.map((depth) => new ExitHead(model, depth, shape));
  return new ExitHeads(model, heads, seed);
}
