/**
 * GPT-NeoX and Pythia (Black et al. 2022, Biderman et al. 2023): partial rotary positions, LayerNorm, biases, parallel
 * or sequential attention and MLP, untied embeddings. The fused projection interleaves the heads: query, key and value
 * of head 0, then of head 1, …
 */
import type { ModelConfig } from "../config.js";
import { endIds, type Family, layerNormPlan, linearPlan, range } from "./family.js";

export const gptNeox: Family = {
  prefixes: ["gpt_neox.", "", "transformer."],
  landmark: "embed_in.weight",

  readConfig(json): ModelConfig {
    const hiddenSize = json.size("hidden_size", 6144);
    const numHeads = json.size("num_attention_heads", 64);
    const headDim = hiddenSize / numHeads;
    const attentionBias = json.flag("attention_bias", true);
    return {
      modelType: "gpt_neox",
      vocabSize: json.size("vocab_size", 50_432),
      hiddenSize,
      numLayers: json.layers("num_hidden_layers", 44),
      numKvSharedLayers: 0,
      numHeads,
      numKvHeads: numHeads,
      headDim,
      intermediateSize: json.size("intermediate_size", 24_576),
      maxPositionEmbeddings: json.size("max_position_embeddings", 2048),
      norm: "layerNorm",
      normEpsilon: json.number("layer_norm_eps", 1e-5),
      activation: json.activation("hidden_act", "gelu"),
      gatedMlp: false,
      rotary: json.rotary(headDim, { thetaKey: "rotary_emb_base", share: json.number("rotary_pct", 0.25) }),
      parallelResidual: json.flag("use_parallel_residual", true),
      tieWordEmbeddings: json.flag("tie_word_embeddings", false),
      biases: { query: attentionBias, keyValue: attentionBias, attentionOut: attentionBias, mlp: true },
      ...endIds(json),
    };
  },

  plan(config, prefix) {
    const { hiddenSize: c, intermediateSize: f, vocabSize, numHeads, headDim, biases } = config;
    // Rows of query (0), key (1) or value (2) in the interleaved matrix.
    const rowOf = (i: number, which: number): number => (Math.floor(i / headDim) * 3 + which) * headDim + (i % headDim);
    const rowsOf = (which: number): number[] => range(0, numHeads * headDim).map((i) => rowOf(i, which));
    const norm = layerNormPlan(c);
    return {
      embedding: { name: `${prefix}embed_in.weight`, shape: [vocabSize, c] },
      blocks: range(0, config.numLayers).map((l) => {
        const at = `${prefix}layers.${l}`;
        const fused = [`${at}.attention.query_key_value`];
        return {
          attentionNorm: norm(`${at}.input_layernorm`),
          query: linearPlan(fused, 3 * c, c, { bias: biases.query, rows: rowsOf(0) }),
          keyValue: linearPlan(fused, 3 * c, c, { bias: biases.keyValue, rows: [...rowsOf(1), ...rowsOf(2)] }),
          attentionOut: linearPlan([`${at}.attention.dense`], c, c, { bias: biases.attentionOut }),
          mlpNorm: norm(`${at}.post_attention_layernorm`),
          up: linearPlan([`${at}.mlp.dense_h_to_4h`], f, c, { bias: true }),
          down: linearPlan([`${at}.mlp.dense_4h_to_h`], c, f, { bias: true }),
        };
      }),
      finalNorm: norm(`${prefix}final_layer_norm`),
      ...(!config.tieWordEmbeddings && { unembedding: linearPlan(["embed_out"], vocabSize, c) }),
    };
  },
};
