/**
 * Named ways of pretraining for early exits, which the study compares. Depths and rates follow LayerSkip (Elhoushi et
 * al. 2024) where stated; pretrain.ts has the formulas.
 */
import type { PretrainOptions } from "./pretrain.js";

export type RecipeName = "vanilla" | "deepSupervision" | "layerDropout" | "both";

const SUPERVISION_WEIGHT = 0.3;
const LAYER_DROPOUT = 0.2;
/** Micro-batches under layer dropout; each has its own pattern of dropped blocks. */
const PATTERNS = 4;

type RecipeOptions = Pick<PretrainOptions, "supervision" | "layerDropout" | "microBatchSize">;

/** Intermediate losses come after a quarter, half and three quarters of the blocks. */
export function recipeOptions(name: RecipeName, numLayers: number, batchSize: number): RecipeOptions {
  const quarters = new Set([1, 2, 3].map((quarter) => Math.round((quarter * numLayers) / 4)));
  const depths = [...quarters].filter((depth) => depth >= 1 && depth < numLayers);
  const deepSupervision = { supervision: { depths, weight: SUPERVISION_WEIGHT } };
  const layerDropout = {
    layerDropout: LAYER_DROPOUT,
    microBatchSize: batchSize % PATTERNS === 0 ? batchSize / PATTERNS : batchSize,
  };
  const recipes = { vanilla: {}, deepSupervision, layerDropout, both: { ...deepSupervision, ...layerDropout } };
  return recipes[name];
}
