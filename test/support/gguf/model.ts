/**
 * Small models as GGUF files: random weights under llama.cpp's names and in its order of query and key rows, stored as
 * one of five types, with a byte-level BPE tokenizer, whole or split. Beside the files, the same model as a Hugging
 * Face folder whose weights are what the blocks decode to, so that both must compute the same bits.
 */
import type { ByteLevelBpe } from "../../../src/model/tokenizer/bpe.js";
import { trainByteLevelBpe } from "early-exits/model";
import { parseSafetensors } from "early-exits/tensor";
import { serializeSafetensors } from "../../../src/tensor/formats/serialize-safetensors.js";
import { decodeGguf } from "../../../src/tensor/formats/gguf/decode.js";
import { float32ToBf16, float32ToF16 } from "../../../src/tensor/formats/half-floats.js";
import {
  concat,
  f32,
  ggufFile,
  type GgufPair,
  type GgufParts,
  stringArray,
  text,
  u16,
  u32,
  u64,
  VALUE,
} from "./bytes.js";
import { smallCheckpoint, smallConfigs } from "../models.js";

/** Types that this file can write. */
export type WrittenType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0";

export type TypedValue = readonly [type: number, value: Uint8Array];

export interface GgufModelOptions {
  /** Fields of config.json that differ from a small llama. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Of the matrices; vectors are F32, as llama.cpp writes them. @default "F32" */
  readonly type?: WrittenType;
  /** @default 1 */
  readonly parts?: number;
  /** Metadata by key, instead of or in addition to the usual pairs. */
  readonly pairs?: Readonly<Record<string, TypedValue>>;
}

export interface GgufModel {
  /** By name: one, or "small-00001-of-0000N.gguf" and so on. */
  readonly files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  /** The first of them. */
  readonly name: string;
  /** Parts of the first file. */
  readonly parts: GgufParts;
  /** config.json, model.safetensors and tokenizer.json of the same model. */
  readonly folder: Readonly<Record<string, string | Uint8Array>>;
}

const documents = Array.from({ length: 20 }, (_, i) => `The river holds ${i} winters; one people remembers 12345.\n`);
const bpe: ByteLevelBpe = trainByteLevelBpe(documents, {
  vocabSize: 288,
  specialTokens: ["<|endoftext|>", "<|im_start|>"],
});
const tokens = Object.entries(bpe.model.vocab).sort(([, a], [, b]) => a - b);

const baseConfig = {
  ...smallConfigs["llama"],
  vocab_size: tokens.length,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 3,
  rms_norm_eps: Math.fround(1e-5),
  rope_theta: 10_000,
  bos_token_id: 0,
  eos_token_id: [0],
  tie_word_embeddings: false,
} as const;

export async function ggufModel(options: GgufModelOptions = {}): Promise<GgufModel> {
  const { type = "F32", parts = 1 } = options;
  const config: Readonly<Record<string, unknown>> = { ...baseConfig, ...options.config };
  const checkpoint = parseSafetensors(await smallCheckpoint(config));
  const decoded: [string, { dtype: "F32"; shape: readonly number[]; data: Float32Array }][] = [];
  const stored: StoredTensor[] = [];
  for (const name of checkpoint.names) {
    const { shape } = checkpoint.info(name);
    const own = shape.length === 1 ? "F32" : type;
    const values = checkpoint.float32(name);
    const headDim = Number(config["hidden_size"]) / Number(config["num_attention_heads"]);
    const reordered = config["model_type"] === "llama" && /\.[qk]_proj\./.test(name);
    const ordered = reordered ? interleaveRows(values, headDim, shape[1] ?? 1) : values;
    stored.push({ name: ggufName(name), shape, type: own, bytes: ENCODE[own](ordered) });
    decoded.push([name, { dtype: "F32", shape, data: decodeGguf(ENCODE[own](values), own) }]);
  }
  const pairs = new Map(Object.entries(pairsOf(config)));
  for (const [key, pair] of Object.entries(options.pairs ?? {})) pairs.set(key, pair);
  return {
    ...filesOf(stored, pairs, parts),
    folder: {
      "config.json": JSON.stringify(config),
      "model.safetensors": serializeSafetensors(decoded),
      "tokenizer.json": JSON.stringify(bpe),
    },
  };
}

export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: WrittenType;
  readonly bytes: Uint8Array;
}

/** Parts of one GGUF file. */
export function wholeParts(stored: readonly StoredTensor[], pairs: ReadonlyMap<string, TypedValue>): GgufParts {
  return filesOf(stored, pairs, 1).parts;
}

export const encodeTensor = (values: Float32Array, type: WrittenType): Uint8Array => ENCODE[type](values);

function filesOf(
  stored: readonly StoredTensor[],
  pairs: ReadonlyMap<string, TypedValue>,
  parts: number,
): Pick<GgufModel, "files" | "name" | "parts"> {
  const number = (part: number): string => String(part).padStart(5, "0");
  const names = Array.from({ length: parts }, (_, i) =>
    parts === 1 ? "small.gguf" : `small-${number(i + 1)}-of-${number(parts)}.gguf`,
  );
  const written = names.map((_, part) => {
    const own = stored.filter((_, i) => i % parts === part);
    const split: [string, TypedValue][] =
      parts === 1
        ? []
        : [
            ["split.no", [VALUE.uint16, u16(part)]],
            ["split.count", [VALUE.uint16, u16(parts)]],
          ];
    const all = [...(part === 0 ? pairs : []), ...split];
    return partsOf(
      own,
      all.map(([key, [type, value]]) => [key, type, value]),
    );
  });
  const files = Object.fromEntries(written.map((one, i) => [names[i]!, ggufFile(one)]));
  return { files, name: names[0]!, parts: written[0]! };
}

function partsOf(stored: readonly StoredTensor[], pairs: readonly GgufPair[]): GgufParts {
  const data: Uint8Array[] = [];
  let offset = 0;
  const tensors = stored.map(({ name, shape, type, bytes }) => {
    const begin = offset;
    const padding = (32 - (bytes.length % 32)) % 32;
    data.push(bytes, new Uint8Array(padding));
    offset += bytes.length + padding;
    return { name, sizes: shape.map(BigInt).reverse(), type: TYPE_IDS[type], offset: BigInt(begin) };
  });
  return { pairs, tensors, data: concat(...data) };
}

/** The metadata that llama.cpp's converter writes. */
function pairsOf(config: Readonly<Record<string, unknown>>): Record<string, TypedValue> {
  const architecture = String(config["model_type"]);
  const size = (key: string): TypedValue => [VALUE.uint32, u32(Number(config[key]))];
  const types = tokens.map(([token]) => (token.startsWith("<|") ? 3 : 1));
  return {
    "general.architecture": [VALUE.string, text(architecture)],
    [`${architecture}.block_count`]: size("num_hidden_layers"),
    [`${architecture}.context_length`]: size("max_position_embeddings"),
    [`${architecture}.embedding_length`]: size("hidden_size"),
    [`${architecture}.feed_forward_length`]: size("intermediate_size"),
    [`${architecture}.attention.head_count`]: size("num_attention_heads"),
    [`${architecture}.attention.head_count_kv`]: size("num_key_value_heads"),
    [`${architecture}.attention.layer_norm_rms_epsilon`]: [VALUE.float32, f32(Number(config["rms_norm_eps"]))],
    [`${architecture}.rope.freq_base`]: [VALUE.float32, f32(Number(config["rope_theta"]))],
    "tokenizer.ggml.model": [VALUE.string, text("gpt2")],
    "tokenizer.ggml.pre": [VALUE.string, text("gpt-2")],
    "tokenizer.ggml.tokens": [VALUE.array, stringArray(tokens.map(([token]) => token))],
    "tokenizer.ggml.token_type": [VALUE.array, u32Array(types)],
    "tokenizer.ggml.merges": [VALUE.array, stringArray(bpe.model.merges)],
    "tokenizer.ggml.bos_token_id": [VALUE.uint32, u32(0)],
    "tokenizer.ggml.eos_token_id": [VALUE.uint32, u32(0)],
  };
}

const u32Array = (values: readonly number[]): Uint8Array =>
  concat(u32(VALUE.uint32), u64(BigInt(values.length)), ...values.map(u32));

const GGUF_NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

function ggufName(name: string): string {
  const [, layer, part, kind] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name)!;
  return `${layer === undefined ? "" : `blk.${layer}.`}${GGUF_NAMES[part!]!}.${kind!}`;
}

/** Row s·D/2 + i of every head of D rows goes to row 2·i + s. */
export function interleaveRows(values: Float32Array, headDim: number, columns: number): Float32Array {
  const moved = new Float32Array(values.length);
  for (let row = 0; row < values.length / columns; row++) {
    const within = row % headDim;
    const to = row - within + 2 * (within % (headDim / 2)) + Math.floor(within / (headDim / 2));
    moved.set(values.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return moved;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
const halfOf = (value: number): Uint16Array => float32ToF16(Float32Array.of(value));

/** Blocks of 32, each a float16 scale and `quantize`'s bytes. */
function blocksOf(
  values: Float32Array,
  scaleOf: (extreme: number) => number,
  quantize: (scaled: readonly number[]) => Uint8Array,
): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let begin = 0; begin < values.length; begin += 32) {
    const block = Array.from(values.subarray(begin, begin + 32));
    const extreme = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const d = scaleOf(extreme);
    blocks.push(bytesOf(halfOf(d)), quantize(block.map((value) => (d === 0 ? 0 : value / d))));
  }
  return concat(...blocks);
}

const TYPE_IDS = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8, BF16: 30 } as const satisfies Record<WrittenType, number>;

const nibble = (value: number): number => Math.min(15, Math.max(0, Math.round(value) + 8));

const ENCODE: Readonly<Record<WrittenType, (values: Float32Array) => Uint8Array>> = {
  F32: (values) => bytesOf(values).slice(),
  F16: (values) => bytesOf(float32ToF16(values)),
  BF16: (values) => bytesOf(float32ToBf16(values)),
  Q8_0: (values) =>
    blocksOf(
      values,
      (extreme) => Math.abs(extreme) / 127,
      (scaled) => bytesOf(Int8Array.from(scaled, (value) => Math.round(value))),
    ),
  Q4_0: (values) =>
    blocksOf(
      values,
      (extreme) => extreme / -8,
      (scaled) => Uint8Array.from({ length: 16 }, (_, j) => nibble(scaled[j]!) | (nibble(scaled[j + 16]!) << 4)),
    ),
};
