/** Qwen3 (Yang et al. 2025): a llama without biases whose queries and keys are normed, each head alone. */
import { llamaPlan, readLlamaConfig } from "./llama.js";
import type { Family } from "./family.js";

export const qwen3: Family = {
  prefixes: ["model.", ""],
  landmark: "embed_tokens.weight",

  readConfig(json) {
    json.only("use_sliding_window", false);
    const bias = json.flag("attention_bias", false);
    return readLlamaConfig(json, {
      modelType: "qwen3",
      biases: { query: bias, keyValue: bias, attentionOut: bias, mlp: false },
      tiedByDefault: false,
    });
  },

  plan(config, prefix) {
    const layout = llamaPlan(config, prefix);
    return {
      ...layout,
      blocks: layout.blocks.map((block, l) => {
        const at = `${prefix}layers.${l}.self_attn`;
        return {
          ...block,
          queryNorm: { gain: { name: `${at}.q_norm.weight`, shape: [config.headDim] } },
          keyNorm: { gain: { name: `${at}.k_norm.weight`, shape: [config.headDim] } },
        };
      }),
    };
  },
};
