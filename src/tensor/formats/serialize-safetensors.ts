/**
 * Writes safetensors files as the Rust crate does: dtypes by decreasing alignment, then names by code point; the header
 * is padded with spaces to a multiple of 8, so tensors lie aligned.
 */
import { requireLittleEndian } from "./bytes.js";
import {
  byteCount,
  encodeBytes,
  isSafetensorsDtype,
  type SafetensorsDtype,
  safetensorsDtypes,
  sizeMismatch,
  unknownDtype,
} from "./dtype.js";
import { fault, quote } from "./errors.js";
import { defaultBudgets } from "../../budgets.js";

export interface SafetensorsInput {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Raw bytes, the dtype's own array, or a Float32Array for F16 and BF16, rounded to nearest, ties to even. */
  readonly data: ArrayBufferView;
}

type Entry = readonly [name: string, tensor: SafetensorsInput];

/** Metadata is sorted by key, and left out if empty. The same input gives the same bytes. */
export function serializeSafetensors(
  tensors: Readonly<Record<string, SafetensorsInput>> | Iterable<readonly [name: string, tensor: SafetensorsInput]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  requireLittleEndian("serializeSafetensors");
  const entries = sorted(Symbol.iterator in tensors ? tensors : Object.entries(tensors));
  const members = metadataMembers(metadata);
  const seen = new Set(["__metadata__"]);
  const offsets: number[] = [];
  let end = 0;
  for (const [name, input] of entries) {
    if (seen.has(name)) {
      throw fault(
        "duplicate-key",
        `serializeSafetensors: the name ${quote(name)} is taken or reserved; rename the tensor`,
        { name },
      );
    }
    seen.add(name);
    const begin = end;
    end += requireSize(name, input);
    offsets.push(begin);
    const shape = input.shape.join(",");
    members.push(`${jsonText(name)}:{"dtype":"${input.dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`);
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const limit = defaultBudgets.safetensorsHeaderBytes;
  if (length > limit) {
    throw fault(
      "header-too-large",
      `serializeSafetensors: the header would take ${length} bytes, above the limit of ${limit}`,
      { length },
    );
  }

  const file = new Uint8Array(8 + length + end);
  new DataView(file.buffer).setUint32(0, length, true);
  file.fill(0x20, 8, 8 + length);
  file.set(json, 8);
  entries.forEach(([name, { dtype, data }], i) => {
    file.set(encodeBytes(data, dtype, `serializeSafetensors: ${quote(name)}`), 8 + length + offsets[i]!);
  });
  return file;
}

function sorted(tensors: Iterable<Entry>): Entry[] {
  const entries = [...tensors];
  for (const [name, { dtype }] of entries) {
    if (!isSafetensorsDtype(dtype)) throw unknownDtype(name, dtype);
  }
  const rank = (input: SafetensorsInput): number => safetensorsDtypes.indexOf(input.dtype);
  return entries.sort(([a, x], [b, y]) => rank(y) - rank(x) || compareCodePoints(a, b));
}

function metadataMembers(metadata: Readonly<Record<string, string>>): string[] {
  const texts = Object.entries(metadata).sort(([a], [b]) => compareCodePoints(a, b));
  for (const [key, value] of texts) {
    if (typeof value !== "string") {
      throw fault("metadata-type", `serializeSafetensors: metadata ${quote(key)} is not text; JSON.stringify it?`, {
        key,
      });
    }
  }
  if (texts.length === 0) return [];
  return [`"__metadata__":{${texts.map(([key, value]) => `${jsonText(key)}:${jsonText(value)}`).join(",")}}`];
}

/** Throws if shape or data length is wrong. */
function requireSize(name: string, { dtype, shape, data }: SafetensorsInput): number {
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw fault("not-an-integer", `serializeSafetensors: ${quote(name)} has size ${size} in its shape`, {
        name,
        size,
      });
    }
  }
  const tensor = { name, dtype, shape };
  const bytes = byteCount(tensor);
  const expected = bytes * (data instanceof Float32Array && dtype.endsWith("F16") ? 2 : 1);
  if (data.byteLength !== expected) throw sizeMismatch(tensor, { expected, found: data.byteLength });
  return bytes;
}

/** Refuses lone surrogates: they have no UTF-8 form. */
function jsonText(text: string): string {
  if (/\p{Surrogate}/u.test(text)) {
    throw fault(
      "invalid-name",
      `serializeSafetensors: ${quote(text)} holds a lone surrogate, which UTF-8 cannot write`,
      { text },
    );
  }
  return JSON.stringify(text);
}

/**
 * The order of UTF-8 bytes, by which Rust compares. UTF-16 units have it too, except that surrogates belong above
 * U+FFFF.
 */
function compareCodePoints(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  const lift = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
  for (let i = 0; i < shared; i++) {
    if (a[i] !== b[i]) return lift(a.charCodeAt(i)) - lift(b.charCodeAt(i));
  }
  return a.length - b.length;
}
