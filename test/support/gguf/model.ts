/**
 * Small models as GGUF files: random weights under llama.cpp's names and in its order of query and key rows, stored as
 * one of five types, with a byte-level BPE tokenizer, whole or split. Beside the files, the same model as a Hugging
 * Face folder whose weights are what the blocks decode to, so that both must compute the same bits.
 */
import { trainByteLevelBpe } from "early-exits/model";
import { parseSafetensors } from "early-exits/tensor";
import { serializeSafetensors } from "../../../src/tensor/formats/serialize-safetensors.js";
import { decodeGguf } from "../../../src/tensor/formats/gguf/decode.js";
import { ggufFile, stringArray, text, u16, u32, u64, concat, VALUE } from "./bytes.js";
import { converted } from "./convert.js";
import {
  partsOf,
  type PlainTensor,
  type StoredTensor,
  storeTensor,
  type TypedValue,
  type WrittenType,
} from "./stored.js";
import { smallCheckpoint, smallConfigs } from "../models.js";
import { times } from "../lists.js";

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

const documents = times(20, (i) => `The river holds ${i} winters; one people remembers 12345.\n`);
const bpe = trainByteLevelBpe(documents, {
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

export type GgufModel = Awaited<ReturnType<typeof ggufModel>>;

/**
 * `files` by name: one, or "small-00001-of-0000N.gguf" and so on; the first is `name`, of `parts`. `folder`:
 * config.json, model.safetensors and tokenizer.json of the same model.
 */
export async function ggufModel(options: GgufModelOptions = {}) {
  const { type = "F32", parts = 1 } = options;
  const config: Readonly<Record<string, unknown>> = { ...baseConfig, ...options.config };
  const checkpoint = await smallCheckpoint(config);
  const { tensors, pairs } = converted(config, [checkpoint]);
  const store = (tensor: PlainTensor) => storeTensor(tensor, tensor.shape.length === 1 ? "F32" : type);
  const stored = tensors.map(store);
  for (const [key, pair] of Object.entries({ ...tokenizerPairs, ...options.pairs })) pairs.set(key, pair);
  const plain = parseSafetensors(checkpoint);
  const decoded = plain.names.map((name) => {
    const { shape } = plain.info(name);
    const { bytes, type: own } = store({ name, shape, data: plain.float32(name) });
    return [name, { dtype: "F32", shape, data: decodeGguf(bytes, own) }] as const;
  });
  return {
    ...filesOf(stored, pairs, parts),
    folder: {
      "config.json": JSON.stringify(config),
      "model.safetensors": serializeSafetensors(decoded),
      "tokenizer.json": JSON.stringify(bpe),
    },
  };
}

function filesOf(stored: readonly StoredTensor[], pairs: ReadonlyMap<string, TypedValue>, parts: number) {
  const number = (part: number) => String(part).padStart(5, "0");
  const names = times(parts, (i) => (parts === 1 ? "small.gguf" : `small-${number(i + 1)}-of-${number(parts)}.gguf`));
  const written = names.map((_, part) => {
    const own = stored.filter((_, i) => i % parts === part);
    const split: [string, TypedValue][] =
      parts === 1
        ? []
        : [
            ["split.no", [VALUE.uint16, u16(part)]],
            ["split.count", [VALUE.uint16, u16(parts)]],
          ];
    return partsOf(own, new Map([...(part === 0 ? pairs : []), ...split]));
  });
  const files = Object.fromEntries(written.map((one, i) => [names[i]!, ggufFile(one)]));
  return { files, name: names[0]!, parts: written[0]! };
}

const u32Array = (values: readonly number[]) =>
  concat(u32(VALUE.uint32), u64(BigInt(values.length)), ...values.map(u32));

/** The tokenizer's metadata that llama.cpp's converter writes. */
const tokenizerPairs: Readonly<Record<string, TypedValue>> = {
  "tokenizer.ggml.model": [VALUE.string, text("gpt2")],
  "tokenizer.ggml.pre": [VALUE.string, text("gpt-2")],
  "tokenizer.ggml.tokens": [VALUE.array, stringArray(tokens.map(([token]) => token))],
  "tokenizer.ggml.token_type": [VALUE.array, u32Array(tokens.map(([token]) => (token.startsWith("<|") ? 3 : 1)))],
  "tokenizer.ggml.merges": [VALUE.array, stringArray(bpe.model.merges)],
  "tokenizer.ggml.bos_token_id": [VALUE.uint32, u32(0)],
};
