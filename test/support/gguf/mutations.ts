/**
 * Damaged GGUF files of a tiny model, and what must hold of each: it loads, or it is refused with an error of this
 * library, in under half a second, and nothing is read outside the file. Damage comes in two layers: edits of what the
 * head says (values, types and keys of pairs; names, sizes, types and offsets of tensors; counts), then edits of the
 * bytes (flips, cuts, insertions, additions).
 */
import * as fc from "fast-check";
import { type Device, EarlyExitError } from "early-exits";
import type { FolderFile } from "early-exits/model";
import { loadGguf } from "../../../src/model/gguf/load-gguf.js";
import { concat, f32, ggufFile, type GgufPair, type GgufParts, type GgufTensorParts, text, u32, u64 } from "./bytes.js";
import { convertedParts } from "./convert.js";
import { ggufModel } from "./model.js";
import { smallCheckpoint, smallConfigs } from "../models.js";

/** Milliseconds that a file may take. */
export const LIMIT = 500;

export interface MutatedGguf {
  readonly bytes: Uint8Array;
  readonly edits: readonly string[];
}

const tiny = {
  hidden_size: 32,
  intermediate_size: 32,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  num_hidden_layers: 1,
} as const;
/** A tiny model of another architecture, without a tokenizer. */
async function converted(name: string, config: Readonly<Record<string, unknown>> = {}): Promise<{ parts: GgufParts }> {
  const full = { ...smallConfigs[name], num_hidden_layers: 1, n_layer: 1, eos_token_id: 0, ...config };
  return { parts: convertedParts(full, [await smallCheckpoint(full)]) };
}
const models = [
  await ggufModel({ type: "Q8_0", config: { ...tiny, tie_word_embeddings: true } }),
  await ggufModel({ type: "Q4_0", config: { ...tiny, model_type: "qwen2" } }),
  await converted("gpt2"),
  await converted("gpt_neox, parallel"),
  await converted("phi3", { head_dim: undefined, partial_rotary_factor: 1 }),
  await converted("gemma3_text", { layer_types: ["full_attention"] }),
];

/** An edit of the head; it returns the parts unchanged if it does not apply. */
interface HeadEdit {
  readonly label: string;
  readonly apply: (parts: GgufParts) => GgufParts;
}
interface ByteEdit {
  readonly label: string;
  readonly apply: (bytes: Uint8Array) => Uint8Array;
}

/** Numbers at which readers break: around powers of two, blocks and limits. */
const oddNumber = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 3n, 7n, 31n, 32n, 33n, 64n, 255n, 256n, 287n, 289n, 65_536n, 10n ** 9n, 10n ** 12n),
  fc.constantFrom(2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

/** A value of any type, with the type's number. */
const oddValue: fc.Arbitrary<readonly [type: number, value: Uint8Array]> = fc.oneof(
  oddNumber.map((value) => [10, u64(value)] as const),
  oddNumber.map((value) => [4, u32(Number(value & 0xffff_ffffn))] as const),
  fc.constantFrom(NaN, -1, 0, 0.5, 1e-30, 1e30, Infinity).map((value) => [6, f32(value)] as const),
  fc.boolean().map((value) => [7, Uint8Array.of(Number(value))] as const),
  fc
    .constantFrom("", "llama", "qwen2", "gpt2", "gemma3", "longrope", "yarn", "none", "__proto__", "constructor")
    .map((value) => [8, text(value)] as const),
  fc.tuple(fc.nat(14), oddNumber).map(([type, count]) => [9, concat(u32(type), u64(count))] as const),
  fc.nat(20).map((type) => [type, new Uint8Array(8)] as const),
);

const pairEdit = (label: string, at: number, change: (pair: GgufPair) => readonly GgufPair[]): HeadEdit => ({
  label: `${label} of pair ${at}`,
  apply: (parts) => {
    const pairs = parts.pairs ?? [];
    return { ...parts, pairs: pairs.flatMap((pair, i) => (i === at % pairs.length ? change(pair) : [pair])) };
  },
});
const tensorEdit = (
  label: string,
  at: number,
  change: (tensor: GgufTensorParts) => readonly GgufTensorParts[],
): HeadEdit => ({
  label: `${label} of tensor ${at}`,
  apply: (parts) => {
    const tensors = parts.tensors ?? [];
    return { ...parts, tensors: tensors.flatMap((one, i) => (i === at % tensors.length ? change(one) : [one])) };
  },
});

const index = fc.nat(40);
const headEdit: fc.Arbitrary<HeadEdit> = fc.oneof(
  fc.tuple(index, oddValue).map(([at, [type, value]]) => pairEdit("value", at, ([key]) => [[key, type, value]])),
  index.map((at) => pairEdit("removal", at, () => [])),
  index.map((at) => pairEdit("repetition", at, (pair) => [pair, pair])),
  fc.tuple(index, fc.string()).map(([at, key]) => pairEdit("key", at, ([, type, value]) => [[key, type, value]])),
  fc
    .tuple(index, fc.nat(3), oddNumber)
    .map(([at, axis, size]) =>
      tensorEdit("size", at, (one) => [
        { ...one, sizes: one.sizes.map((old, i) => (i === axis % one.sizes.length ? size : old)) },
      ]),
    ),
  fc
    .tuple(index, fc.array(oddNumber, { maxLength: 6 }))
    .map(([at, sizes]) => tensorEdit("sizes", at, (one) => [{ ...one, sizes }])),
  fc.tuple(index, fc.nat(40)).map(([at, type]) => tensorEdit("type", at, (one) => [{ ...one, type }])),
  fc.tuple(index, oddNumber).map(([at, offset]) => tensorEdit("offset", at, (one) => [{ ...one, offset }])),
  index.map((at) => tensorEdit("removal", at, () => [])),
  index.map((at) => tensorEdit("repetition", at, (one) => [one, one])),
  fc
    .tuple(
      index,
      fc.constantFrom(
        "rope_freqs.weight",
        "rope_factors_long.weight",
        "blk.0.attn_qkv.weight",
        "output.weight",
        "blk.9.attn_q.weight",
        "x",
        "",
      ),
    )
    .map(([at, name]) => tensorEdit("name", at, (one) => [{ ...one, name }])),
  oddNumber.map((count) => ({
    label: "tensor count",
    apply: (parts: GgufParts) => ({ ...parts, tensorCount: count }),
  })),
  oddNumber.map((count) => ({ label: "pair count", apply: (parts: GgufParts) => ({ ...parts, pairCount: count }) })),
  fc.nat(5).map((version) => ({ label: "version", apply: (parts: GgufParts) => ({ ...parts, version }) })),
);

/** Most of them in the head, which is the first part of the file. */
const place = fc.oneof({ weight: 3, arbitrary: fc.nat(12_000) }, { weight: 1, arbitrary: fc.nat(60_000) });
const byteEdit: fc.Arbitrary<ByteEdit> = fc.oneof(
  fc.tuple(place, fc.nat(255)).map(([at, value]) => ({
    label: `byte ${at}`,
    apply: (bytes: Uint8Array) => bytes.map((old, i) => (i === at % bytes.length ? value : old)),
  })),
  fc.tuple(place, fc.nat(7)).map(([at, bit]) => ({
    label: `bit ${at}.${bit}`,
    apply: (bytes: Uint8Array) => bytes.map((old, i) => (i === at % bytes.length ? old ^ (1 << bit) : old)),
  })),
  place.map((at) => ({ label: `cut at ${at}`, apply: (bytes: Uint8Array) => bytes.subarray(0, at) })),
  fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 16 })).map(([at, more]) => ({
    label: `insertion at ${at}`,
    apply: (bytes: Uint8Array) => concat(bytes.subarray(0, at), more, bytes.subarray(at)),
  })),
);

/** Files with up to three edits of each layer. */
export const mutatedGguf: fc.Arbitrary<MutatedGguf> = fc
  .tuple(
    fc.constantFrom(...models),
    fc.array(headEdit, { maxLength: 3 }),
    fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(byteEdit, { maxLength: 3 }) }),
  )
  .map(([model, headEdits, byteEdits]) => {
    const parts = headEdits.reduce((edited, { apply }) => apply(edited), model.parts);
    return {
      bytes: byteEdits.reduce((edited: Uint8Array, { apply }) => apply(edited), ggufFile(parts)),
      edits: [...headEdits, ...byteEdits].map(({ label }) => label),
    };
  });

/**
 * Loads a file: "loaded", or the code of the error that refused it. Throws if it broke a rule. A slow file is tried
 * again, since the machine may have been busy.
 */
export async function checkMutatedGguf({ bytes, edits }: MutatedGguf, device: Device): Promise<string> {
  let outcome = "";
  for (let attempt = 0; attempt < 3; attempt++) {
    const started = performance.now();
    outcome = await load(bytes, device);
    if (performance.now() - started < LIMIT) break;
    if (attempt === 2) throw new Error(`${outcome}: it took ${performance.now() - started} ms three times`);
  }
  if (edits.length === 0 && outcome !== "loaded") throw new Error(`an undamaged file is refused: ${outcome}`);
  return outcome;
}

async function load(bytes: Uint8Array, device: Device): Promise<string> {
  const file: FolderFile = {
    path: "damaged.gguf",
    size: bytes.length,
    read: (begin, end) => {
      if (!(begin >= 0 && begin <= end && end <= bytes.length)) {
        throw new Error(`bytes ${begin} to ${end} of a file of ${bytes.length} are read`);
      }
      return Promise.resolve(bytes.slice(begin, end));
    },
  };
  try {
    const model = await loadGguf(file, { device });
    try {
      const ids = model.hasTokenizer ? model.tokenizer.encode("The river", { addSpecialTokens: false }) : [0];
      await model.logits(ids.slice(0, 4));
    } finally {
      model.dispose();
    }
    return "loaded";
  } catch (error) {
    if (error instanceof EarlyExitError) return error.code;
    throw error;
  }
}
