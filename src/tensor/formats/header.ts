/**
 * The header of a safetensors file: 8 bytes of length (u64, little endian), then JSON.
 *   {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 * Checks what the Rust crate checks (huggingface/safetensors, tensor.rs) and more: duplicate keys, unknown fields, a
 * header that starts with "{".
 */
import { defaultBudgets } from "../../budgets.js";
import { requireInteger } from "../../errors.js";
import { isSafetensorsDtype, type SafetensorsDtype } from "./dtype.js";
import { fault, quote } from "./errors.js";
import { HeaderCursor } from "./header-cursor.js";
import { byteCount, sizeMismatch, unknownDtype } from "./tensor-size.js";

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

export interface HeaderOptions {
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
