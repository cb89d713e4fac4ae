/**
 * Llama (Touvron et al. 2023; Dubey et al. 2024) and Qwen2 (Yang et al. 2024): rotary positions, RMSNorm, SwiGLU,
 * grouped key/value heads, tied or untied embeddings, explicit head size, optional biases (Qwen2: on query, key and
 * value). `num_kv_shared_layers`, a field of Gemma 3n's, is read too: models pretrained here may share keys and values
 * across blocks; their config.json is written here.
 */
import { ModelError } from "../../errors.js";
import type { ConfigReader } from "../config-reader.js";
import { keyValueLayers, type ModelConfig } from "../config.js";
import type { LinearPlan, NormPlan, WeightLayout } from "../weights.js";
import { bos, type Family } from "./family.js";

interface LlamaVariant extends Pick<ModelConfig, "modelType" | "biases"> {
  readonly tiedByDefault: boolean;
}

/** Reads what families like llama have in common. */
export function readLlamaConfig(json: ConfigReader, { modelType, biases, tiedByDefault }: LlamaVariant): ModelConfig {
  const hiddenSize = json.size("hidden_size");
  const numHeads = json.size("num_attention_heads");
  const headDim = json.size("head_dim", Math.max(1, Math.floor(hiddenSize / numHeads)));
  const rotary = json.rotary(headDim);
  const { scaling } = rotary;
  const context = json.size("max_position_embeddings", 2048); // LongRoPE may end it earlier
  return {
    modelType,
    vocabSize: json.size("vocab_size"),
    hiddenSize,
    numLayers: json.layers("num_hidden_layers"),
    numKvSharedLayers: json.count("num_kv_shared_layers", 0),
    numHeads,
    numKvHeads: json.size("num_key_value_heads", numHeads),
    headDim,
    intermediateSize: json.size("intermediate_size"),
    maxPositionEmbeddings:
      scaling?.ropeType === "longrope" ? Math.min(context, scaling.originalMaxPositionEmbeddings) : context,
    norm: "rmsNorm",
    normEpsilon: json.number("rms_norm_eps", 1e-6),
    activation: json.activation("hidden_act", "silu"),
    gatedMlp: true,
    rotary,
    parallelResidual: false,
    tieWordEmbeddings: json.flag("tie_word_embeddings", tiedByDefault),
    biases,
    ...bos(json.tokenIds("bos_token_id")),
    eosTokenIds: json.tokenIds("eos_token_id"),
  };
}

/** Families like llama change parts. */
export function llamaPlan(config: ModelConfig, prefix: string): WeightLayout {
  const { hiddenSize: c, intermediateSize: f, vocabSize, numHeads, numKvHeads, headDim, biases } = config;
  /** Several stored matrices, stacked: [key; value], [gate; up]. */
  const linear = (names: readonly string[], n: number, k: number, { bias = false } = {}): LinearPlan => ({
    weight: names.map((name) => ({ name: `${name}.weight`, shape: [n, k] })),
    ...(bias && { bias: names.map((name) => ({ name: `${name}.bias`, shape: [n] })) }),
  });
  const keyValue = (at: string): LinearPlan =>
    linear([`${at}.self_attn.k_proj`, `${at}.self_attn.v_proj`], numKvHeads * headDim, c, { bias: biases.keyValue });
  const norm = (name: string): NormPlan => ({ gain: { name: `${name}.weight`, shape: [c] } });
  return {
    embedding: { name: `${prefix}embed_tokens.weight`, shape: [vocabSize, c] },
    blocks: Array.from({ length: config.numLayers }, (_, l) => {
      const at = `${prefix}layers.${l}`;
      return {
        attentionNorm: norm(`${at}.input_layernorm`),
        query: linear([`${at}.self_attn.q_proj`], numHeads * headDim, c, { bias: biases.query }),
        keyValue: l < keyValueLayers(config) ? keyValue(at) : undefined,
        attentionOut: linear([`${at}.self_attn.o_proj`], c, numHeads * headDim, { bias: biases.attentionOut }),
        mlpNorm: norm(`${at}.post_attention_layernorm`),
        up: linear([`${at}.mlp.gate_proj`, `${at}.mlp.up_proj`], f, c, { bias: biases.mlp }),
        down: linear([`${at}.mlp.down_proj`], c, f, { bias: biases.mlp }),
      };
    }),
    finalNorm: norm(`${prefix}norm`),
    ...(!config.tieWordEmbeddings && { unembedding: linear(["lm_head"], vocabSize, c) }),
  };
}

const shared = {
  prefixes: ["model.", "", "transformer."],
  landmark: "embed_tokens.weight",
  plan: llamaPlan,
} satisfies Omit<Family, "readConfig">;

export const llama: Family = {
  ...shared,
  readConfig(json) {
    const attention = json.flag("attention_bias", false);
    const mlp = json.flag("mlp_bias", false);
    return readLlamaConfig(json, {
      modelType: "llama",
      biases: { query: attention, keyValue: attention, attentionOut: attention, mlp },
      tiedByDefault: false,
    });
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
    return readLlamaConfig(json, {
      modelType: "qwen2",
      biases: { query: true, keyValue: true, attentionOut: false, mlp: false },
      tiedByDefault: false,
    });
  },
};

export interface LlamaConfig extends Pick<
  ModelConfig,
  | "vocabSize"
  | "hiddenSize"
  | "numLayers"
  | "numHeads"
  | "numKvHeads"
  | "intermediateSize"
  | "maxPositionEmbeddings"
  | "tieWordEmbeddings"
  | "bosTokenId"
  | "eosTokenIds"
> {
  readonly numKvSharedLayers?: number;
  /** Dtype that other libraries load. @default "float32" */
  readonly torchDtype?: string;
}

/** Inverse of `readLlamaConfig`. */
export function llamaConfigJson({
  numKvSharedLayers = 0,
  torchDtype = "float32",
  ...config
}: LlamaConfig): Record<string, unknown> {
  if (config.hiddenSize % config.numHeads !== 0) {
    throw new ModelError(
      "config-heads",
      `llama: hidden size ${config.hiddenSize} is not a multiple of ${config.numHeads} heads`,
    );
  }
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKvHeads,
    head_dim: config.hiddenSize / config.numHeads,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxPositionEmbeddings,
    hidden_act: "silu",
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: config.tieWordEmbeddings,
    attention_bias: false,
    mlp_bias: false,
    ...(numKvSharedLayers > 0 && { num_kv_shared_layers: numKvSharedLayers }),
    ...(config.bosTokenId !== undefined && { bos_token_id: config.bosTokenId }),
    eos_token_id: config.eosTokenIds[0] ?? null,
    torch_dtype: torchDtype,
  };
}
