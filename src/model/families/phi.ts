/**
 * Phi-1, 1.5 and 2 (Gunasekar et al. 2023; Li et al. 2023): attention and MLP side by side behind one LayerNorm, biases
 * everywhere, in the unembedding too, partial rotary positions, GELU (tanh form).
 */
import type { ModelConfig } from "../config.js";
import type { LinearPlan } from "../weights.js";
import { allBiases, endIds, type Family, layerNormPlan, linearPlan, range } from "./family.js";

export const phi: Family = {
  prefixes: ["model.", ""],
  landmark: "embed_tokens.weight",

  readConfig(json): ModelConfig {
    json.only("qk_layernorm", false);
    const hiddenSize = json.size("hidden_size", 2048);
    const numHeads = json.size("num_attention_heads", 32);
    const headDim = hiddenSize / numHeads;
    return {
      modelType: "phi",
      vocabSize: json.size("vocab_size", 51_200),
      hiddenSize,
      numLayers: json.layers("num_hidden_layers", 24),
      numKvSharedLayers: 0,
      numHeads,
      numKvHeads: json.size("num_key_value_heads", numHeads),
      headDim,
      intermediateSize: json.size("intermediate_size", 8192),
      maxPositionEmbeddings: json.size("max_position_embeddings", 2048),
      norm: "layerNorm",
      normEpsilon: json.number("layer_norm_eps", 1e-5),
      activation: json.activation("hidden_act", "gelu_new"),
      gatedMlp: false,
      rotary: json.rotary(headDim, { share: 0.5 }),
      parallelResidual: true,
      tieWordEmbeddings: json.flag("tie_word_embeddings", false),
      biases: allBiases,
      ...endIds(json),
    };
  },

  plan(config, prefix) {
    const { hiddenSize: c, intermediateSize: f, vocabSize, numHeads, numKvHeads, headDim } = config;
    const linear = (names: readonly string[], n: number, k: number): LinearPlan =>
      linearPlan(names, n, k, { bias: true });
    const norm = layerNormPlan(c);
    return {
      embedding: { name: `${prefix}embed_tokens.weight`, shape: [vocabSize, c] },
      blocks: range(0, config.numLayers).map((l) => {
        const at = `${prefix}layers.${l}`;
        return {
          attentionNorm: norm(`${at}.input_layernorm`),
          query: linear([`${at}.self_attn.q_proj`], numHeads * headDim, c),
          keyValue: linear([`${at}.self_attn.k_proj`, `${at}.self_attn.v_proj`], numKvHeads * headDim, c),
          attentionOut: linear([`${at}.self_attn.dense`], c, numHeads * headDim),
          up: linear([`${at}.mlp.fc1`], f, c),
          down: linear([`${at}.mlp.fc2`], c, f),
        };
      }),
      finalNorm: norm(`${prefix}final_layernorm`),
      ...(!config.tieWordEmbeddings && { unembedding: linear(["lm_head"], vocabSize, c) }),
    };
  },
};
