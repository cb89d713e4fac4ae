/**
 * Named ways of pretraining a model for early exits, as the study compares them. Depths and rates follow LayerSkip
 * (Elhoushi et al. 2024) where it states them; see pretrain.ts for the formulas.
 */
import { OptionError } from "../../errors.js";
import type { PretrainOptions } from "./pretrain.js";

export const recipeNames = ["vanilla", "deepSupervision", "layerDropout", "both"] as const;
export type RecipeName = (typeof recipeNames)[number];

/** Weight of each intermediate loss. */
const SUPERVISION_WEIGHT = 0.3;
/** Probability of skipping the last block. */
const LAYER_DROPOUT = 0.2;
/** Micro-batches per step under layer dropout, each with its own pattern of dropped blocks. */
const PATTERNS = 4;

/** The options of a recipe for a backbone of L blocks: intermediate losses come after L/4, L/2 and 3·L/4 blocks. */
export function recipeOptions(
  name: RecipeName,
  numLayers: number,
  batchSize: number,
): Pick<PretrainOptions, "supervision" | "layerDropout" | "microBatchSize"> {
  const depths = [...new Set([1, 2, 3].map((quarter) => Math.round((quarter * numLayers) / 4)))].filter(
    (depth) => depth >= 1 && depth < numLayers,
  );
  const deepSupervision = { supervision: { depths, weight: SUPERVISION_WEIGHT } };
  const layerDropout = {
    layerDropout: LAYER_DROPOUT,
    microBatchSize: batchSize % PATTERNS === 0 ? batchSize / PATTERNS : batchSize,
  };
  switch (name) {
    case "vanilla":
      return {};
    case "deepSupervision":
      return deepSupervision;
    case "layerDropout":
      return layerDropout;
    case "both":
      return { ...deepSupervision, ...layerDropout };
    default:
      name satisfies never;
      throw new OptionError(
        "recipe-unknown",
        `pretrain: recipe ${JSON.stringify(name)} does not exist; choose one of ${recipeNames.join(", ")}`,
        { name },
      );
  }
}
