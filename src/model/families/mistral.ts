/** Mistral (Jiang et al. 2023): a llama whose blocks all may have a sliding window. */
import { llamaPlan, readLlamaConfig } from "./llama.js";
import type { Family } from "./family.js";

export const mistral: Family = {
  prefixes: ["model.", ""],
  landmark: "embed_tokens.weight",

  readConfig: (json) => ({
    ...readLlamaConfig(json, {
      modelType: "mistral",
      biases: { query: false, keyValue: false, attentionOut: false, mlp: false },
      tiedByDefault: false,
    }),
    ...json.window(4096),
  }),

  plan: llamaPlan,
};
