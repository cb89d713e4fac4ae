/**
 * OLMo 2 (OLMo Team 2024): a llama with its norms behind attention and MLP instead of before them; queries and keys are
 * normed too, all heads together.
 */
import { llamaPlan, readLlamaConfig } from "./llama.js";
import type { Family } from "./family.js";

export const olmo2: Family = {
  prefixes: ["model.", ""],
  landmark: "embed_tokens.weight",

  readConfig(json) {
    json.only("clip_qkv", null);
    const bias = json.flag("attention_bias", false);
    return readLlamaConfig(json, {
      modelType: "olmo2",
      biases: { query: bias, keyValue: bias, attentionOut: bias, mlp: false },
      tiedByDefault: false,
    });
  },

  plan(config, prefix) {
    const { hiddenSize, numHeads, numKvHeads, headDim } = config;
    const layout = llamaPlan(config, prefix);
    return {
      ...layout,
      blocks: layout.blocks.map((block, l) => {
        const norm = (name: string, width: number) => ({
          gain: { name: `${prefix}layers.${l}.${name}.weight`, shape: [width] },
        });
        return {
          query: block.query,
          queryNorm: norm("self_attn.q_norm", numHeads * headDim),
          keyValue: block.keyValue,
          keyNorm: norm("self_attn.k_norm", numKvHeads * headDim),
          attentionOut: block.attentionOut,
          attentionPostNorm: norm("post_attention_layernorm", hiddenSize),
          up: block.up,
          down: block.down,
          mlpPostNorm: norm("post_feedforward_layernorm", hiddenSize),
        };
      }),
    };
  },
};
