/**
 * Reads the head of a GGUF file. Counts and lengths are compared with the bytes that remain before anything is
 * allocated, so all that a cursor returns was inside the file.
 */
import { defaultBudgets } from "../../../budgets.js";
import { GgufError } from "../../../errors.js";

export interface GgufLimits {
  /** Bytes. The largest vocabularies in use take about 20 MB. @default 64 MiB (defaultBudgets) */
  readonly largest?: number;
  /** Texts, booleans, lists, pairs and tensors in the head. @default 2^21 (defaultBudgets) */
  readonly values?: number;
}

/** Numbers as they lie in the file, copied. */
export type GgufNumbers =
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
export type ValueType = (typeof VALUE_TYPES)[number];

export const NUMBER_ARRAYS = {
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
export class NeedsMoreBytes extends Error {
  constructor(readonly end: number) {
    super();
  }
}

export class Cursor {
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
    const value = this.#view.getBigUint64(this.#take(8, what), true);
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
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
