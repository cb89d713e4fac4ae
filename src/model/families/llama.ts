/**
 * Llama (Touvron et al. 2023; Dubey et al. 2024) and Qwen2 (Yang et al. 2024): rotary positions, RMSNorm, SwiGLU,
 * grouped key/value heads, tied or untied embeddings, explicit head size, optional biases (Qwen2: on query, key and
 * value). `num_kv_shared_layers`, a field of Gemma 3n's configurations, is read here too: models that this library
 * pretrains may share keys and values across blocks.
 */
import { ModelError } from "../../errors.js";
import { type ConfigReader, keyValueLayers, type ModelConfig, type ModelType } from "../config.js";
import type { LinearPlan } from "../weights.js";
import type { Family } from "./family.js";
import { bos } from "./gpt2.js";

function readConfig(
  json: ConfigReader,
  modelType: ModelType,
  biases: ModelConfig["biases"],
  tied: boolean,
): ModelConfig {
  const hiddenSize = json.size("hidden_size");
  const numHeads = json.size("num_attention_heads");
  const headDim = json.size("head_dim", Math.max(1, Math.floor(hiddenSize / numHeads)));
  return {
    modelType,
    vocabSize: json.size("vocab_size"),
    hiddenSize,
    numLayers: json.size("num_hidden_layers"),
    numKvSharedLayers: json.count("num_kv_shared_layers", 0),
    numHeads,
    numKvHeads: json.size("num_key_value_heads", numHeads),
    headDim,
    intermediateSize: json.size("intermediate_size"),
    maxPositionEmbeddings: json.size("max_position_embeddings", 2048),
    norm: "rmsNorm",
    normEpsilon: json.number("rms_norm_eps", 1e-6),
    activation: json.activation("hidden_act", "silu"),
    gatedMlp: true,
    rotary: json.rotary(headDim),
    parallelResidual: false,
    tieWordEmbeddings: json.flag("tie_word_embeddings", tied),
    biases,
    ...bos(json.tokenIds("bos_token_id")),
    eosTokenIds: json.tokenIds("eos_token_id"),
  };
}

const shared = {
  prefixes: ["model.", "", "transformer."],
  landmark: "embed_tokens.weight",

  plan(config, prefix) {
    const { hiddenSize: c, intermediateSize: f, vocabSize, numHeads, numKvHeads, headDim, biases } = config;
    /** Several stored matrices under one another: [key; value], [gate; up]. */
    const linear = (names: readonly string[], n: number, k: number, bias: boolean): LinearPlan => ({
      weight: names.map((name) => ({ name: `${name}.weight`, shape: [n, k] })),
      ...(bias && { bias: names.map((name) => ({ name: `${name}.bias`, shape: [n] })) }),
    });
    const norm = (name: string) => ({ gain: { name: `${name}.weight`, shape: [c] } });
    return {
      embedding: { name: `${prefix}embed_tokens.weight`, shape: [vocabSize, c] },
      blocks: Array.from({ length: config.numLayers }, (_, l) => {
        const at = `${prefix}layers.${l}`;
        return {
          attentionNorm: norm(`${at}.input_layernorm`),
          query: linear([`${at}.self_attn.q_proj`], numHeads * headDim, c, biases.query),
          keyValue:
            l < keyValueLayers(config)
              ? linear([`${at}.self_attn.k_proj`, `${at}.self_attn.v_proj`], numKvHeads * headDim, c, biases.keyValue)
              : undefined,
          attentionOut: linear([`${at}.self_attn.o_proj`], c, numHeads * headDim, biases.attentionOut),
          mlpNorm: norm(`${at}.post_attention_layernorm`),
          up: linear([`${at}.mlp.gate_proj`, `${at}.mlp.up_proj`], f, c, biases.mlp),
          down: linear([`${at}.mlp.down_proj`], c, f, biases.mlp),
        };
      }),
      finalNorm: norm(`${prefix}norm`),
      ...(!config.tieWordEmbeddings && { unembedding: linear(["lm_head"], vocabSize, c, false) }),
    };
  },
} satisfies Omit<Family, "readConfig">;

export const llama: Family = {
  ...shared,
  readConfig(json) {
    const attention = json.flag("attention_bias", false);
    return readConfig(
      json,
      "llama",
      { query: attention, keyValue: attention, attentionOut: attention, mlp: json.flag("mlp_bias", false) },
      false,
    );
  },
};

export const qwen2: Family = {
  ...shared,
  readConfig(json) {
    if (json.flag("use_sliding_window", false)) {
      throw new ModelError(
        "config-field",
        `${json.file}: "use_sliding_window" is true; only full attention is implemented`,
      );
    }
    return readConfig(json, "qwen2", { query: true, keyValue: true, attentionOut: false, mlp: false }, false);
  },
};
