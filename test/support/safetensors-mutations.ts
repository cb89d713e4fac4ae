/**
 * Damaged safetensors files, and what must hold of each: it parses to tensors that tile the data exactly, or throws a
 * SafetensorsError; an undamaged file parses, and a file that repeats a key does not. The valid file, its header text
 * and the size check are written here independently of the library. Damage comes in two layers: edits of the header as
 * JSON text (offsets, shapes, dtypes, fields, repeated keys, odd values), then edits of the bytes (flips, cuts,
 * additions, length).
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { SafetensorsError } from "../../src/errors.js";
import { byteEdits } from "./byte-edits.js";
import { concat } from "./gguf/bytes.js";
import { safetensorsErrorCodes } from "../../src/tensor/formats/errors.js";
import { parseSafetensors, type Safetensors } from "../../src/tensor/formats/safetensors.js";
import { between, type Drawn } from "./draw.js";

/** Dtypes by the bits of an element. */
const names = {
  4: ["F4"],
  6: ["F6_E2M3", "F6_E3M2"],
  8: ["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E5M2FNUZ", "F8_E4M3FNUZ"],
  16: ["I16", "U16", "F16", "BF16"],
  32: ["I32", "U32", "F32"],
  64: ["C64", "F64", "I64", "U64"],
};
const bits: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(names).flatMap(([size, dtypes]) => dtypes.map((dtype) => [dtype, Number(size)] as const)),
);
const dtype = fc.constantFrom(...Object.keys(bits));
const opaque = /^(?:F4|F6|F8|C64)/;

/** Object members in order, keys and values as JSON text: unlike an object, it can say a key twice. */
type Member = [key: string, value: string];
interface Entry {
  key: string;
  fields: Member[];
  raw?: string;
}
interface Draft {
  entries: Entry[];
  data: number;
}

const name = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "b", "wte.weight", "h.0.attn", "é", "\u{1F600}", 'a"b\\c', "\n") },
  { weight: 1, arbitrary: fc.constantFrom("", "__proto__", "constructor", "toString", "dtype") },
);
const tensor = fc
  .record({ name, dtype, shape: fc.array(fc.nat(3), { maxLength: 3 }) })
  // 4 x 4 and 4 x 6 bits are whole bytes
  .map((one) => (sizeInBits(one.dtype, one.shape) % 8 === 0 ? one : { ...one, shape: [...one.shape, 4] }));

/** A valid file as a draft; tensors listed in any order, as older writers did. */
const draft: fc.Arbitrary<Draft> = fc
  .record({
    tensors: fc.uniqueArray(tensor, { maxLength: 5, selector: (one) => one.name }),
    metadata: fc.option(fc.dictionary(name, fc.string({ maxLength: 4 }), { maxKeys: 3 })),
    reversed: fc.boolean(),
  })
  .map(({ tensors, metadata, reversed }) => {
    let data = 0;
    const entries = tensors.map(({ name: key, dtype, shape }): Entry => {
      const begin = data;
      data += sizeInBits(dtype, shape) / 8;
      return {
        key: JSON.stringify(key),
        fields: [
          ['"dtype"', `"${dtype}"`],
          ['"shape"', JSON.stringify(shape)],
          ['"data_offsets"', `[${begin},${data}]`],
        ],
      };
    });
    if (reversed) entries.reverse();
    if (metadata !== null) {
      entries.unshift({
        key: '"__metadata__"',
        fields: Object.entries(metadata).map(([k, v]): Member => [JSON.stringify(k), JSON.stringify(v)]),
      });
    }
    return { entries, data };
  });

const oddValue = fc.constantFrom(
  "-1",
  "1.5",
  "1.0",
  "1e2",
  "-0",
  "9007199254740991",
  "9007199254740992",
  "18446744073709551616",
  "1e999",
  "01",
  "null",
  "true",
  '"4"',
  "[]",
  "{}",
  "[[1]]",
  "[1,2,3]",
  "[0]",
  "[-1,3]",
  "[0,0]",
  "[94906267,94906267]",
  "[9007199254740991,9007199254740991]",
  '"F32"',
  '"F33"',
  '"f32"',
  '"\\u004632"',
  '"\\ud800"',
  '"\\x"',
  "[".repeat(40_000),
  '{"a":'.repeat(20_000),
  "nul",
  "'a'",
  "",
  "[1,]",
);

/** Material for edits: places, and something odd of every kind. */
const odd = fc.record({
  i: fc.nat(),
  j: fc.nat(),
  value: oddValue,
  dtype,
  field: name,
  key: fc.constantFrom('"__metadata__"', '"__proto__"', '"\\ud800"', '"\\u0061"', "a", "1"),
  escape: fc.boolean(),
  by: between(-9, 9),
  to: between(-9, 9),
  place: fc.nat(),
  byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('"\\{}[],:0123456789.-eE \n\0\x7f\xff', "latin1"))),
  more: fc.uint8Array({ minLength: 1, maxLength: 12 }),
  length: fc.constantFrom(undefined, 0n, 100_000_000n, 100_000_001n, 2n ** 53n, 2n ** 64n - 1n),
});
type Odd = Drawn<typeof odd>;

const OFFSETS = '"data_offsets"';
/** Edits of an entry of the header. They say whether they changed anything. */
const jsonEdits: Readonly<Record<string, (entry: Entry, odd: Odd, draft: Draft) => boolean>> = {
  value: ({ fields }, { j, value }) => change(fields, j, (field) => void (field[1] = value)),
  offsets: (entry, { by, to }) => numbers(entry, OFFSETS, ([a = 0, b = 0]) => [a + by, b + to]),
  moved: (entry, { by }) => numbers(entry, OFFSETS, (pair) => pair.map((x) => x + by)),
  swapped: (entry) => numbers(entry, OFFSETS, (pair) => pair.reverse()),
  size: (entry, { j, by }) => numbers(entry, '"shape"', (shape) => shape.with(j % shape.length, Math.abs(by)), 1),
  dtype: ({ fields }, { dtype: other }) =>
    change(
      fields.filter(([key]) => key === '"dtype"'),
      0,
      (field) => void (field[1] = `"${other}"`),
    ),
  dropped: ({ fields }, { j }) => fields.splice(j % Math.max(fields.length, 1), 1).length > 0,
  added: ({ fields }, { field }) => fields.push([JSON.stringify(field), "1"]) > 0,
  doubledField: ({ fields }, { j, escape }) =>
    change(fields, j, ([key, value]) => fields.push([escape ? escaped(key) : key, value])),
  doubledEntry: (entry, { escape }, { entries }) =>
    entries.push({ ...entry, key: escape ? escaped(entry.key) : entry.key }) > 0,
  entry: (entry, { value }) => Boolean(Object.assign(entry, { raw: value })),
  key: (entry, { key }) => Boolean(Object.assign(entry, { key })),
  data: (_, { by }, draft) => Boolean(Object.assign(draft, { data: Math.max(0, draft.data + by) })),
};

const byteEditsHere: Readonly<Record<string, (bytes: Uint8Array, odd: Odd) => Uint8Array>> = {
  ...byteEdits,
  length(bytes, { length, by }) {
    if (bytes.length < 8) return bytes;
    const out = bytes.slice();
    const words = new DataView(out.buffer);
    words.setBigUint64(0, length ?? BigInt.asUintN(64, words.getBigUint64(0, true) + BigInt(by)), true);
    return out;
  },
};
const edit = (edits: object) => fc.tuple(fc.constantFrom(...Object.keys(edits)), odd);

/**
 * A valid file with zero to three edits of either layer. `must`: a file without edits has to parse, a file whose only
 * edit repeats a key has to be refused, and any other file may do either.
 */
export const mutatedFile = fc
  .record({
    draft,
    json: fc.array(edit(jsonEdits), { maxLength: 2 }),
    bytes: fc.oneof(
      { weight: 2, arbitrary: fc.constant<[string, Odd][]>([]) },
      { weight: 1, arbitrary: fc.array(edit(byteEditsHere), { maxLength: 3 }) },
    ),
    padding: fc.nat(8),
  })
  .map(({ draft: original, json, bytes, padding }) => {
    const copy = structuredClone(original);
    const done = json.filter(([name, odd]) => {
      const entry = copy.entries[odd.i % Math.max(copy.entries.length, 1)];
      return entry !== undefined && jsonEdits[name]!(entry, odd, copy);
    });
    const edits = [...done, ...bytes].map(([name]) => name);
    const doubles = edits.length === 1 && edits[0]!.startsWith("doubled");
    return {
      bytes: bytes.reduce((all, [name, odd]) => byteEditsHere[name]!(all, odd), encode(copy, padding)),
      edits,
      must: edits.length === 0 ? "parse" : doubles ? "refuse" : "either",
    } as const;
  });

interface Said {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly number[];
}
const wordsOf = ({ dtype, shape, data_offsets }: Said) => JSON.stringify([dtype, shape, data_offsets]);

/**
 * Checks one file. Returns "parsed" or the error's code; throws where the file was neither parsed soundly nor refused
 * properly.
 */
export function checkMutated({ bytes, must }: Drawn<typeof mutatedFile>): string {
  let file: Safetensors;
  try {
    file = parseSafetensors(bytes);
  } catch (error) {
    const codes: readonly string[] = safetensorsErrorCodes;
    if (must !== "parse" && error instanceof SafetensorsError && codes.includes(error.code)) return error.code;
    throw error;
  }
  assert(must !== "refuse", "a key said twice was accepted");
  const dataOffset = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, dataOffset))) as Record<string, Said>;
  const listed = Object.keys(header).filter((key) => key !== "__metadata__");
  assert.deepEqual([...file.names].sort(), listed.sort());
  let covered = 0;
  for (const key of file.names) {
    const { dtype, shape, begin, end } = file.info(key);
    assert(begin === covered, `${key} does not begin where the tensors before it end`);
    covered = end;
    const exact = shape.reduce((product, size) => product * BigInt(size), BigInt(bits[dtype]!));
    assert.equal(exact, 8n * BigInt(end - begin), `bits of ${key}`);
    assert.equal(wordsOf(header[key]!), wordsOf({ dtype, shape, data_offsets: [begin, end] }));
    const { buffer, byteOffset, length } = file.bytes(key);
    assert.equal(buffer, bytes.buffer, `${key} is a copy`);
    assert.deepEqual([byteOffset, length], [bytes.byteOffset + dataOffset + begin, end - begin]);
    if (opaque.test(dtype)) continue;
    const elements = Number(exact / BigInt(bits[dtype]!));
    assert.deepEqual([file.array(key).length, file.float32(key).length], [elements, elements]);
  }
  assert.equal(dataOffset + covered, bytes.length, "the tensors do not end where the data does");
  return "parsed";
}

export function sizeInBits(dtype: string, shape: readonly number[]) {
  return shape.reduce((product, size) => product * size, bits[dtype]!);
}

function encode({ entries, data }: Draft, padding: number): Uint8Array {
  const object = (members: readonly Member[]) => `{${members.map(([key, value]) => `${key}:${value}`).join(",")}}`;
  const text =
    object(entries.map(({ key, fields, raw }): Member => [key, raw ?? object(fields)])) + " ".repeat(padding);
  const header = new TextEncoder().encode(text);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, header.length, true);
  return concat(
    length,
    header,
    Uint8Array.from({ length: data }, (_, i) => i * 37),
  );
}

function change(fields: readonly Member[], j: number, apply: (field: Member) => unknown) {
  if (fields.length === 0) return false;
  apply(fields[j % fields.length]!);
  return true;
}

/** Replaces the numbers of a field that still is a list of at least `least`. */
function numbers(entry: Entry, key: string, apply: (values: number[]) => number[], least = 0) {
  const field = entry.fields.find(([k, value]) => k === key && /^\[[0-9,-]*\]$/.test(value));
  const values =
    field?.[1]
      .slice(1, -1)
      .split(",")
      .filter((text) => text !== "")
      .map(Number) ?? [];
  if (field === undefined || values.length < least) return false;
  field[1] = `[${apply(values).join(",")}]`;
  return true;
}

/** The same key, every UTF-16 unit written as an escape; keys that are no JSON text stay. */
function escaped(key: string) {
  let text: string;
  try {
    text = JSON.parse(key) as string;
  } catch {
    return key;
  }
  const unit = (i: number) => `\\u${text.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return `"${Array.from({ length: text.length }, (_, i) => unit(i)).join("")}"`;
}
