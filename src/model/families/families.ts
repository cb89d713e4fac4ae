/** Families by the names in config.json: Llama and those that change parts of it; the others are in files beside. */
import { type Budgets, budgetsWith } from "../../budgets.js";
import { ModelError } from "../../errors.js";
import { shown } from "../../shown.js";
import { ConfigReader } from "../config-reader.js";
import { type AttentionConfig, checkConfig, keyValueLayers, type ModelConfig, type ModelType } from "../config.js";
import type { LinearPlan, NormPlan, WeightLayout } from "../weights.js";
import { endIds, type Family, linearPlan, range } from "./family.js";
import { gptNeox } from "./gpt-neox.js";
import { gpt2 } from "./gpt2.js";
import { phi } from "./phi.js";

// Llama (Touvron et al. 2023; Dubey et al. 2024) and Qwen2 (Yang et al. 2024): rotary positions, RMSNorm, SwiGLU,
// grouped key/value heads, tied or untied embeddings, explicit head size, optional biases (Qwen2: on query, key and
// value). `num_kv_shared_layers`, a field of Gemma 3n's, is read too: models pretrained here may share keys and values
// across blocks; their config.json is written here.

interface LlamaVariant extends Pick<ModelConfig, "modelType"> {
  /** @default as the fields "attention_bias" and, with `mlpBias`, "mlp_bias" say */
  readonly biases?: ModelConfig["biases"];
  /** @default false: the MLP has none */
  readonly mlpBias?: boolean;
  /** @default false */
  readonly tiedByDefault?: boolean;
}

const noBiases = { query: false, keyValue: false, attentionOut: false, mlp: false };

function biasesOf(json: ConfigReader, mlpBias: boolean): ModelConfig["biases"] {
  const attention = json.flag("attention_bias", false);
  const mlp = mlpBias && json.flag("mlp_bias", false);
  return { query: attention, keyValue: attention, attentionOut: attention, mlp };
}

/** Reads what families like llama have in common. */
function readLlamaConfig(
  json: ConfigReader,
  { modelType, mlpBias = false, biases = biasesOf(json, mlpBias), tiedByDefault = false }: LlamaVariant,
): ModelConfig {
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
    ...endIds(json),
  };
}

/** A norm without a bias, RMSNorm's. */
function gainPlan(name: string, width: number): NormPlan {
  return { gain: { name: `${name}.weight`, shape: [width] } };
}

/** Families like llama change parts. */
function llamaPlan(config: ModelConfig, prefix: string): WeightLayout {
  const { hiddenSize: c, intermediateSize: f, vocabSize, numHeads, numKvHeads, headDim, biases } = config;
  const keyValue = (at: string): LinearPlan =>
    linearPlan([`${at}.self_attn.k_proj`, `${at}.self_attn.v_proj`], numKvHeads * headDim, c, {
      bias: biases.keyValue,
    });
  const norm = (name: string): NormPlan => gainPlan(name, c);
  return {
    embedding: { name: `${prefix}embed_tokens.weight`, shape: [vocabSize, c] },
    blocks: Array.from({ length: config.numLayers }, (_, l) => {
      const at = `${prefix}layers.${l}`;
      return {
        attentionNorm: norm(`${at}.input_layernorm`),
        query: linearPlan([`${at}.self_attn.q_proj`], numHeads * headDim, c, { bias: biases.query }),
        keyValue: l < keyValueLayers(config) ? keyValue(at) : undefined,
        attentionOut: linearPlan([`${at}.self_attn.o_proj`], c, numHeads * headDim, { bias: biases.attentionOut }),
        mlpNorm: norm(`${at}.post_attention_layernorm`),
        up: linearPlan([`${at}.mlp.gate_proj`, `${at}.mlp.up_proj`], f, c, { bias: biases.mlp }),
        down: linearPlan([`${at}.mlp.down_proj`], c, f, { bias: biases.mlp }),
      };
    }),
    finalNorm: norm(`${prefix}norm`),
    ...(!config.tieWordEmbeddings && { unembedding: linearPlan(["lm_head"], vocabSize, c) }),
  };
}

const shared = {
  prefixes: ["model.", "", "transformer."],
  landmark: "embed_tokens.weight",
  plan: llamaPlan,
} satisfies Omit<Family, "readConfig">;

const llama: Family = {
  ...shared,
  readConfig: (json) => readLlamaConfig(json, { modelType: "llama", mlpBias: true }),
};

const qwen2: Family = {
  ...shared,
  readConfig(json) {
    if (json.flag("use_sliding_window", false)) {
      throw new ModelError(
        "config-field",
        `${json.file}: "use_sliding_window" is true; only full attention is implemented`,
      );
    }
    return readLlamaConfig(json, { modelType: "qwen2", biases: { ...noBiases, query: true, keyValue: true } });
  },
};

interface LlamaConfig extends Pick<
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

type BlockLayout = WeightLayout["blocks"][number];

/** Llama's plan with other blocks; `at` is the prefix of a block's tensors. */
function planWith(change: (at: string, config: ModelConfig) => Partial<BlockLayout>): Family["plan"] {
  return (config, prefix) => {
    const layout = llamaPlan(config, prefix);
    const blocks = layout.blocks.map((block, l) => ({ ...block, ...change(`${prefix}layers.${l}`, config) }));
    return { ...layout, blocks };
  };
}

/** Mistral (Jiang et al. 2023): a llama whose blocks all may have a sliding window. */
const mistral: Family = {
  ...shared,
  readConfig: (json) => ({
    ...readLlamaConfig(json, { modelType: "mistral", biases: noBiases }),
    ...json.window(4096),
  }),
};

/** Qwen3 (Yang et al. 2025): a llama without biases whose queries and keys are normed, each head alone. */
const qwen3: Family = {
  ...shared,
  readConfig(json) {
    json.only("use_sliding_window", false);
    return readLlamaConfig(json, { modelType: "qwen3" });
  },
  plan: planWith((at, { headDim }) => ({
    queryNorm: gainPlan(`${at}.self_attn.q_norm`, headDim),
    keyNorm: gainPlan(`${at}.self_attn.k_norm`, headDim),
  })),
};

/** SmolLM3 (Bakouch et al. 2025): a llama in which every fourth block does not rotate (NoPE, Yang et al. 2025). */
const smollm3: Family = {
  ...shared,
  readConfig(json) {
    json.only("use_sliding_window", false);
    const config = readLlamaConfig(json, { modelType: "smollm3", mlpBias: true, tiedByDefault: true });
    const { numLayers, rotary } = config;
    const interval = json.size("no_rope_layer_interval", 4);
    const rotates =
      json.perLayer("no_rope_layers", numLayers, [0, 1]) ?? // 1: this block rotates
      Array.from({ length: numLayers }, (_, l) => Number((l + 1) % interval !== 0));
    return { ...config, layers: rotates.map((yes) => (yes && rotary ? { rotary } : {})) };
  },
};

/**
 * OLMo 2 (OLMo Team 2024): a llama with its norms behind attention and MLP instead of before them; queries and keys are
 * normed too, all heads together.
 */
const olmo2: Family = {
  ...shared,
  readConfig(json) {
    json.only("clip_qkv", null);
    return readLlamaConfig(json, { modelType: "olmo2" });
  },
  plan: planWith((at, { hiddenSize, numHeads, numKvHeads, headDim }) => ({
    attentionNorm: undefined,
    queryNorm: gainPlan(`${at}.self_attn.q_norm`, numHeads * headDim),
    keyNorm: gainPlan(`${at}.self_attn.k_norm`, numKvHeads * headDim),
    attentionPostNorm: gainPlan(`${at}.post_attention_layernorm`, hiddenSize),
    mlpNorm: undefined,
    mlpPostNorm: gainPlan(`${at}.post_feedforward_layernorm`, hiddenSize),
  })),
};

/**
 * Phi-3 and Phi-4 (Abdin et al. 2024): a llama whose matrices are stored fused: query, key and value in one, gate and
 * up in another. Of "longrope" the original context is implemented.
 */
const phi3: Family = {
  ...shared,
  readConfig: (json) => ({ ...readLlamaConfig(json, { modelType: "phi3", biases: noBiases }), ...json.window() }),
  plan: planWith((at, { hiddenSize: c, intermediateSize: f, numHeads, numKvHeads, headDim }) => {
    const query = numHeads * headDim;
    const all = query + 2 * numKvHeads * headDim;
    const fused = (rows: readonly number[]): LinearPlan => linearPlan([`${at}.self_attn.qkv_proj`], all, c, { rows });
    return {
      query: fused(range(0, query)),
      keyValue: fused(range(query, all)),
      up: linearPlan([`${at}.mlp.gate_up_proj`], 2 * f, c),
    };
  }),
};

/**
 * Gemma 3, the text model (Gemma Team 2025): a llama with norms on both sides of attention and of the MLP, norms of
 * queries and keys, a GELU gate, embeddings times √C, and sliding windows in five blocks of six, which rotate with a
 * base of their own. Norms multiply by 1 + what is stored. Attention divides by the root of `query_pre_attn_scalar`,
 * the head size but in the 27B model.
 */
const gemma3: Family = {
  ...shared,

  readConfig(json) {
    const config = readLlamaConfig(json, { modelType: "gemma3_text", tiedByDefault: true });
    const queryDivisor = json.number("query_pre_attn_scalar", 256);
    json.only("attn_logit_softcapping", null);
    json.only("final_logit_softcapping", null);
    json.only("use_bidirectional_attention", false);
    return {
      ...config,
      activation: json.activation("hidden_activation", "gelu_pytorch_tanh"),
      embeddingScale: Math.sqrt(config.hiddenSize),
      ...(queryDivisor !== config.headDim && { queryScale: Math.sqrt(config.headDim / queryDivisor) }),
      layers: layersOf(json, config),
    };
  },

  plan(config, prefix) {
    const norm = (name: string, width = config.hiddenSize): NormPlan => ({
      gain: { ...gainPlan(name, width).gain, plus: 1 },
    });
    const layout = planWith((at) => ({
      attentionNorm: norm(`${at}.input_layernorm`),
      queryNorm: norm(`${at}.self_attn.q_norm`, config.headDim),
      keyNorm: norm(`${at}.self_attn.k_norm`, config.headDim),
      attentionPostNorm: norm(`${at}.post_attention_layernorm`),
      mlpNorm: norm(`${at}.pre_feedforward_layernorm`),
      mlpPostNorm: norm(`${at}.post_feedforward_layernorm`),
    }))(config, prefix);
    return { ...layout, finalNorm: norm(`${prefix}norm`) };
  },
};

function layersOf(json: ConfigReader, { numLayers, headDim }: ModelConfig): AttentionConfig[] {
  const full: AttentionConfig = {
    rotary: json.rotary(headDim, { layerType: "full_attention", theta: 1_000_000 }),
  };
  const sliding: AttentionConfig = {
    rotary: json.rotary(headDim, {
      layerType: "sliding_attention",
      thetaKey: "rope_local_base_freq",
      theta: 10_000,
      scalingKey: null,
    }),
    ...json.window(4096),
  };
  const pattern = json.size("sliding_window_pattern", json.size("_sliding_window_pattern", 6));
  const types =
    json.perLayer("layer_types", numLayers, ["sliding_attention", "full_attention"]) ??
    Array.from({ length: numLayers }, (_, l) => ((l + 1) % pattern === 0 ? "full_attention" : "sliding_attention"));
  return types.map((type) => (type === "full_attention" ? full : sliding));
}

export const families: Readonly<Record<ModelType, Family>> = {
  gemma3_text: gemma3,
  gpt2,
  gpt_neox: gptNeox,
  llama,
  mistral,
  olmo2,
  phi,
  phi3,
  qwen2,
  qwen3,
  smollm3,
};

interface ReadConfigOptions {
  /** Raised limits (budgets.ts). */
  readonly budgets?: Partial<Budgets> | undefined;
}

/** Throws a ModelError that names the field, or lists the supported architectures. */
export function readModelConfig(json: unknown, { budgets }: ReadConfigOptions = {}): ModelConfig {
  const reader = new ConfigReader(json, "config.json", budgetsWith(budgets));
  const type = reader.text("model_type");
  if (!Object.hasOwn(families, type)) {
    throw new ModelError(
      "architecture-unknown",
      `config.json: model_type ${shown(type)} is not supported; supported are ${Object.keys(families).join(", ")}`,
      { modelType: type },
    );
  }
  return checkConfig(families[type as ModelType].readConfig(reader));
}
