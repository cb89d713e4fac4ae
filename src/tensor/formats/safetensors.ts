/**
 * Reads and writes safetensors: 8 bytes of header length (u64, little endian), a JSON header, then the tensors' bytes,
 * without gaps.
 *   {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 * Checks what the Rust crate checks (huggingface/safetensors, tensor.rs) and more: duplicate keys, unknown fields, a
 * header that starts with "{". A file too large for memory is read as 8 bytes, header, single tensors:
 * safetensorsHeaderLength, parseSafetensorsHeader, decodeFloat32. Longer than a page because reader, checks and writer
 * share one description of the header. Left out: file access (early-exits/node).
 */
import { requireInteger } from "../../errors.js";
import type { SafetensorsDtype, TensorArray } from "./dtype.js";
import {
  bytesOf,
  decodeArray,
  decodeFloat32,
  dtypeBits,
  encodeBytes,
  fault,
  isSafetensorsDtype,
  quote,
  requireLittleEndian,
  safetensorsDtypes,
} from "./dtype.js";

export type { SafetensorsDtype, SafetensorsErrorCode, TensorArray } from "./dtype.js";
export {
  bf16ToFloat32,
  decodeFloat32,
  f16ToFloat32,
  float32ToBf16,
  float32ToF16,
  safetensorsDtypes,
  safetensorsErrorCodes,
} from "./dtype.js";

/** Where a tensor lies: bytes `[begin, end)` of the data section, which starts at `dataOffset` of the file. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** By increasing offset, whatever order the header lists them in. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Without a prototype, so that any key is only data. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly dataOffset: number;
}

/** A parsed file. Every accessor throws `tensor-not-found`, with near names, for a name the file lacks. */
export interface Safetensors {
  readonly metadata: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  info(name: string): TensorInfo;
  /** The tensor's bytes, not copied. */
  bytes(name: string): Uint8Array;
  /** As float32, rounded as `decodeFloat32` says; shares the file's buffer where the tensor is F32 and lies aligned. */
  float32(name: string): Float32Array;
  /**
   * The dtype's own typed array, sharing the file's buffer where it lies aligned; F16 and BF16 as Float32Array, BOOL as
   * its bytes.
   */
  array(name: string): TensorArray;
}

export interface SafetensorsInput {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Raw bytes, the dtype's own typed array, or a Float32Array for F16 and BF16, rounded to nearest, ties to even. */
  readonly data: ArrayBufferView;
}

const maxHeaderBytes = 100_000_000; // as in the Rust crate

/**
 * Checks the first 8 bytes of a file of `fileSize` bytes; returns the header's length in bytes, at most 100 MB and
 * inside the file.
 */
export function safetensorsHeaderLength(first8: Uint8Array, fileSize: number): number {
  requireInteger("safetensorsHeaderLength: fileSize", fileSize, 0);
  if (fileSize < 8) {
    throw fault("file-too-short", `safetensors: a file starts with 8 bytes of header length, found ${fileSize} bytes`, {
      fileSize,
    });
  }
  if (first8.length < 8) {
    throw fault("prefix-too-short", `safetensors: expected the file's first 8 bytes, found ${first8.length}`, {
      found: first8.length,
    });
  }
  const words = new DataView(first8.buffer, first8.byteOffset, 8);
  // inexact above 2^53, far beyond what passes
  const length = words.getUint32(4, true) * 2 ** 32 + words.getUint32(0, true);
  if (length > maxHeaderBytes) {
    throw fault(
      "header-too-large",
      `safetensors: the header claims ${length} bytes, above the limit of ${maxHeaderBytes}; is this a ` +
        "safetensors file?",
      { length },
    );
  }
  if (length > fileSize - 8) {
    throw fault(
      "header-past-end",
      `safetensors: the header claims ${length} bytes, but ${fileSize - 8} follow its length; is the file cut short?`,
      { length, fileSize },
    );
  }
  return length;
}

/**
 * Parses and checks the header at the start of `prefix`, of a file of `fileSize` bytes: the tensors tile the data
 * section exactly.
 */
export function parseSafetensorsHeader(prefix: Uint8Array, fileSize: number): SafetensorsHeader {
  const length = safetensorsHeaderLength(prefix, fileSize);
  const dataOffset = 8 + length;
  if (prefix.length < dataOffset) {
    throw fault(
      "prefix-too-short",
      `safetensors: the header ends at byte ${dataOffset}, but only ${prefix.length} bytes were given`,
      { needed: dataOffset, found: prefix.length },
    );
  }
  const { tensors, metadata } = readHeader(new HeaderCursor(decodeUtf8(prefix.subarray(8, dataOffset))));
  // older writers listed by name: the header's order is free
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  requireTiling(tensors, fileSize - dataOffset);
  return { tensors: new Map(tensors.map((info) => [info.name, info])), metadata, dataOffset };
}

/** Parses a whole file held in memory. Tensors are views: they keep the file's buffer alive and see writes to it. */
export function parseSafetensors(file: Uint8Array | ArrayBuffer): Safetensors {
  requireLittleEndian("parseSafetensors");
  const bytes = ArrayBuffer.isView(file) ? bytesOf(file) : new Uint8Array(file);
  const { tensors, metadata, dataOffset } = parseSafetensorsHeader(bytes, bytes.length);
  const names = [...tensors.keys()];
  const info = (name: string): TensorInfo => {
    const found = tensors.get(name);
    if (found !== undefined) return found;
    const near = nearNames(name, names);
    const hint = near.length > 0 ? `near names: ${near.map(quote).join(", ")}` : "see .names for the list";
    throw fault("tensor-not-found", `safetensors: no tensor ${quote(name)} among ${names.length}; ${hint}`, {
      name,
      near,
    });
  };
  const view = ({ begin, end }: TensorInfo): Uint8Array => bytes.subarray(dataOffset + begin, dataOffset + end);
  return {
    metadata,
    names,
    info,
    bytes: (name) => view(info(name)),
    float32: (name) => decodeFloat32(view(info(name)), info(name).dtype),
    array: (name) => decodeArray(view(info(name)), info(name).dtype),
  };
}

/**
 * Writes a file as the Rust crate does: dtypes by decreasing alignment, then names by code point; the header padded
 * with spaces to a multiple of 8, so every tensor lies aligned. Metadata is sorted by key, and left out when empty. The
 * same input gives the same bytes.
 */
export function serializeSafetensors(
  tensors: Readonly<Record<string, SafetensorsInput>> | Iterable<readonly [name: string, tensor: SafetensorsInput]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  requireLittleEndian("serializeSafetensors");
  const entries =
    Symbol.iterator in tensors
      ? [...(tensors as Iterable<readonly [string, SafetensorsInput]>)]
      : Object.entries(tensors);
  for (const [name, { dtype }] of entries) {
    if (!isSafetensorsDtype(dtype)) throw unknownDtype(name, dtype);
  }
  const rank = (input: SafetensorsInput): number => safetensorsDtypes.indexOf(input.dtype);
  entries.sort(([a, x], [b, y]) => rank(y) - rank(x) || compareCodePoints(a, b));

  const seen = new Set<string>(["__metadata__"]);
  const members: string[] = [];
  const texts = Object.entries(metadata).sort(([a], [b]) => compareCodePoints(a, b));
  for (const [key, value] of texts) {
    if (typeof value !== "string") {
      throw fault("metadata-type", `serializeSafetensors: metadata ${quote(key)} is no text; JSON.stringify it?`, {
        key,
      });
    }
  }
  if (texts.length > 0) {
    members.push(`"__metadata__":{${texts.map(([key, value]) => `${jsonText(key)}:${jsonText(value)}`).join(",")}}`);
  }
  let end = 0;
  const spans = entries.map(([name, { dtype, shape, data }]) => {
    if (seen.has(name)) {
      throw fault(
        "duplicate-key",
        `serializeSafetensors: the name ${quote(name)} is taken or reserved; rename the tensor`,
        { name },
      );
    }
    seen.add(name);
    for (const size of shape) {
      if (!Number.isSafeInteger(size) || size < 0) {
        throw fault("not-an-integer", `serializeSafetensors: ${quote(name)} has size ${size} in its shape`, {
          name,
          size,
        });
      }
    }
    const begin = end;
    const count = byteCount(name, dtype, shape);
    const perValue = data instanceof Float32Array && dtype.endsWith("F16") ? 2 : 1;
    if (data.byteLength !== count * perValue) throw sizeMismatch(name, dtype, shape, count * perValue, data.byteLength);
    end += count;
    members.push(
      `${jsonText(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`,
    );
    return begin;
  });
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > maxHeaderBytes) {
    throw fault(
      "header-too-large",
      `serializeSafetensors: the header would take ${length} bytes, above the limit of ${maxHeaderBytes}`,
      { length },
    );
  }

  const file = new Uint8Array(8 + length + end);
  new DataView(file.buffer).setUint32(0, length, true);
  file.fill(0x20, 8, 8 + length);
  file.set(json, 8);
  entries.forEach(([name, { dtype, data }], i) => {
    file.set(encodeBytes(data, dtype, `serializeSafetensors: ${quote(name)}`), 8 + length + spans[i]!);
  });
  return file;
}

/**
 * Reads the header in one pass. Its depth is fixed by the format, so nothing here recurses and nested input is refused
 * where it starts.
 */
function readHeader(json: HeaderCursor): { tensors: TensorInfo[]; metadata: Record<string, string> } {
  const tensors: TensorInfo[] = [];
  const metadata = Object.create(null) as Record<string, string>;
  json.object("the header", (name) => {
    if (name === "__metadata__") {
      json.require("object", "metadata-type", "__metadata__");
      json.object("__metadata__", (key) => {
        json.require("string", "metadata-type", `__metadata__ ${quote(key)}`);
        metadata[key] = json.string();
      });
    } else {
      tensors.push(readTensor(json, name));
    }
  });
  json.finish();
  return { tensors, metadata };
}

function readTensor(json: HeaderCursor, name: string): TensorInfo {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const where = `tensor ${quote(name)}`;
  json.require("object", "field-type", where);
  json.object(where, (field) => {
    if (field === "dtype") {
      json.require("string", "field-type", `dtype of ${where}`);
      dtype = json.string();
    } else if (field === "shape") {
      shape = json.integers(`shape of ${where}`);
    } else if (field === "data_offsets") {
      offsets = json.integers(`data_offsets of ${where}`, 2);
    } else {
      throw fault(
        "unexpected-field",
        `safetensors: ${where} has a field ${quote(field)}; legal are dtype, shape, data_offsets`,
        { name, field },
      );
    }
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    const field = dtype === undefined ? "dtype" : shape === undefined ? "shape" : "data_offsets";
    throw fault("missing-field", `safetensors: ${where} lacks ${field}`, { name, field });
  }
  if (!isSafetensorsDtype(dtype)) throw unknownDtype(name, dtype);
  const [begin, end] = offsets as [number, number];
  if (end < begin) {
    throw fault("offsets-reversed", `safetensors: ${where} ends at ${end}, before it begins at ${begin}`, {
      name,
      begin,
      end,
    });
  }
  const bytes = byteCount(name, dtype, shape);
  if (end - begin !== bytes) throw sizeMismatch(name, dtype, shape, bytes, end - begin);
  return { name, dtype, shape, begin, end };
}

/**
 * A cursor over the header's text. JSON.parse would keep the last of two equal keys, round large integers, and build
 * whatever it is given.
 */
class HeaderCursor {
  #at = 0;
  constructor(readonly text: string) {}

  /** Reads an object; `member` is called after each key and must consume its value. */
  object(where: string, member: (key: string) => void): void {
    const seen = new Set<string>();
    this.#expect("{");
    if (this.#take("}")) return;
    do {
      const key = this.string();
      if (seen.has(key)) throw fault("duplicate-key", `safetensors: ${where} has the key ${quote(key)} twice`, { key });
      seen.add(key);
      this.#expect(":");
      member(key);
    } while (this.#take(","));
    this.#expect("}");
  }

  /** Reads an array of integers in [0, 2^53), of exactly `count` if given. */
  integers(where: string, count = Number.POSITIVE_INFINITY): number[] {
    this.require("array", "field-type", where);
    this.#expect("[");
    const values: number[] = [];
    if (!this.#take("]")) {
      do {
        if (values.length === count) {
          throw fault("field-type", `safetensors: ${where} has more than ${count} entries`, { count });
        }
        values.push(this.#integer(where));
      } while (this.#take(","));
      this.#expect("]");
    }
    if (Number.isFinite(count) && values.length < count) {
      throw fault("field-type", `safetensors: ${where} has ${values.length} entries, not ${count}`, { count });
    }
    return values;
  }

  string(): string {
    if (this.#peek() !== '"') throw this.#invalid("a string");
    const start = this.#at;
    let end = start + 1;
    let escaped = false;
    for (let code = this.text.charCodeAt(end); code !== 0x22; code = this.text.charCodeAt(end)) {
      // NaN at the end
      if (!(code >= 0x20)) throw this.#invalid("a string without control characters, closed by a quote");
      escaped ||= code === 0x5c;
      end += code === 0x5c ? 2 : 1;
    }
    this.#at = end + 1;
    if (!escaped) return this.text.slice(start + 1, end);
    try {
      const value = JSON.parse(this.text.slice(start, end + 1)) as string;
      if (!/\p{Surrogate}/u.test(value)) return value;
    } catch {
      /* an escape that JSON does not know; refused below */
    }
    this.#at = start;
    throw this.#invalid("a string with legal escapes and no lone surrogates");
  }

  /** Checks, without reading it, that a value of this kind comes next. */
  require(
    kind: "object" | "array" | "string" | "number",
    code: "field-type" | "metadata-type" | "not-an-integer",
    where: string,
  ): void {
    const char = this.#peek();
    const found = kinds.get(char === "-" || (char >= "0" && char <= "9") ? "0" : char);
    if (found === undefined) throw this.#invalid("a value");
    if (found !== kind) {
      throw fault(
        code,
        `safetensors: ${where} must be ${kind === "string" ? "text" : `of type ${kind}`}, found ${found}`,
        { expected: kind, found },
      );
    }
  }

  finish(): void {
    if (this.#peek() !== "") throw this.#invalid("nothing but white space");
  }

  #integer(where: string): number {
    this.require("number", "not-an-integer", `every entry of the ${where}`);
    const start = this.#at;
    while (this.#at < this.text.length && "0123456789+-.eE".includes(this.text[this.#at]!)) this.#at++;
    const literal = this.text.slice(start, this.#at);
    const value = Number(literal);
    if (/^(?:0|[1-9][0-9]{0,15})$/.test(literal) && value <= Number.MAX_SAFE_INTEGER) return value;
    if (Number.isNaN(value) || /^-?0[0-9]|^-?\.|\.(?![0-9])/.test(literal)) {
      // Number() is laxer than JSON
      this.#at = start;
      throw this.#invalid("a number");
    }
    throw fault(
      "not-an-integer",
      `safetensors: the ${where} holds ${quote(literal)}; legal are plain integers from 0 to 2^53 - 1`,
      { found: literal.slice(0, 80) },
    );
  }

  /** The next character that is not white space, not consumed; "" at the end. */
  #peek(): string {
    let code = this.text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = this.text.charCodeAt(++this.#at);
    return this.text[this.#at] ?? "";
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at++;
    return true;
  }

  #expect(char: string): void {
    if (!this.#take(char)) throw this.#invalid(quote(char));
  }

  #invalid(expected: string): Error {
    const found = this.#at < this.text.length ? quote(this.text.slice(this.#at, this.#at + 20)) : "the end";
    return fault(
      "invalid-json",
      `safetensors: expected ${expected} at character ${this.#at} of the header, found ${found}`,
      { at: this.#at },
    );
  }
}

const kinds: ReadonlyMap<string, string> = new Map([
  ["{", "object"],
  ["[", "array"],
  ['"', "string"],
  ["0", "number"],
  ["t", "true"],
  ["f", "false"],
  ["n", "null"],
]);

/**
 * The header's text. It is copied first: a TextDecoder of a browser refuses shared memory, and 100 MB is the most it
 * can be.
 */
function decodeUtf8(bytes: Uint8Array): string {
  if (bytes[0] !== 0x7b) {
    throw fault(
      "header-start",
      `safetensors: the header must start with "{", found ${bytes.length === 0 ? "no byte" : `byte ${bytes[0]!}`}`,
      {},
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw fault("invalid-utf8", "safetensors: the header is not valid UTF-8", {});
  }
}

/** Tensors, sorted by offset, must cover the data section once, from its first byte to its last. */
function requireTiling(tensors: readonly TensorInfo[], dataBytes: number): void {
  let at = 0;
  for (const { name, begin, end } of tensors) {
    if (begin > at) {
      throw fault(
        "offsets-gap",
        `safetensors: no tensor covers the bytes from ${at} to ${begin}, before ${quote(name)}`,
        { name, begin, expected: at },
      );
    }
    if (begin < at) {
      throw fault(
        "offsets-overlap",
        `safetensors: ${quote(name)} begins at ${begin}, inside a tensor that ends at ${at}`,
        { name, begin, expected: at },
      );
    }
    at = end;
  }
  if (at > dataBytes) {
    throw fault(
      "offsets-past-end",
      `safetensors: the tensors end at ${at}, but the file holds ${dataBytes} bytes of data; is it cut short?`,
      { end: at, dataBytes },
    );
  }
  if (at < dataBytes) {
    throw fault("trailing-bytes", `safetensors: ${dataBytes - at} bytes follow the last tensor`, {
      end: at,
      dataBytes,
    });
  }
}

/** Bytes of a tensor, every intermediate product exact; sub-byte elements must fill whole bytes. */
function byteCount(name: string, dtype: SafetensorsDtype, shape: readonly number[]): number {
  const bits = [...shape, dtypeBits(dtype)].reduce((product, size) => {
    if (product * size > Number.MAX_SAFE_INTEGER) {
      throw fault(
        "shape-overflow",
        `safetensors: ${quote(name)} of ${dtype} and shape ${shapeText(shape)} has more than 2^53 bits`,
        { name, dtype },
      );
    }
    return product * size;
  }, 1);
  if (bits % 8 !== 0) {
    throw fault(
      "partial-byte",
      `safetensors: ${quote(name)} of ${dtype} and shape ${shapeText(shape)} has ${bits} bits, no whole number ` +
        "of bytes",
      { name, dtype, bits },
    );
  }
  return bits / 8;
}

function sizeMismatch(
  name: string,
  dtype: SafetensorsDtype,
  shape: readonly number[],
  expected: number,
  found: number,
): Error {
  return fault(
    "size-mismatch",
    `safetensors: ${quote(name)} of ${dtype} and shape ${shapeText(shape)} takes ${expected} bytes, found ${found}`,
    { name, dtype, expected, found },
  );
}

function unknownDtype(name: string, dtype: string): Error {
  return fault(
    "unknown-dtype",
    `safetensors: ${quote(name)} has dtype ${quote(dtype)}; legal are ${safetensorsDtypes.join(", ")}`,
    { name, dtype: dtype.slice(0, 80) },
  );
}

function shapeText(shape: readonly number[]): string {
  return shape.length > 8 ? `[${shape.slice(0, 8).join(", ")}, ... ${shape.length} sizes]` : `[${shape.join(", ")}]`;
}

/** A name or text as JSON. Lone surrogates have no UTF-8 form: other readers refuse them. */
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
 * The order of UTF-8 bytes, as Rust compares text. UTF-16 units order alike, except that surrogates belong above
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

/**
 * Up to three names that start and end most like `name`: linear in the text, so a hostile file cannot make a typo
 * expensive.
 */
function nearNames(name: string, names: readonly string[]): string[] {
  const likeness = (other: string): number => {
    const shared = Math.min(name.length, other.length);
    let head = 0;
    let tail = 0;
    while (head < shared && name[head] === other[head]) head++;
    while (tail < shared - head && name.at(-1 - tail) === other.at(-1 - tail)) tail++;
    return (2 * (head + tail)) / (name.length + other.length);
  };
  return names
    .map((other) => ({ other, score: likeness(other) }))
    .filter(({ score }) => score >= 0.5)
    .sort((a, b) => b.score - a.score)
    .slice(0, 3)
    .map(({ other }) => other);
}
