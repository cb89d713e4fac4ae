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
import {
  Cursor,
  type GgufLimits,
  type GgufNumbers,
  malformed,
  NeedsMoreBytes,
  NUMBER_ARRAYS,
  show,
  type ValueType,
} from "./cursor.js";
import { ggufBlock, type GgufType, ggufTypeOf } from "./types.js";

export type GgufValue = number | bigint | boolean | string | readonly GgufValue[] | GgufNumbers;

export interface GgufTensor {
  readonly type: GgufType;
  /** Row-major, slowest dimension first: the file's dimensions reversed. */
  readonly shape: readonly number[];
  /** In the file: [begin, end). */
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
