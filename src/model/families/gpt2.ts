/**
 * GPT-2 (Radford et al. 2019): learned positions, LayerNorm, biases everywhere, GELU (tanh form), tied embeddings.
 * Its linear layers are "Conv1D": weights are stored [K, N], and query, key and value are thirds of one matrix.
 */
import type { ModelConfig } from "../config.js";
import type { LinearPlan } from "../weights.js";
import { allBiases, endIds, type Family, layerNormPlan, linearPlan, range } from "./family.js";

export const gpt2: Family = {
  prefixes: ["transformer.", ""],
  landmark: "wte.weight",

  readConfig(json): ModelConfig {
    const hiddenSize = json.size("n_embd", 768);
    const numHeads = json.size("n_head", 12);
    json.only("scale_attn_weights", true);
    json.only("scale_attn_by_inverse_layer_idx", false);
    json.only("add_cross_attention", false);
    return {
      modelType: "gpt2",
      vocabSize: json.size("vocab_size", 50_257),
      hiddenSize,
      numLayers: json.layers("n_layer", 12),
      numKvSharedLayers: 0,
      numHeads,
      numKvHeads: numHeads,
      headDim: hiddenSize / numHeads,
      intermediateSize: json.size("n_inner", 4 * hiddenSize),
      maxPositionEmbeddings: json.size("n_positions", 1024),
      norm: "layerNorm",
      normEpsilon: json.number("layer_norm_epsilon", 1e-5),
      activation: json.activation("activation_function", "gelu_new"),
      gatedMlp: false,
      parallelResidual: false,
      tieWordEmbeddings: json.flag("tie_word_embeddings", true),
      biases: allBiases,
      ...endIds(json),
    };
  },

  plan(config, prefix) {
    const { hiddenSize: c, intermediateSize: f, vocabSize } = config;
    const conv = (name: string, k: number, n: number, rows?: readonly number[]): LinearPlan => ({
      weight: [{ name: `${name}.weight`, shape: [k, n], transposed: true, ...(rows && { rows }) }],
      bias: [{ name: `${name}.bias`, shape: [n], ...(rows && { rows }) }],
    });
    const norm = layerNormPlan(c);
    return {
      embedding: { name: `${prefix}wte.weight`, shape: [vocabSize, c] },
      positionEmbedding: { name: `${prefix}wpe.weight`, shape: [config.maxPositionEmbeddings, c] },
      blocks: range(0, config.numLayers).map((l) => {
        const at = `${prefix}h.${l}`;
        return {
          attentionNorm: norm(`${at}.ln_1`),
          query: conv(`${at}.attn.c_attn`, c, 3 * c, range(0, c)),
          keyValue: conv(`${at}.attn.c_attn`, c, 3 * c, range(c, 3 * c)),
          attentionOut: conv(`${at}.attn.c_proj`, c, c),
          mlpNorm: norm(`${at}.ln_2`),
          up: conv(`${at}.mlp.c_fc`, c, f),
          down: conv(`${at}.mlp.c_proj`, f, c),
        };
      }),
      finalNorm: norm(`${prefix}ln_f`),
      ...(!config.tieWordEmbeddings && {
        unembedding: linearPlan(["lm_head"], vocabSize, c),
      }),
    };
  },
};
