/**
 * GGUF files with random weights in the shapes of real models: speed, memory and the time that loading takes depend on
 * shape and type alone. The same arguments give the same bytes.
 *   npx tsx bench/peers/formats/random-model.ts SHAPE TYPE FILE
 * Delete the file afterwards: that of 1.7 billion weights has 1.8 GB. A vocabulary has as many merges as a trained one,
 * but its tokens are no words.
 */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { byteSymbols } from "../../../src/model/tokenizer/byte-level.js";
import { ggufBlock, type GgufType } from "../../../src/tensor/formats/gguf/types.js";
import { type GgufEntry, type GgufValue, headBytes, padded } from "./gguf.js";

interface ModelShape {
  readonly architecture: "llama" | "gemma3";
  readonly hidden: number;
  readonly blocks: number;
  readonly inner: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
}

const llama = { architecture: "llama", headDim: 64, vocabulary: 49_152 } as const;
/** SmolLM2's three sizes, and Gemma 3's smallest. */
const shapes = {
  "135m": { ...llama, hidden: 576, blocks: 30, inner: 1536, heads: 9, kvHeads: 3 },
  "360m": { ...llama, hidden: 960, blocks: 32, inner: 2560, heads: 15, kvHeads: 5 },
  "1.7b": { ...llama, hidden: 2048, blocks: 24, inner: 8192, heads: 32, kvHeads: 32 },
  "gemma-270m": {
    architecture: "gemma3",
    headDim: 256,
    vocabulary: 262_144,
    hidden: 640,
    blocks: 18,
    inner: 2048,
    heads: 4,
    kvHeads: 1,
  },
} as const satisfies Record<string, ModelShape>;
export type ShapeName = keyof typeof shapes;
export const shapeNames = Object.keys(shapes) as ShapeName[];

/** Multiply-adds of attention for a token of a prompt, on average: it sees itself and those before it. */
export function attentionProducts(name: ShapeName, prompt: number): number {
  const { blocks, heads, headDim } = shapes[name];
  return blocks * heads * headDim * (prompt + 1);
}

/**
 * Places of a block's float16 scales and minimums, and their bits: weights are about as large as trained ones. Of
 * floats, the bits of each word that are random, and the others.
 */
const FILLINGS = {
  f32: { random: 0x807fffff, fixed: 0x3c800000 },
  f16: { random: 0x83ff83ff, fixed: 0x24002400 },
  bf16: { random: 0x807f807f, fixed: 0x3c803c80 },
  q4_0: { halves: { 0: 0x1c00 } },
  q4_1: { halves: { 0: 0x1c00, 2: 0xa800 } },
  q5_0: { halves: { 0: 0x1800 } },
  q8_0: { halves: { 0: 0x0c00 } },
  q4_k: { halves: { 0: 0x0800, 2: 0x1400 } },
  q6_k: { halves: { 208: 0x0100 } },
} as const satisfies Record<GgufEntry["type"], object>;
type Stored = keyof typeof FILLINGS;
/** `q4_k_m` is a mixture, as llama.cpp chooses it. */
export type RandomType = Stored | "q4_k_m";
export const randomTypes = [...Object.keys(FILLINGS), "q4_k_m"] as RandomType[];

/** Marsaglia's xorshift. */
function* words(seed: number): Generator<number, never, undefined> {
  for (let word = seed; ;) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    yield word >>> 0;
  }
}

export function writeRandomModel(path: string, name: ShapeName, type: RandomType): void {
  const shape: ModelShape = shapes[name];
  const entries = entriesOf(shape, type);
  const file = openSync(path, "w");
  try {
    writeSync(file, headBytes({ ...metadataOf(shape), ...vocabularyOf(shape) }, entries));
    for (const [i, entry] of entries.entries()) writeTensor(file, entry, i + 1);
  } finally {
    fsyncSync(file); // or writing it would go on beside what is measured
    closeSync(file);
  }
}

/** A multiple of all blocks' bytes and of four. */
const PIECE = 4 * 34 * 18 * 5 * 11 * 210;

function writeTensor(file: number, { type, shape, bytes }: GgufEntry, seed: number): void {
  const data = new Uint32Array(Math.min(padded(bytes), PIECE) / 4);
  const filling = FILLINGS[type];
  const block = ggufBlock(type.toUpperCase() as GgufType).bytes;
  const view = new DataView(data.buffer);
  let word = seed * 0x9e3779b9;
  for (let left = bytes; left > 0; left -= PIECE) {
    for (let i = 0; i < data.length; i++) {
      word ^= word << 13;
      word ^= word >>> 17;
      word ^= word << 5;
      data[i] = "fixed" in filling ? (word & filling.random) | filling.fixed : word;
    }
    if (shape.length === 1) data.fill(0x3f800000); // gains of one
    for (const [at, half] of "halves" in filling ? Object.entries(filling.halves) : []) {
      for (let place = Number(at); place + 2 <= view.byteLength; place += block) view.setUint16(place, half, true);
    }
    writeSync(file, data, 0, Math.min(padded(left), PIECE));
  }
}

function entriesOf(shape: ModelShape, type: RandomType): GgufEntry[] {
  const { hidden, blocks, inner, heads, kvHeads, headDim, vocabulary, architecture } = shape;
  const entry = (name: string, ...sizes: number[]): GgufEntry => {
    const stored = sizes.length === 1 ? "f32" : typeOf(type, name, sizes[1]!);
    const { elements, bytes } = ggufBlock(stored.toUpperCase() as GgufType);
    return { name, shape: sizes, type: stored, bytes: (sizes.reduce((a, b) => a * b) / elements) * bytes };
  };
  const inBlock = (block: string): GgufEntry[] => [
    entry(`${block}attn_norm.weight`, hidden),
    entry(`${block}attn_q.weight`, heads * headDim, hidden),
    entry(`${block}attn_k.weight`, kvHeads * headDim, hidden),
    entry(`${block}attn_v.weight`, kvHeads * headDim, hidden),
    entry(`${block}attn_output.weight`, hidden, heads * headDim),
    ...(architecture === "gemma3"
      ? [
          entry(`${block}attn_q_norm.weight`, headDim),
          entry(`${block}attn_k_norm.weight`, headDim),
          entry(`${block}post_attention_norm.weight`, hidden),
          entry(`${block}post_ffw_norm.weight`, hidden),
        ]
      : []),
    entry(`${block}ffn_norm.weight`, hidden),
    entry(`${block}ffn_gate.weight`, inner, hidden),
    entry(`${block}ffn_up.weight`, inner, hidden),
    entry(`${block}ffn_down.weight`, hidden, inner),
  ];
  return [
    entry("token_embd.weight", vocabulary, hidden),
    ...Array.from({ length: blocks }, (_, i) => inBlock(`blk.${i}.`)).flat(),
    entry("output_norm.weight", hidden),
  ];
}

/** Files of four bits keep the embedding, which is also the unembedding, in eight. */
function typeOf(type: RandomType, name: string, columns: number): Stored {
  if (type.startsWith("q4") && name.startsWith("token_embd")) return "q8_0";
  if (type !== "q4_k_m") return type;
  if (columns % 256 > 0) return "q5_0";
  return /blk\.\d*[02468]\.ffn_down/.test(name) ? "q6_k" : "q4_k";
}

function metadataOf({ architecture, hidden, blocks, inner, heads, kvHeads, headDim }: ModelShape): Metadata {
  const own: Metadata = {
    context_length: { uint32: 8192 },
    embedding_length: { uint32: hidden },
    block_count: { uint32: blocks },
    feed_forward_length: { uint32: inner },
    "attention.head_count": { uint32: heads },
    "attention.head_count_kv": { uint32: kvHeads },
    "attention.key_length": { uint32: headDim },
    "attention.value_length": { uint32: headDim },
    "attention.layer_norm_rms_epsilon": { float32: 1e-5 },
    "rope.freq_base": { float32: 100_000 },
    ...(architecture === "gemma3" ? { "attention.sliding_window": { uint32: 512 } } : {}),
  };
  return {
    "general.architecture": architecture,
    "general.name": "random weights",
    ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value])),
  };
}

type Metadata = Readonly<Record<string, GgufValue>>;

/** GGUF's types of tokens. */
const [NORMAL, CONTROL, BYTE] = [1, 3, 6];
const LONGEST = 12;

/** Control tokens and symbols, and what random merges make of some of these. */
function vocabularyOf({ architecture, vocabulary }: ModelShape): Metadata {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const letters = Array.from("▁etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ");
  const pieces = architecture === "gemma3";
  const control = ["<|endoftext|>", "<|im_start|>"];
  const symbols = pieces ? letters : byteSymbols;
  const tokens = new Set([...control, ...(pieces ? bytes : []), ...symbols]);
  const types = Array.from(tokens, (_, id) => (id < 2 ? CONTROL : pieces && id < 258 ? BYTE : NORMAL));
  const parts = [...symbols];
  const merges: string[] = [];
  const random = words(1);
  while (tokens.size < vocabulary) {
    // the square prefers short parts, as frequent ones are
    const part = (): string => parts[Math.floor((random.next().value / 2 ** 32) ** 2 * parts.length)]!;
    const [left, right] = [part(), part()];
    if (left.length + right.length > LONGEST || tokens.has(left + right)) continue;
    tokens.add(left + right);
    parts.push(left + right);
    merges.push(`${left} ${right}`);
    types.push(NORMAL);
  }
  return {
    "tokenizer.ggml.model": pieces ? "llama" : "gpt2",
    "tokenizer.ggml.pre": pieces ? "default" : "smollm",
    "tokenizer.ggml.tokens": { strings: [...tokens] },
    "tokenizer.ggml.token_type": { int32s: types },
    ...(pieces ? { "tokenizer.ggml.scores": { float32s: types.map((_, id) => -id) } } : {}),
    ...(pieces ? {} : { "tokenizer.ggml.merges": { strings: merges } }),
    "tokenizer.ggml.bos_token_id": { uint32: 0 },
    "tokenizer.ggml.eos_token_id": { uint32: 0 },
    "tokenizer.ggml.unknown_token_id": { uint32: 0 },
    "tokenizer.ggml.add_space_prefix": false,
  };
}

if (process.argv[1] === import.meta.filename) {
  const [name = "", type = "", path] = process.argv.slice(2);
  if (!shapeNames.some((one) => one === name) || !randomTypes.some((one) => one === type) || path === undefined) {
    throw new Error(
      `random-model: give a shape (${shapeNames.join(", ")}), a type (${randomTypes.join(", ")}), a file`,
    );
  }
  writeRandomModel(path, name as ShapeName, type as RandomType);
}
