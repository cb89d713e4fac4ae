/**
 * The head of a GGUF file (versions 2 and 3, little endian): metadata, then one entry per tensor, then the data.
 *
 *     "GGUF"  version u32  tensors u64  pairs u64
 *     pairs:    key string, type u32, value          strings: length u64, UTF-8; arrays: type u32, length u64, elements
 *     tensors:  name string, dimensions u32, each u64 (fastest first), type u32, offset u64
 *     padding to `general.alignment`, then the data; offsets count from there
 *
 * Nothing in the file is trusted: every count is compared with the bytes that remain before anything is allocated,
 * names must be unique, and tensors must be aligned, inside the file, and apart. Source: the GGUF specification (ggml).
 *
 * Why not `@huggingface/gguf` (0.4.6): it opens URLs and paths but neither Blobs nor bytes, in fixed ranges of 2 MB,
 * 50 MB at most. It compares counts and lengths with constants instead of the file's size, replaces invalid UTF-8,
 * overwrites repeated keys, and accepts any tensor type, row length and offset, overlaps included.
 */
import { ggufBlock, type GgufType, ggufTypeOf } from "./types.js";
import { defaultBudgets } from "../../../budgets.js";
import { GgufError } from "../../../errors.js";

export type GgufValue = number | bigint | boolean | string | readonly GgufValue[] | GgufNumbers;

export interface GgufTensor {
  readonly type: GgufType;
  /** Row-major, slowest dimension first: the file's dimensions reversed. */
  readonly shape: readonly number[];
  /** Bytes of the file: [begin, end). */
  readonly begin: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly dataOffset: number;
}

const MAX_DIMENSIONS = 4;
const MAX_ARRAY_DEPTH = 4;
const MAX_ALIGNMENT = 2 ** 16;
/** Fewest bytes of a pair and a tensor's entry: an empty key with a byte, a name with one dimension. */
const LEAST_PAIR = 8 + 4 + 1;
const LEAST_TENSOR = 8 + 4 + 8 + 4 + 8;

/**
 * Parses the head from the first bytes of a file of `fileSize` bytes. If `bytes` ends too early, returns how many bytes
 * to give at least in the next call. Throws a GgufError for a malformed file.
 */
export function parseGgufHeader(
  bytes: Uint8Array,
  fileSize: number,
  limits: GgufLimits = {},
): GgufHeader | { readonly needs: number } {
  try {
    return parse(new Cursor(bytes, fileSize, limits));
  } catch (error) {
    if (error instanceof NeedsMoreBytes) return { needs: error.end };
    throw error;
  }
}

function parse(cursor: Cursor): GgufHeader {
  const version = parseStart(cursor);
  const tensorCount = cursor.countObjects("tensors", LEAST_TENSOR);
  const pairCount = cursor.countObjects("metadata pairs", LEAST_PAIR);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < pairCount; i++) {
    const key = cursor.text("a metadata key");
    if (metadata.has(key)) throw malformed("duplicate-key", `the metadata key ${show(key)} occurs twice`, { key });
    metadata.set(key, parseValue(cursor, cursor.valueType(key), key, 0));
  }
  const entries = Array.from({ length: tensorCount }, () => parseTensor(cursor));
  const alignment = alignmentOf(metadata);
  const dataOffset = Math.ceil(cursor.at / alignment) * alignment;
  return { version, metadata, tensors: place(entries, dataOffset, alignment, cursor.fileSize), dataOffset };
}

function parseStart(cursor: Cursor): number {
  const magic = cursor.bytesOf(4, "the magic number");
  if (String.fromCharCode(...magic) !== "GGUF") {
    throw malformed("magic", 'the file does not begin with "GGUF"; it is not a GGUF file');
  }
  const version = cursor.uint32("the version");
  if (version === 2 || version === 3) return version;
  if (version >= 2 ** 16) throw malformed("big-endian", "the file is big endian; convert it to little endian");
  throw malformed("version", `version ${version} is not supported, only 2 and 3; convert the model anew`, { version });
}

function parseValue(cursor: Cursor, type: ValueType, key: string, depth: number): GgufValue {
  switch (type) {
    case "string":
      return cursor.text(key);
    case "bool":
      return parseBool(cursor.bytesOf(1, key)[0]!, key);
    case "array":
      return parseArray(cursor, key, depth);
    default:
      return cursor.numbers(NUMBER_ARRAYS[type], 1, key)[0]!;
  }
}

function parseBool(byte: number, key: string): boolean {
  if (byte > 1) throw malformed("bool", `${show(key)} is a boolean of ${byte}; legal are 0 and 1`, { key });
  return byte === 1;
}

function parseArray(cursor: Cursor, key: string, depth: number): GgufValue {
  if (depth === MAX_ARRAY_DEPTH) {
    throw malformed("array-depth", `${show(key)} nests arrays more than ${MAX_ARRAY_DEPTH} deep`, { key });
  }
  const type = cursor.valueType(key);
  switch (type) {
    case "string":
      return Array.from({ length: cursor.countObjects(`strings in ${show(key)}`, 8) }, () => cursor.text(key));
    case "array":
      return Array.from({ length: cursor.countObjects(`arrays in ${show(key)}`, 12) }, () =>
        parseArray(cursor, key, depth + 1),
      );
    case "bool":
      return Array.from(cursor.bytesOf(cursor.countObjects(`booleans in ${show(key)}`, 1), key), (byte) =>
        parseBool(byte, key),
      );
    default: {
      const numbers = NUMBER_ARRAYS[type];
      return cursor.numbers(numbers, cursor.count(`numbers in ${show(key)}`, numbers.BYTES_PER_ELEMENT), key);
    }
  }
}

/** The offset counts from where the data begins. */
interface Entry {
  readonly name: string;
  readonly type: GgufType;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly offset: number;
}

function parseTensor(cursor: Cursor): Entry {
  const name = cursor.text("a tensor's name");
  const tensor = `tensor ${show(name)}`;
  const dimensions = cursor.uint32(tensor);
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw malformed("dimensions", `${tensor} has ${dimensions} dimensions; legal are 1 to ${MAX_DIMENSIONS}`, { name });
  }
  const sizes = Array.from({ length: dimensions }, () => cursor.uint64(tensor));
  const type = ggufTypeOf(cursor.uint32(tensor), name);
  const offset = cursor.uint64(tensor);
  const block = ggufBlock(type);
  if (sizes[0]! % block.elements !== 0) {
    throw malformed(
      "row-length",
      `${tensor} has rows of ${sizes[0]!} elements; rows of ${type} are multiples of ${block.elements}`,
      { name, type },
    );
  }
  const elements = sizes.reduce((product, size) => product * size, 1);
  const bytes = (elements / block.elements) * block.bytes;
  if (!Number.isSafeInteger(bytes) || !sizes.every((size) => size >= 1)) {
    throw malformed("shape", `${tensor} has the impossible shape [${sizes.join(", ")}]`, { name });
  }
  return { name, type, shape: sizes.reverse(), bytes, offset };
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get("general.alignment") ?? 32;
  const legal = typeof alignment === "number" && alignment >= 8 && alignment <= MAX_ALIGNMENT && alignment % 8 === 0;
  if (legal) return alignment;
  throw malformed("alignment", `general.alignment must be a multiple of 8 up to ${MAX_ALIGNMENT}`);
}

/** Places tensors in the file: unique, aligned, inside, apart. */
function place(
  entries: readonly Entry[],
  dataOffset: number,
  alignment: number,
  fileSize: number,
): ReadonlyMap<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  let previous: { readonly name: string; readonly end: number } | undefined;
  for (const { name, type, shape, bytes, offset } of entries.toSorted((a, b) => a.offset - b.offset)) {
    const begin = dataOffset + offset;
    const end = begin + bytes;
    if (tensors.has(name)) throw malformed("duplicate-tensor", `two tensors are named ${show(name)}`, { name });
    if (offset % alignment !== 0) {
      throw malformed("offset", `tensor ${show(name)} begins at ${offset}, not at a multiple of ${alignment}`, {
        name,
      });
    }
    if (!(end <= fileSize)) {
      throw malformed(
        "past-end",
        `tensor ${show(name)} ends at byte ${end} of a file of ${fileSize}; the download may be incomplete`,
        { name, end, fileSize },
      );
    }
    if (previous !== undefined && begin < previous.end) {
      throw malformed("overlap", `tensors ${show(previous.name)} and ${show(name)} overlap`, { name });
    }
    previous = { name, end };
    tensors.set(name, { type, shape, begin, end });
  }
  // In the order of the file's list, the model's.
  return new Map(entries.map(({ name }) => [name, tensors.get(name)!]));
}

interface GgufLimits {
  /** Bytes. The largest vocabularies in use take about 20 MB. @default 64 MiB (defaultBudgets) */
  readonly largest?: number;
  /** Texts, booleans, lists, pairs and tensors in the head. @default 2^21 (defaultBudgets) */
  readonly values?: number;
}

/** Numbers as they lie in the file, copied. */
type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array;

const VALUE_TYPES = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
] as const;
type ValueType = (typeof VALUE_TYPES)[number];

const NUMBER_ARRAYS = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float64: Float64Array,
} as const;

interface NumberArray {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): GgufNumbers;
}

/** Thrown where the bytes end but the file does not. */
class NeedsMoreBytes extends Error {
  constructor(readonly end: number) {
    super();
  }
}

class Cursor {
  at = 0;
  readonly #view: DataView;
  /** A byte-order mark is text: Gemma 3 has three tokens that begin with one. */
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  readonly #largest: number;
  readonly #mostValues: number;
  #values = 0;

  constructor(
    readonly bytes: Uint8Array,
    readonly fileSize: number,
    { largest = defaultBudgets.ggufHeaderBytes, values = defaultBudgets.ggufValues }: GgufLimits = {},
  ) {
    this.#largest = largest;
    this.#mostValues = values;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  uint64(what: string): number {
    const value = Number(this.#view.getBigUint64(this.#take(8, what), true));
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    throw malformed("number", `${what}: ${value} is beyond any real file`);
  }

  /** A count of things of at least so many bytes each, which must fit the rest of the file. */
  count(what: string, leastBytes: number): number {
    return this.#fitting(this.uint64(`the number of ${what}`), leastBytes, () => what);
  }

  /** A count of things that each become an object, limited per head. */
  countObjects(what: string, leastBytes: number): number {
    const count = this.count(what, leastBytes);
    this.#values += count;
    if (this.#values <= this.#mostValues) return count;
    throw malformed(
      "too-many-values",
      `with the ${count} ${what} its head has more than ${this.#mostValues} values; no model needs so many. If you ` +
        `trust the file, raise the limit with the option budgets: { ggufValues: ${this.#values} }`,
      { budget: "ggufValues", found: this.#values, limit: this.#mostValues },
    );
  }

  text(what: string): string {
    const length = this.uint64(what);
    const bytes = this.bytesOf(
      this.#fitting(length, 1, () => `bytes of ${show(what)}`),
      what,
    );
    try {
      return this.#decoder.decode(bytes);
    } catch {
      throw malformed("utf8", `${show(what)} is not valid UTF-8`);
    }
  }

  /** `what` is asked for only in an error: vocabularies have a hundred thousand texts. */
  #fitting(count: number, leastBytes: number, what: () => string): number {
    const rest = Math.min(this.fileSize, this.#largest) - this.at;
    if (count * leastBytes <= rest) return count;
    throw malformed(
      "count",
      `it announces ${count} ${what()}, for which the ${rest} bytes that remain do not suffice; is it complete?`,
    );
  }

  bytesOf(length: number, what: string): Uint8Array {
    const begin = this.#take(length, what);
    return this.bytes.subarray(begin, begin + length);
  }

  numbers(type: NumberArray, length: number, what: string): GgufNumbers {
    return new type(new Uint8Array(this.bytesOf(length * type.BYTES_PER_ELEMENT, what)).buffer); // a copy, aligned
  }

  valueType(key: string): ValueType {
    const type = VALUE_TYPES[this.uint32(`the type of ${show(key)}`)];
    if (type !== undefined) return type;
    throw malformed("value-type", `${show(key)} has an unknown type; the file is damaged or newer than GGUF 3`, {
      key,
    });
  }

  #take(length: number, what: string): number {
    const begin = this.at;
    const end = begin + length;
    if (end > this.fileSize) throw malformed("truncated", `it ends inside ${what}; the download may be incomplete`);
    if (end > this.#largest) {
      throw malformed(
        "header-too-large",
        `its metadata exceeds ${this.#largest} bytes; no model needs so much. If you trust the file, raise the limit ` +
          `with the option budgets: { ggufHeaderBytes: ${end} }`,
        { budget: "ggufHeaderBytes", found: end, limit: this.#largest },
      );
    }
    if (end > this.bytes.length) throw new NeedsMoreBytes(end);
    this.at = end;
    return begin;
  }
}

/** Quotes and cuts a name from the file: it may be anything. */
export function show(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

export function malformed(code: string, message: string, details: Readonly<Record<string, unknown>> = {}): GgufError {
  return new GgufError(`gguf-${code}`, `gguf: ${message}`, details);
}
