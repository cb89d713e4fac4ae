/**
 * A GGUF file's metadata as the config.json that a family reads. Tied embeddings (no output matrix), biases, and
 * factors of rotary wavelengths are only in the tensors.
 */
import { GgufError, ModelError } from "../../errors.js";
import type { Part } from "../checkpoint.js";
import type { GgufMetadata } from "./metadata.js";

// GGUF's words for each architecture: tensor names, fields of config.json that are not common to all, and layouts other
// than a Hugging Face checkpoint's:
//
//   llama, smollm3   query and key rows in the order of llama.cpp's rotary kernel (load-gguf.ts puts them back)
//   gemma3           norm gains are stored with the 1 that Hugging Face adds
//   gpt2             matrices as [N, K], where Hugging Face stores [K, N]
//   gptneox          all queries, then all keys, then all values; Hugging Face interleaves them head by head
//   phi2             query, key and value in one matrix, if the file is an early one
//
// Source: the public description of GGUF, and the names that llama.cpp's converter writes.

interface GgufFacts {
  readonly metadata: GgufMetadata;
  /** "context_length" -> "llama.context_length". */
  readonly own: (key: string) => string;
  /** Tells whether there is a tensor, by GGUF's name. */
  readonly has: (name: string) => boolean;
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

export interface Architecture {
  readonly modelType: string;
  /** Outside the blocks, by GGUF's names, without ".weight" and ".bias". */
  readonly outside: Readonly<Record<string, string>>;
  /** Prefix of a block's number. */
  readonly blocks: string;
  readonly inBlock: Readonly<Record<string, string>>;
  /** Query and key rows in the order of llama.cpp's rotary kernel. @default false */
  readonly interleaved?: boolean;
  /** Fields besides the common ones, or instead of them. */
  readonly fields?: (facts: GgufFacts) => Readonly<Record<string, unknown>>;
  /** A part of Hugging Face's layout, as in the file. */
  readonly storedAs?: (facts: GgufFacts) => (part: Part) => Part;
}

const llama: Architecture = {
  modelType: "llama",
  outside: { token_embd: "model.embed_tokens", output_norm: "model.norm", output: "lm_head" },
  blocks: "model.layers.",
  inBlock: {
    attn_norm: "input_layernorm",
    attn_q: "self_attn.q_proj",
    attn_k: "self_attn.k_proj",
    attn_v: "self_attn.v_proj",
    attn_output: "self_attn.o_proj",
    ffn_norm: "post_attention_layernorm",
    ffn_gate: "mlp.gate_proj",
    ffn_up: "mlp.up_proj",
    ffn_down: "mlp.down_proj",
  },
  interleaved: true,
  // Mistral models are written as llama.
  fields: (facts) => (hasWindow(facts) ? { model_type: "mistral", sliding_window: windowOf(facts) } : {}),
};

const llamaLike = { outside: llama.outside, blocks: llama.blocks, inBlock: llama.inBlock };
const headNorms = { attn_q_norm: "self_attn.q_norm", attn_k_norm: "self_attn.k_norm" };
const postNorms = { post_attention_norm: "post_attention_layernorm", post_ffw_norm: "post_feedforward_layernorm" };

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama,
  qwen2: { ...llamaLike, modelType: "qwen2" },
  qwen3: { ...llamaLike, modelType: "qwen3", inBlock: { ...llama.inBlock, ...headNorms } },
  smollm3: { ...llamaLike, modelType: "smollm3", interleaved: true },
  olmo2: {
    ...llamaLike,
    modelType: "olmo2",
    inBlock: { ...llama.inBlock, ...headNorms, ...postNorms },
    fields(facts) {
      if (!hasWindow(facts)) return {};
      const key = facts.own("attention.sliding_window");
      throw new ModelError(
        "config-field",
        `${facts.metadata.path}: "${key}" is that of OLMo 3; only OLMo 2 is supported`,
      );
    },
  },
  gemma3: {
    ...llamaLike,
    modelType: "gemma3_text",
    inBlock: { ...llama.inBlock, ...headNorms, ...postNorms, ffn_norm: "pre_feedforward_layernorm" },
    fields: gemma3Fields,
    storedAs: () => (part) => ({ ...part, plus: 0 }),
  },
  phi3: {
    ...llamaLike,
    modelType: "phi3",
    inBlock: { ...llama.inBlock, attn_qkv: "self_attn.qkv_proj", ffn_up: "mlp.gate_up_proj" },
    fields: (facts) => ({ sliding_window: hasWindow(facts) ? windowOf(facts) : null }),
  },
  phi2: {
    ...llamaLike,
    modelType: "phi",
    outside: { ...llama.outside, output_norm: "model.final_layernorm" },
    inBlock: {
      attn_norm: "input_layernorm",
      attn_qkv: "self_attn.qkv_proj",
      attn_q: "self_attn.q_proj",
      attn_k: "self_attn.k_proj",
      attn_v: "self_attn.v_proj",
      attn_output: "self_attn.dense",
      ffn_up: "mlp.fc1",
      ffn_down: "mlp.fc2",
    },
    fields: layerNorm,
    storedAs: phi2Parts,
  },
  gpt2: {
    modelType: "gpt2",
    outside: {
      token_embd: "transformer.wte",
      position_embd: "transformer.wpe",
      output_norm: "transformer.ln_f",
      output: "lm_head",
    },
    blocks: "transformer.h.",
    inBlock: {
      attn_norm: "ln_1",
      attn_qkv: "attn.c_attn",
      attn_output: "attn.c_proj",
      ffn_norm: "ln_2",
      ffn_up: "mlp.c_fc",
      ffn_down: "mlp.c_proj",
    },
    fields: ({ metadata, own, hiddenSize, numHeads }) => ({
      n_embd: hiddenSize,
      n_layer: metadata.number(own("block_count")),
      n_head: numHeads,
      n_positions: metadata.number(own("context_length")),
      n_inner: metadata.number(own("feed_forward_length")),
      layer_norm_epsilon: metadata.number(own("attention.layer_norm_epsilon")),
    }),
    storedAs: () => (part) => (part.transposed === true ? turned(part) : part),
  },
  gptneox: {
    modelType: "gpt_neox",
    outside: { token_embd: "gpt_neox.embed_in", output_norm: "gpt_neox.final_layer_norm", output: "embed_out" },
    blocks: "gpt_neox.layers.",
    inBlock: {
      attn_norm: "input_layernorm",
      attn_qkv: "attention.query_key_value",
      attn_output: "attention.dense",
      ffn_norm: "post_attention_layernorm",
      ffn_up: "mlp.dense_h_to_4h",
      ffn_down: "mlp.dense_4h_to_h",
    },
    fields: (facts) => ({
      ...layerNorm(facts),
      use_parallel_residual: facts.metadata.flag(facts.own("use_parallel_residual"), true),
      attention_bias: facts.has("blk.0.attn_qkv.bias"),
    }),
    storedAs: gptNeoxParts,
  },
};

function hasWindow({ metadata, own }: GgufFacts): boolean {
  return metadata.has(own("attention.sliding_window")) && windowOf({ metadata, own }) > 0;
}

function windowOf({ metadata, own }: Pick<GgufFacts, "metadata" | "own">): number {
  return metadata.number(own("attention.sliding_window"));
}

function layerNorm({ metadata, own }: GgufFacts): Readonly<Record<string, unknown>> {
  return { layer_norm_eps: metadata.number(own("attention.layer_norm_epsilon")) };
}

/** Only the 27B model's queries are not scaled by the size of a head. */
const GEMMA3_27B_BLOCKS = 62;

function gemma3Fields(facts: GgufFacts): Readonly<Record<string, unknown>> {
  const { metadata, own, hiddenSize, numHeads, headDim } = facts;
  const numLayers = metadata.number(own("block_count"));
  return {
    sliding_window: windowOf(facts),
    rope_local_base_freq: metadata.number(own("rope.freq_base_swa"), 10_000),
    query_pre_attn_scalar: numLayers === GEMMA3_27B_BLOCKS ? hiddenSize / numHeads : headDim,
    ...slidingPattern(facts, numLayers),
  };
}

/** Every n-th block attends to all positions; or a list tells each block's. */
function slidingPattern({ metadata, own }: GgufFacts, numLayers: number): Readonly<Record<string, unknown>> {
  const key = own("attention.sliding_window_pattern");
  const slides = metadata.flags(key, numLayers);
  if (slides === undefined) return { sliding_window_pattern: metadata.number(key, 6) };
  return { layer_types: slides.map((yes) => (yes ? "sliding_attention" : "full_attention")) };
}

/** [K, N] read by columns is [N, K] read by rows. */
function turned({ name, shape, rows }: Part): Part {
  return { name, shape: [...shape].reverse(), ...(rows && { rows }) };
}

/** Row d of head h's query (w = 0), key (1) or value (2): (3h + w)·D + d of Hugging Face, (wH + h)·D + d of GGUF. */
function gptNeoxParts({ numHeads, headDim }: GgufFacts): (part: Part) => Part {
  const moved = (row: number): number => {
    const group = Math.floor(row / headDim);
    return ((group % 3) * numHeads + Math.floor(group / 3)) * headDim + (row % headDim);
  };
  return (part) =>
    part.rows !== undefined && part.name.includes(".query_key_value.") ? { ...part, rows: part.rows.map(moved) } : part;
}

function phi2Parts({ has, numHeads, numKvHeads, headDim }: GgufFacts): (part: Part) => Part {
  if (!has("blk.0.attn_qkv.weight")) return (part) => part;
  const query = numHeads * headDim;
  const key = numKvHeads * headDim;
  const first: Readonly<Record<string, number>> = { q: 0, k: query, v: query + key };
  return (part) => {
    const begin = first[/\.self_attn\.([qkv])_proj\./.exec(part.name)?.[1] ?? ""];
    if (begin === undefined) return part;
    const [rows, ...columns] = part.shape;
    return {
      name: part.name.replace(/[qkv]_proj/, "qkv_proj"),
      shape: [query + 2 * key, ...columns],
      rows: Array.from({ length: rows! }, (_, row) => begin + row),
    };
  };
}

interface NamedTensor {
  readonly shape: readonly number[];
}

/** undefined if the file has no such tensor. */
type ReadVector = (name: string) => Promise<readonly number[] | undefined>;

export interface GgufConfig {
  readonly json: Readonly<Record<string, unknown>>;
  readonly architecture: Architecture;
  readonly facts: GgufFacts;
}

export async function ggufConfig(
  metadata: GgufMetadata,
  tensors: ReadonlyMap<string, NamedTensor>,
  readVector: ReadVector,
): Promise<GgufConfig> {
  const name = metadata.text("general.architecture");
  const architecture = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  if (architecture === undefined) {
    throw new ModelError(
      "architecture-unknown",
      `${metadata.path}: the architecture ${JSON.stringify(name)} is not supported as GGUF; ` +
        `supported are ${Object.keys(ARCHITECTURES).join(", ")}`,
      { architecture: name },
    );
  }
  const facts = factsOf(metadata, name, tensors);
  const { own, hiddenSize, numHeads, numKvHeads, headDim } = facts;
  const rotated = metadata.number(own("rope.dimension_count"), headDim)!;
  const end = metadata.number("tokenizer.ggml.eos_token_id", undefined);
  const endOfTurn = metadata.number("tokenizer.ggml.eot_token_id", undefined);
  const json = {
    model_type: architecture.modelType,
    vocab_size: tensors.get("token_embd.weight")?.shape[0],
    hidden_size: hiddenSize,
    num_hidden_layers: blockCount(metadata, own("block_count"), tensors.size),
    num_attention_heads: numHeads,
    num_key_value_heads: numKvHeads,
    head_dim: headDim,
    intermediate_size: metadata.number(own("feed_forward_length")),
    max_position_embeddings: metadata.number(own("context_length")),
    rms_norm_eps: metadata.number(own("attention.layer_norm_rms_epsilon"), undefined),
    rope_theta: metadata.number(own("rope.freq_base"), 10_000),
    partial_rotary_factor: rotated / headDim,
    ...(await ropeScaling(facts, readVector)),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: tensors.has("blk.0.attn_output.bias"),
    mlp_bias: tensors.has("blk.0.ffn_down.bias"),
    bos_token_id: metadata.number("tokenizer.ggml.bos_token_id", undefined),
    eos_token_id: [end, endOfTurn].filter((id, i, ids) => id !== undefined && ids.indexOf(id) === i),
    ...architecture.fields?.(facts),
  };
  return { json, architecture, facts };
}

function factsOf(metadata: GgufMetadata, name: string, tensors: ReadonlyMap<string, NamedTensor>): GgufFacts {
  const own = (key: string): string => `${name}.${key}`;
  const hiddenSize = metadata.number(own("embedding_length"));
  const numHeads = metadata.number(own("attention.head_count"));
  const numKvHeads = metadata.number(own("attention.head_count_kv"), numHeads)!;
  const headDim = metadata.number(own("attention.key_length"), Math.floor(hiddenSize / numHeads))!;
  requireTensorsOf(metadata, tensors, {
    embedding_length: hiddenSize,
    "attention.head_count": numHeads * headDim,
    "attention.head_count_kv": numKvHeads * headDim,
  });
  return { metadata, own, has: (tensor) => tensors.has(tensor), hiddenSize, numHeads, numKvHeads, headDim };
}

/** Lists of rows have these sizes, so one above every tensor's is refused first. */
function requireTensorsOf(
  { path }: GgufMetadata,
  tensors: ReadonlyMap<string, NamedTensor>,
  sizes: Readonly<Record<string, number>>,
): void {
  const largest = [...tensors.values()].reduce((most, { shape }) => Math.max(most, ...shape), 0);
  for (const [key, size] of Object.entries(sizes)) {
    if (size <= largest) continue;
    throw new GgufError(
      "gguf-sizes",
      `${path}: "${key}" asks for ${size} rows, but no tensor has more than ${largest}`,
      {
        key,
        size,
        largest,
      },
    );
  }
}

/** Every block has tensors of its own, so a count above theirs is refused. */
function blockCount(metadata: GgufMetadata, key: string, tensorCount: number): number {
  const count = metadata.number(key);
  if (count <= tensorCount) return count;
  throw new GgufError("gguf-blocks", `${metadata.path}: "${key}" is ${count}, but it has ${tensorCount} tensors`, {
    count,
    tensors: tensorCount,
  });
}

/**
 * Hugging Face's `rope_scaling`. Factors in a tensor divide the frequencies: "longrope" with equal factors for short
 * and long contexts (Llama 3), or two sets (Phi-3).
 */
async function ropeScaling(
  { metadata, own }: GgufFacts,
  readVector: ReadVector,
): Promise<{ readonly rope_scaling?: Readonly<Record<string, unknown>> }> {
  const stated = (key: string): number | undefined => metadata.number(own(`rope.scaling.${key}`), undefined);
  const context = { original_max_position_embeddings: stated("original_context_length") };
  const attention = stated("attn_factor");
  const factors = await readVector("rope_freqs.weight");
  const factor = stated("factor") ?? metadata.number(own("rope.scale_linear"), 1)!;
  const type = metadata.text(own("rope.scaling.type"), undefined) ?? ([0, 1].includes(factor) ? "none" : "linear");
  if (factors !== undefined && type === "none") {
    return {
      rope_scaling: { rope_type: "longrope", long_factor: factors, short_factor: factors, attention_factor: 1 },
    };
  }
  const [long, short] = [await readVector("rope_factors_long.weight"), await readVector("rope_factors_short.weight")];
  if (long !== undefined || short !== undefined) {
    const fields = { long_factor: long, short_factor: short, attention_factor: attention };
    return { rope_scaling: { rope_type: "longrope", ...fields, ...context } };
  }
  if (type === "none") return {};
  if (factors !== undefined || (attention ?? 1) !== 1) {
    throw new ModelError(
      "gguf-rope-factors",
      `${metadata.path}: rotary positions are scaled in two ways at once, by "${own("rope.scaling.type")}" ` +
        `(${type}) and by ${factors === undefined ? `"${own("rope.scaling.attn_factor")}"` : "rope_freqs.weight"}; ` +
        "load the Hugging Face folder of the model",
    );
  }
  const betas = { beta_fast: stated("yarn_beta_fast"), beta_slow: stated("yarn_beta_slow") };
  return { rope_scaling: { rope_type: type, factor, ...context, ...betas } };
}
