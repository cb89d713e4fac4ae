/**
 * Damaged safetensors files, and what must hold of each: it parses to tensors that tile the data exactly, or throws a
 * SafetensorsError; an undamaged file parses, and a file that repeats a key does not. The valid file, its header text
 * and the size check are written here independently of the library. Damage comes in two layers: edits of the header as
 * JSON text (offsets, shapes, dtypes, fields, repeated keys, odd values), then edits of the bytes (flips, cuts,
 * additions, length). The parser is a parameter: the test passes the sources, scripts/fuzz.ts the built
 * package.
 */
import * as fc from "fast-check";
import type { SafetensorsError } from "../../src/errors.js";
import type { Safetensors } from "../../src/tensor/formats/safetensors.js";

/** The reader under test. */
export interface Subject {
  readonly parseSafetensors: (file: Uint8Array) => Safetensors;
  readonly SafetensorsError: new (code: string, message: string) => SafetensorsError;
  readonly errorCodes: readonly string[];
}

/**
 * `must`: a file without edits has to parse, a file whose only edit repeats a key has to be refused, and any other file
 * may do either.
 */
export interface MutatedFile {
  readonly bytes: Uint8Array;
  readonly edits: readonly string[];
  readonly must: "parse" | "refuse" | "either";
}

const bits: Readonly<Record<string, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};
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
  .record({ name, dtype: fc.constantFrom(...Object.keys(bits)), shape: fc.array(fc.nat(3), { maxLength: 3 }) })
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
const at = fc.nat(1000);

interface JsonEdit {
  readonly label: string;
  readonly doubles?: boolean;
  apply(draft: Draft): boolean;
}
const jsonEdit: fc.Arbitrary<JsonEdit> = fc.oneof(
  fc.record({ i: at, j: at, value: oddValue }).map(({ i, j, value }) =>
    edit(`value ${value.slice(0, 30)}`, i, (entry) =>
      change(entry.fields, j, (f) => {
        f[1] = value;
      }),
    ),
  ),
  fc
    .record({ i: at, begin: fc.integer({ min: -9, max: 9 }), end: fc.integer({ min: -9, max: 9 }) })
    .map(({ i, begin, end }) =>
      edit(`offsets ${begin} ${end}`, i, (entry) =>
        numbers(entry, '"data_offsets"', ([a = 0, b = 0]) => [a + begin, b + end]),
      ),
    ),
  fc
    .record({ i: at, by: fc.integer({ min: -9, max: 9 }) })
    .map(({ i, by }) =>
      edit(`moved ${by}`, i, (entry) => numbers(entry, '"data_offsets"', (pair) => pair.map((x) => x + by))),
    ),
  at.map((i) => edit("offsets swapped", i, (entry) => numbers(entry, '"data_offsets"', (pair) => pair.reverse()))),
  fc
    .record({ i: at, j: at, size: fc.nat(9) })
    .map(({ i, j, size }) =>
      edit(`size ${size}`, i, (entry) => numbers(entry, '"shape"', (s) => s.with(j % s.length, size), 1)),
    ),
  fc.record({ i: at, dtype: fc.constantFrom(...Object.keys(bits)) }).map(({ i, dtype }) =>
    edit(`dtype ${dtype}`, i, (entry) =>
      change(
        entry.fields.filter(([key]) => key === '"dtype"'),
        0,
        (f) => {
          f[1] = `"${dtype}"`;
        },
      ),
    ),
  ),
  fc
    .record({ i: at, j: at })
    .map(({ i, j }) =>
      edit("field dropped", i, (entry) => entry.fields.splice(j % Math.max(entry.fields.length, 1), 1).length > 0),
    ),
  fc
    .record({ i: at, key: name })
    .map(({ i, key }) => edit("field added", i, (entry) => entry.fields.push([JSON.stringify(key), "1"]) > 0)),
  fc.record({ i: at, escape: fc.boolean() }).map(({ i, escape }): JsonEdit => ({
    label: "entry doubled",
    doubles: true,
    apply: ({ entries }) => {
      const entry = entries[i % Math.max(entries.length, 1)];
      if (entry === undefined) return false;
      entries.push({ ...entry, key: escape ? escaped(entry.key) : entry.key });
      return true;
    },
  })),
  fc.record({ i: at, j: at, escape: fc.boolean() }).map(({ i, j, escape }) => ({
    ...edit("field doubled", i, ({ fields }) =>
      change(fields, j, ([key, value]) => {
        fields.push([escape ? escaped(key) : key, value]);
      }),
    ),
    doubles: true,
  })),
  fc.record({ i: at, value: oddValue }).map(({ i, value }) =>
    edit(`entry ${value.slice(0, 30)}`, i, (entry) => {
      entry.raw = value;
      return true;
    }),
  ),
  fc
    .record({ i: at, key: fc.constantFrom('"__metadata__"', '"__proto__"', '"\\ud800"', '"\\u0061"', "a", "1") })
    .map(({ i, key }) =>
      edit(`key ${key}`, i, (entry) => {
        entry.key = key;
        return true;
      }),
    ),
  fc.integer({ min: -9, max: 9 }).map((by): JsonEdit => ({
    label: `data ${by}`,
    apply: (d) => {
      d.data = Math.max(0, d.data + by);
      return true;
    },
  })),
);

type ByteEdit = (bytes: Uint8Array) => Uint8Array;
const byteEdit: fc.Arbitrary<ByteEdit> = fc.oneof(
  fc.record({ i: fc.nat(), bit: fc.nat(7) }).map(
    ({ i, bit }): ByteEdit =>
      (b) =>
        poke(b, i, (old) => old ^ (1 << bit)),
  ),
  fc
    .record({ i: fc.nat(), value: fc.constantFrom(...Buffer.from('"\\{}[],:0123456789.-eE \n\0\x7f\xff', "latin1")) })
    .map(
      ({ i, value }): ByteEdit =>
        (b) =>
          poke(b, i, () => value),
    ),
  fc.nat().map(
    (keep): ByteEdit =>
      (b) =>
        b.slice(0, keep % (b.length + 1)),
  ),
  fc.uint8Array({ minLength: 1, maxLength: 12 }).map(
    (more): ByteEdit =>
      (b) =>
        join(b, more),
  ),
  fc.record({ i: fc.nat(), more: fc.uint8Array({ minLength: 1, maxLength: 3 }) }).map(
    ({ i, more }): ByteEdit =>
      (b) =>
        join(b.slice(0, i % (b.length + 1)), more, b.slice(i % (b.length + 1))),
  ),
  fc.record({ i: fc.nat(), count: fc.integer({ min: 1, max: 4 }) }).map(
    ({ i, count }): ByteEdit =>
      (b) =>
        join(b.slice(0, i % (b.length + 1)), b.slice((i % (b.length + 1)) + count)),
  ),
  fc
    .oneof(
      fc.integer({ min: -9, max: 9 }).map((by) => ({ by })),
      fc.constantFrom(0n, 100_000_000n, 100_000_001n, 2n ** 53n, 2n ** 64n - 1n).map((to) => ({ to })),
    )
    .map((length): ByteEdit => (b) => {
      if (b.length < 8) return b;
      const out = b.slice();
      const words = new DataView(out.buffer);
      words.setBigUint64(
        0,
        "to" in length ? length.to : BigInt.asUintN(64, words.getBigUint64(0, true) + BigInt(length.by)),
        true,
      );
      return out;
    }),
);

/** A valid file with zero to three edits of either layer. */
export const mutatedFile: fc.Arbitrary<MutatedFile> = fc
  .record({
    draft,
    json: fc.array(jsonEdit, { maxLength: 2 }),
    bytes: fc.oneof(
      { weight: 2, arbitrary: fc.constant<ByteEdit[]>([]) },
      { weight: 1, arbitrary: fc.array(byteEdit, { maxLength: 3 }) },
    ),
    padding: fc.nat(8),
  })
  .map(({ draft: original, json, bytes, padding }) => {
    const copy: Draft = {
      data: original.data,
      entries: original.entries.map((entry) => ({ ...entry, fields: entry.fields.map(([k, v]): Member => [k, v]) })),
    };
    const done = json.filter((one) => one.apply(copy));
    const file = bytes.reduce((all, one) => one(all), encode(copy, padding));
    const edits = [...done.map((one) => one.label), ...bytes.map(() => "bytes")];
    return {
      bytes: file,
      edits,
      must: edits.length === 0 ? "parse" : edits.length === 1 && done[0]?.doubles === true ? "refuse" : "either",
    };
  });

/**
 * Checks one file. Returns "parsed" or the error's code; throws where the file was neither parsed soundly nor refused
 * properly.
 */
export function checkMutated(
  { parseSafetensors, SafetensorsError, errorCodes }: Subject,
  { bytes, must }: MutatedFile,
): string {
  let file: Safetensors;
  try {
    file = parseSafetensors(bytes);
  } catch (error) {
    if (must !== "parse" && error instanceof SafetensorsError && errorCodes.includes(error.code)) return error.code;
    throw error;
  }
  if (must === "refuse") throw new Error("a key said twice was accepted");
  const dataOffset = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, dataOffset))) as Record<string, unknown>;
  const listed = Object.keys(header)
    .filter((key) => key !== "__metadata__")
    .sort();
  if (JSON.stringify([...file.names].sort()) !== JSON.stringify(listed)) {
    throw new Error(`names ${file.names.join()} are not those of the header, ${listed.join()}`);
  }
  let covered = 0;
  for (const key of file.names) {
    const { dtype, shape, begin, end } = file.info(key);
    if (begin !== covered) throw new Error(`${key} begins at ${begin}, the tensors before it end at ${covered}`);
    covered = end;
    const exact = shape.reduce((product, size) => product * BigInt(size), BigInt(bits[dtype]!));
    if (exact !== 8n * BigInt(end - begin)) {
      throw new Error(`${key} has ${exact.toString()} bits in ${end - begin} bytes`);
    }
    const said = { dtype, shape, data_offsets: [begin, end] };
    const entry = header[key] as typeof said;
    if (
      JSON.stringify(said) !==
      JSON.stringify({ dtype: entry.dtype, shape: entry.shape, data_offsets: entry.data_offsets })
    ) {
      throw new Error(`${key} is not as the header says`);
    }
    const view = file.bytes(key);
    if (
      view.buffer !== bytes.buffer ||
      view.byteOffset !== bytes.byteOffset + dataOffset + begin ||
      view.length !== end - begin
    ) {
      throw new Error(`${key} is another view`);
    }
    const elements = Number(exact / BigInt(bits[dtype]!));
    if (!opaque.test(dtype) && (file.array(key).length !== elements || file.float32(key).length !== elements)) {
      throw new Error(`${key} decodes to another length`);
    }
  }
  if (dataOffset + covered !== bytes.length) {
    throw new Error(`the tensors end at ${covered}, the data at ${bytes.length - dataOffset}`);
  }
  return "parsed";
}

function sizeInBits(dtype: string, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, bits[dtype]!);
}

function encode({ entries, data }: Draft, padding: number): Uint8Array {
  const object = (members: readonly Member[]): string =>
    `{${members.map(([key, value]) => `${key}:${value}`).join(",")}}`;
  const text =
    object(entries.map(({ key, fields, raw }): Member => [key, raw ?? object(fields)])) + " ".repeat(padding);
  const header = new TextEncoder().encode(text);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, header.length, true);
  return join(
    length,
    header,
    Uint8Array.from({ length: data }, (_, i) => i * 37),
  );
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((offset, part) => {
    out.set(part, offset);
    return offset + part.length;
  }, 0);
  return out;
}

function poke(bytes: Uint8Array, index: number, value: (old: number) => number): Uint8Array {
  const out = bytes.slice();
  const i = index % Math.max(bytes.length, 1);
  if (out.length > 0) out[i] = value(out[i]!);
  return out;
}

function edit(label: string, i: number, apply: (entry: Entry) => boolean): JsonEdit {
  return { label, apply: ({ entries }) => entries.length > 0 && apply(entries[i % entries.length]!) };
}

function change(fields: readonly Member[], j: number, apply: (field: Member) => void): boolean {
  if (fields.length === 0) return false;
  apply(fields[j % fields.length]!);
  return true;
}

/** Replaces the numbers of a field that still is a list of at least `least`. */
function numbers(entry: Entry, key: string, apply: (values: number[]) => number[], least = 0): boolean {
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
function escaped(key: string): string {
  let text: string;
  try {
    text = JSON.parse(key) as string;
  } catch {
    return key;
  }
  const unit = (i: number): string => `\\u${text.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return `"${Array.from({ length: text.length }, (_, i) => unit(i)).join("")}"`;
}
