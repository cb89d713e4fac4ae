/**
 * The header of a safetensors file: 8 bytes of length (u64, little endian), then JSON.
 *   {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 * Checks what the Rust crate checks (huggingface/safetensors, tensor.rs) and more: duplicate keys, unknown fields, a
 * header that starts with "{".
 */
import { defaultBudgets } from "../../budgets.js";
import { requireInteger } from "../../errors.js";
import { byteCount, isSafetensorsDtype, type SafetensorsDtype, sizeMismatch, unknownDtype } from "./dtype.js";
import { fault, quote } from "./errors.js";

/** Bytes `[begin, end)` of the data section, which starts at the file's `dataOffset`. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** By increasing offset. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Without a prototype: any key is only data. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly dataOffset: number;
}

interface HeaderOptions {
  /**
   * Bytes. The Rust crate allows 100 MB, which would take seconds and a gigabyte to parse here.
   * @default 8 MiB (defaultBudgets)
   */
  readonly largest?: number;
}

/**
 * Takes the first 8 bytes of a file of `fileSize` bytes. Returns the header's length in bytes, at most `largest` and
 * inside the file.
 */
export function safetensorsHeaderLength(
  first8: Uint8Array,
  fileSize: number,
  { largest = defaultBudgets.safetensorsHeaderBytes }: HeaderOptions = {},
): number {
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
  // inexact above 2^53, far beyond what is accepted
  const length = words.getUint32(4, true) * 2 ** 32 + words.getUint32(0, true);
  if (length > largest) {
    throw fault(
      "header-too-large",
      `safetensors: the header claims ${length} bytes, above the limit of ${largest}; is this a safetensors file? If ` +
        `so, raise the limit with the option budgets: { safetensorsHeaderBytes: ${length} }`,
      { length, largest, budget: "safetensorsHeaderBytes" },
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
 * Parses the header at the start of `prefix`, the first bytes of a file of `fileSize` bytes. Throws unless the tensors
 * tile the data section exactly.
 */
export function parseSafetensorsHeader(
  prefix: Uint8Array,
  fileSize: number,
  options: HeaderOptions = {},
): SafetensorsHeader {
  const length = safetensorsHeaderLength(prefix, fileSize, options);
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

/** The format fixes the depth, so nothing recurses; deeper input is refused where it starts. */
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
  const tensor = { name, dtype, shape };
  const expected = byteCount(tensor);
  if (end - begin !== expected) throw sizeMismatch(tensor, { expected, found: end - begin });
  return { ...tensor, begin, end };
}

/** Copies the bytes first: a browser's TextDecoder refuses shared memory. */
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

/** Tensors, sorted by offset, must cover the data section exactly once. */
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
 * Reads the header's JSON. JSON.parse would keep the last of two equal keys, round large integers, and build whatever
 * it is given.
 */
class HeaderCursor {
  #at = 0;
  constructor(readonly text: string) {}

  /** `member` is called after each key and must consume its value. */
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

  /** Integers in [0, 2^53), exactly `count` if given. */
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

  /** Checks, without reading it, that such a value comes next. */
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

  /** The next character that is not white space; "" at the end. */
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
