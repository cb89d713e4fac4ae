/** SmolLM3 (Bakouch et al. 2025): a llama in which every fourth block does not rotate (NoPE, Yang et al. 2025). */
import { llamaPlan, readLlamaConfig } from "./llama.js";
import type { Family } from "./family.js";

export const smollm3: Family = {
  prefixes: ["model.", ""],
  landmark: "embed_tokens.weight",

  readConfig(json) {
    json.only("use_sliding_window", false);
    const attention = json.flag("attention_bias", false);
    const config = readLlamaConfig(json, {
      modelType: "smollm3",
      biases: { query: attention, keyValue: attention, attentionOut: attention, mlp: json.flag("mlp_bias", false) },
      tiedByDefault: true,
    });
    const { numLayers, rotary } = config;
    const interval = json.size("no_rope_layer_interval", 4);
    const rotates =
      json.perLayer("no_rope_layers", numLayers, [0, 1]) ?? // 1: this block rotates
      Array.from({ length: numLayers }, (_, l) => Number((l + 1) % interval !== 0));
    return { ...config, layers: rotates.map((yes) => (yes && rotary ? { rotary } : {})) };
  },

  plan: llamaPlan,
};
