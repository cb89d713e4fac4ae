/** Models of the Hugging Face Hub, by name. */
export {
  type HubOptions,
  type HubProgress,
  resolveModel,
  type ResolvedModel,
  resolveTokenizer,
} from "./resolve-model.js";
