/**
 * Hugging Face checkpoints as llama.cpp's converter writes them: its architectures, keys, names, order of rows and
 * orientation of matrices, all as F32. The table is the converter's side of src/model/gguf/config.ts.
 */
import { parseSafetensors } from "early-exits/tensor";
import { f32, ggufFile, text, u32, VALUE } from "./bytes.js";
import { partsOf, type PlainTensor, storeTensor, type TypedValue } from "./stored.js";

type Config = Readonly<Record<string, unknown>>;

type Pairs = (config: Config) => Readonly<Record<string, TypedValue>>;
/** Rules from Hugging Face's names (without .weight and .bias) to GGUF's, tried in order. */
type Names = readonly (readonly [pattern: RegExp, name: string])[];

interface Conversion {
  readonly architecture: string;
  /** Those of the norms of a block that differ. @default one norm before each half of a block */
  readonly norms?: Names;
  /** Metadata of the norm. @default that of an RMS norm */
  readonly norm?: Pairs;
  /** Metadata of rotary embeddings. @default with the number of dimensions that turn */
  readonly rotary?: Pairs;
  readonly more?: Pairs;
  /** @default none */
  readonly change?: (tensor: PlainTensor, config: Config) => PlainTensor;
}

export const number = (value: unknown): TypedValue => [VALUE.uint32, u32(Number(value))];
export const real = (value: unknown): TypedValue => [VALUE.float32, f32(Number(value))];
export const string = (value: string): TypedValue => [VALUE.string, text(value)];

const common: Names = [
  [/^(model\.embed_tokens|gpt_neox\.embed_in|transformer\.wte)$/, "token_embd"],
  [/^transformer\.wpe$/, "position_embd"],
  [/^(model\.norm|model\.final_layernorm|gpt_neox\.final_layer_norm|transformer\.ln_f)$/, "output_norm"],
  [/^(lm_head|embed_out)$/, "output"],
  [/\.self_attn\.([qkv])_proj$/, "attn_$1"],
  [/\.self_attn\.([qk])_norm$/, "attn_$1_norm"],
  [/\.(self_attn\.qkv_proj|attention\.query_key_value|attn\.c_attn)$/, "attn_qkv"],
  [/\.(self_attn\.o_proj|self_attn\.dense|attention\.dense|attn\.c_proj)$/, "attn_output"],
  [/\.(input_layernorm|ln_1)$/, "attn_norm"],
  [/\.mlp\.gate_proj$/, "ffn_gate"],
  [/\.mlp\.(up_proj|gate_up_proj|fc1|dense_h_to_4h|c_fc)$/, "ffn_up"],
  [/\.mlp\.(down_proj|fc2|dense_4h_to_h|c_proj)$/, "ffn_down"],
];
const preNorm: Names = [[/\.(post_attention_layernorm|ln_2)$/, "ffn_norm"]];
const postNorms: Names = [
  [/\.post_attention_layernorm$/, "post_attention_norm"],
  [/\.pre_feedforward_layernorm$/, "ffn_norm"],
  [/\.post_feedforward_layernorm$/, "post_ffw_norm"],
];

const rms: Pairs = (config) => ({ "attention.layer_norm_rms_epsilon": real(config["rms_norm_eps"] ?? 1e-6) });
const layerNorm: Pairs = (config) => ({
  "attention.layer_norm_epsilon": real(config["layer_norm_eps"] ?? config["layer_norm_epsilon"] ?? 1e-5),
});
const thetaOf = (config: Config): unknown => {
  const parameters = config["rope_parameters"] as Config | undefined;
  const full = parameters?.["full_attention"] as Config | undefined;
  return full?.["rope_theta"] ?? parameters?.["rope_theta"] ?? config["rope_theta"] ?? config["rotary_emb_base"] ?? 1e4;
};
const headDimOf = (config: Config) =>
  Number(config["head_dim"] ?? Number(config["hidden_size"]) / Number(config["num_attention_heads"]));
const rotaryOf: Pairs = (config) => ({
  "rope.freq_base": real(thetaOf(config)),
  "rope.dimension_count": number(
    headDimOf(config) * Number(config["rotary_pct"] ?? config["partial_rotary_factor"] ?? 1),
  ),
});
const slidingOf: Pairs = (config) => ({ "attention.sliding_window": number(config["sliding_window"]) });
const withHeadDim: Pairs = (config) => ({
  "attention.key_length": number(headDimOf(config)),
  "attention.value_length": number(headDimOf(config)),
});

/** Query and key rows in the order of the rotary kernel for neighbouring pairs: row s·D/2 + i of a head to 2·i + s. */
function interleaved(tensor: PlainTensor, config: Config) {
  if (!/attn_[qk]\./.test(tensor.name)) return tensor;
  const headDim = headDimOf(config);
  const columns = tensor.shape[1] ?? 1;
  const data = new Float32Array(tensor.data.length);
  for (let row = 0; row < data.length / columns; row++) {
    const within = row % headDim;
    const to = row - within + 2 * (within % (headDim / 2)) + Math.floor(within / (headDim / 2));
    data.set(tensor.data.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return { ...tensor, data };
}

function turned(tensor: PlainTensor) {
  if (tensor.shape.length !== 2 || !tensor.name.startsWith("blk.")) return tensor;
  const [rows, columns] = tensor.shape as [number, number];
  const data = tensor.data.map((_, i) => tensor.data[(i % rows) * columns + Math.floor(i / rows)]!);
  return { ...tensor, shape: [columns, rows], data };
}

/** From the heads' (query, key, value) to all queries, all keys, all values. */
function grouped(tensor: PlainTensor, config: Config) {
  if (!tensor.name.includes("attn_qkv")) return tensor;
  const heads = Number(config["num_attention_heads"]);
  const headSize = tensor.data.length / heads / 3; // values of one head's query, key or value
  const data = new Float32Array(tensor.data.length);
  for (let head = 0; head < heads; head++) {
    for (let which = 0; which < 3; which++) {
      const from = (head * 3 + which) * headSize;
      data.set(tensor.data.subarray(from, from + headSize), (which * heads + head) * headSize);
    }
  }
  return { ...tensor, data };
}

const CONVERSIONS: Readonly<Record<string, Conversion>> = {
  llama: { architecture: "llama", change: interleaved },
  mistral: { architecture: "llama", more: slidingOf, change: interleaved },
  smollm3: { architecture: "smollm3", change: interleaved },
  qwen2: { architecture: "qwen2" },
  qwen3: { architecture: "qwen3", more: withHeadDim },
  olmo2: { architecture: "olmo2", norms: postNorms },
  gemma3_text: {
    architecture: "gemma3",
    norms: postNorms,
    rotary: (config) => ({ "rope.freq_base": real(thetaOf(config)) }),
    more: (config) => ({
      ...withHeadDim(config),
      ...slidingOf(config),
      "attention.sliding_window_pattern": [VALUE.array, slides(config["layer_types"] as readonly string[])],
    }),
    change: (tensor) =>
      tensor.name.endsWith("norm.weight") ? { ...tensor, data: tensor.data.map((value) => value + 1) } : tensor,
  },
  phi: { architecture: "phi2", norm: layerNorm },
  phi3: { architecture: "phi3" },
  gpt2: { architecture: "gpt2", norm: layerNorm, rotary: () => ({}), change: turned },
  gpt_neox: {
    architecture: "gptneox",
    norm: layerNorm,
    more: (config) => ({
      use_parallel_residual: [VALUE.bool, Uint8Array.of(Number(config["use_parallel_residual"]))],
    }),
    change: grouped,
  },
};

function slides(layerTypes: readonly string[]) {
  const values = layerTypes.map((type) => Number(type === "sliding_attention"));
  return Uint8Array.from([...u32(VALUE.bool), ...u32(values.length), 0, 0, 0, 0, ...values]);
}

export interface ConvertOptions {
  /** Metadata by key without the architecture, instead of or in addition to the usual pairs. */
  readonly pairs?: Readonly<Record<string, TypedValue>>;
  /** A last change of all tensors. */
  readonly edit?: (tensors: readonly PlainTensor[]) => readonly PlainTensor[];
}

/** A GGUF file without a tokenizer of a Hugging Face model. */
export function convertToGguf(...model: Parameters<typeof convertedParts>) {
  return ggufFile(convertedParts(...model));
}

/** Parts of such a file. */
export function convertedParts(
  config: Config,
  checkpoints: readonly Uint8Array[],
  { pairs = {}, edit = (tensors: readonly PlainTensor[]) => tensors }: ConvertOptions = {},
) {
  const { tensors, pairs: all } = converted(config, checkpoints, pairs);
  const stored = edit(tensors).map((tensor) => storeTensor(tensor, "F32"));
  return partsOf(stored, all);
}

/** Tensors of a Hugging Face model as GGUF has them, and its metadata without a tokenizer. */
export function converted(config: Config, checkpoints: readonly Uint8Array[], pairs: ConvertOptions["pairs"] = {}) {
  const {
    architecture,
    norms = preNorm,
    norm = rms,
    rotary = rotaryOf,
    more,
    change = (tensor: PlainTensor) => tensor,
  } = CONVERSIONS[String(config["model_type"])]!;
  const tensors = checkpoints.flatMap((bytes) => {
    const file = parseSafetensors(bytes);
    return file.names.map((name) =>
      change(
        { name: ggufName(name, [...common, ...norms]), shape: file.info(name).shape, data: file.float32(name) },
        config,
      ),
    );
  });
  const first = (...keys: readonly string[]): unknown =>
    keys.map((key) => config[key]).find((value) => value !== undefined && value !== null);
  const hiddenSize = first("hidden_size", "n_embd");
  const own: Readonly<Record<string, TypedValue>> = {
    block_count: number(first("num_hidden_layers", "n_layer")),
    context_length: number(first("max_position_embeddings", "n_positions")),
    embedding_length: number(hiddenSize),
    feed_forward_length: number(first("intermediate_size", "n_inner") ?? 4 * Number(hiddenSize)),
    "attention.head_count": number(first("num_attention_heads", "n_head")),
    "attention.head_count_kv": number(first("num_key_value_heads", "num_attention_heads", "n_head")),
    ...norm(config),
    ...rotary(config),
    ...more?.(config),
    ...pairs,
  };
  const all = new Map<string, TypedValue>([["general.architecture", string(architecture)]]);
  for (const [key, value] of Object.entries(own)) all.set(`${architecture}.${key}`, value);
  all.set("tokenizer.ggml.eos_token_id", number(config["eos_token_id"]));
  return { tensors, pairs: all };
}

function ggufName(name: string, rules: Names) {
  const [, stem, kind] = /^(.+)\.(weight|bias)$/.exec(name)!;
  const [, block] = /\.(?:layers|h)\.(\d+)\./.exec(stem!) ?? [];
  const [pattern, replacement] = rules.find(([rule]) => rule.test(stem!))!;
  const translated = replacement.replace("$1", pattern.exec(stem!)![1] ?? "");
  return `${block === undefined ? "" : `blk.${block}.`}${translated}.${kind!}`;
}
