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
import { byteEdits } from "../byte-edits.js";
import type { Drawn } from "../draw.js";
import { convertedParts } from "./convert.js";
import { ggufModel } from "./model.js";
import { smallCheckpoint, smallConfigs } from "../models.js";

/** Milliseconds that a file may take. */
export const LIMIT = 500;

const tiny = {
  hidden_size: 32,
  intermediate_size: 32,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  num_hidden_layers: 1,
} as const;
/** A tiny model of another architecture, without a tokenizer. */
async function converted(name: string, config: Readonly<Record<string, unknown>> = {}) {
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

/** Material for edits: places, and something odd of every kind. */
const odd = fc.record({
  at: fc.nat(40),
  axis: fc.nat(3),
  number: oddNumber,
  value: oddValue,
  key: fc.string(),
  sizes: fc.array(oddNumber, { maxLength: 6 }),
  type: fc.nat(40),
  name: fc.constantFrom(
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "blk.0.attn_qkv.weight",
    "output.weight",
    "blk.9.attn_q.weight",
    "x",
    "",
  ),
  /** Mostly in the head, which is the first part of the file. */
  place: fc.oneof({ weight: 3, arbitrary: fc.nat(12_000) }, { weight: 1, arbitrary: fc.nat(60_000) }),
  byte: fc.nat(255),
  more: fc.uint8Array({ minLength: 1, maxLength: 16 }),
});
type Odd = Drawn<typeof odd>;

/** The list with one of its members changed. */
function changed<T>(list: readonly T[] | undefined, odd: Odd, change: (one: T, odd: Odd) => readonly T[]) {
  return (list ?? []).flatMap((one, i, { length }) => (i === odd.at % length ? change(one, odd) : [one]));
}

type HeadEdit = (parts: GgufParts, odd: Odd) => GgufParts;
const pair =
  (change: (pair: GgufPair, odd: Odd) => readonly GgufPair[]): HeadEdit =>
  (parts, odd) => ({ ...parts, pairs: changed(parts.pairs, odd, change) });
const tensor =
  (change: (tensor: GgufTensorParts, odd: Odd) => readonly GgufTensorParts[]): HeadEdit =>
  (parts, odd) => ({ ...parts, tensors: changed(parts.tensors, odd, change) });

const headEdits: Readonly<Record<string, HeadEdit>> = {
  "value of a pair": pair(([key], { value: [type, bytes] }) => [[key, type, bytes]]),
  "removal of a pair": pair(() => []),
  "repetition of a pair": pair((one) => [one, one]),
  "key of a pair": pair(([, type, value], { key }) => [[key, type, value]]),
  "size of a tensor": tensor((one, { axis, number }) => [
    { ...one, sizes: one.sizes.map((old, i) => (i === axis % one.sizes.length ? number : old)) },
  ]),
  "sizes of a tensor": tensor((one, { sizes }) => [{ ...one, sizes }]),
  "type of a tensor": tensor((one, { type }) => [{ ...one, type }]),
  "offset of a tensor": tensor((one, { number }) => [{ ...one, offset: number }]),
  "removal of a tensor": tensor(() => []),
  "repetition of a tensor": tensor((one) => [one, one]),
  "name of a tensor": tensor((one, { name }) => [{ ...one, name }]),
  "tensor count": (parts, { number }) => ({ ...parts, tensorCount: number }),
  "pair count": (parts, { number }) => ({ ...parts, pairCount: number }),
  version: (parts, { axis }) => ({ ...parts, version: axis }),
};
const edits = (of: object) => fc.array(fc.tuple(fc.constantFrom(...Object.keys(of)), odd), { maxLength: 3 });

/** Files with up to three edits of each layer. */
export const mutatedGguf = fc
  .tuple(
    fc.constantFrom(...models),
    edits(headEdits),
    fc.oneof({ weight: 2, arbitrary: fc.constant<[string, Odd][]>([]) }, { weight: 1, arbitrary: edits(byteEdits) }),
  )
  .map(([model, head, bytes]) => {
    const parts = head.reduce((edited, [name, odd]) => headEdits[name]!(edited, odd), model.parts);
    return {
      bytes: bytes.reduce((edited: Uint8Array, [name, odd]) => byteEdits[name]!(edited, odd), ggufFile(parts)),
      edits: [...head, ...bytes].map(([name]) => name),
    };
  });

/**
 * Loads a file: "loaded", or the code of the error that refused it. Throws if it broke a rule. A slow file is tried
 * again, since the machine may have been busy.
 */
export async function checkMutatedGguf({ bytes, edits }: Drawn<typeof mutatedGguf>, device: Device) {
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

async function load(bytes: Uint8Array, device: Device) {
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
