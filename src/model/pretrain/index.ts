/** Training a small model from scratch. */
export {
  evaluateLoss,
  pretrain,
  type PretrainOptions,
  type PretrainStep,
  type Supervision,
  tokenStream,
} from "./pretrain.js";
export { type RecipeName, recipeNames, type RecipeOptions, recipeOptions } from "./recipes.js";
