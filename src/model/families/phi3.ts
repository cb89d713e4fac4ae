/**
 * Phi-3 and Phi-4 (Abdin et al. 2024): a llama whose matrices are stored fused: query, key and value in one, gate and
 * up in another. Of "longrope" the original context is implemented.
 */
import { llamaPlan, readLlamaConfig } from "./llama.js";
import type { Family } from "./family.js";

export const phi3: Family = {
  prefixes: ["model.", ""],
  landmark: "embed_tokens.weight",

  readConfig(json) {
    const config = readLlamaConfig(json, {
      modelType: "phi3",
      biases: { query: false, keyValue: false, attentionOut: false, mlp: false },
      tiedByDefault: false,
    });
    return { ...config, ...json.window() };
  },

  plan(config, prefix) {
    const { hiddenSize: c, intermediateSize: f, numHeads, numKvHeads, headDim } = config;
    const query = numHeads * headDim;
    const all = query + 2 * numKvHeads * headDim;
    const queryRows = range(0, query);
    const keyValueRows = range(query, all);
    const layout = llamaPlan(config, prefix);
    return {
      ...layout,
      blocks: layout.blocks.map((block, l) => {
        const at = `${prefix}layers.${l}`;
        const fused = { name: `${at}.self_attn.qkv_proj.weight`, shape: [all, c] };
        return {
          ...block,
          query: { weight: [{ ...fused, rows: queryRows }] },
          keyValue: { weight: [{ ...fused, rows: keyValueRows }] },
          up: { weight: [{ name: `${at}.mlp.gate_up_proj.weight`, shape: [2 * f, c] }] },
        };
      }),
    };
  },
};

function range(begin: number, end: number): number[] {
  return Array.from({ length: end - begin }, (_, i) => begin + i);
}
