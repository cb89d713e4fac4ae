/**
 * Writes GGUF version 3, the file llama.cpp reads: magic, counts, typed metadata, tensor directory, then the tensors,
 * each aligned to 32 bytes (ggml-org/ggml, docs/gguf.md). Tensor sizes are listed fastest first, the reverse of ours.
 * Storage types: f32, bf16 (round to nearest even), and blocks of 32 weights as ggml's reference quantizer makes them
 * (ggml-quants.c, quantize_row_*_ref): q8_0 and q4_0 with a float16 scale, q4_1 with a scale and a minimum.
 */
import { bytesOf } from "../../../src/tensor/formats/bytes.js";
import { float32ToBf16, float32ToF16 } from "../../../src/tensor/formats/half-floats.js";

export type GgufType = "f32" | "bf16" | "q8_0" | "q4_0" | "q4_1";
export type GgufValue =
  | string
  | boolean
  | { readonly uint32: number }
  | { readonly float32: number }
  | { readonly strings: readonly string[] }
  | { readonly int32s: readonly number[] }
  | { readonly float32s: readonly number[] };

export interface GgufTensor {
  readonly name: string;
  /** Row-major sizes, slowest first. */
  readonly shape: readonly number[];
  readonly type: GgufType;
  readonly data: Float32Array;
}

/** enum ggml_type, of all that random files have. */
const typeCodes = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q5_0: 6, q8_0: 8, q4_k: 12, q6_k: 14, bf16: 30 } as const;
const alignment = 32;
const blockSize = 32; // weights per q8_0 block

interface Pairs {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** The same, with metadata that is written already. */
export function serializeWithPairs(pairs: Pairs, tensors: readonly GgufTensor[]): Uint8Array {
  const payloads = tensors.map(encode);
  const out = new ByteWriter(
    payloads.reduce((size, payload) => size + payload.length + alignment, pairs.bytes.length + (1 << 20)),
  );
  writeHead(
    out,
    pairs,
    tensors.map((tensor, i) => ({ ...tensor, bytes: payloads[i]!.length })),
  );
  for (const payload of payloads) {
    out.raw(payload);
    out.align(alignment);
  }
  return out.bytes();
}

export interface GgufEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: keyof typeof typeCodes;
  readonly bytes: number;
}

export const padded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** What stands before the tensors, which follow in this order, each padded to the alignment. */
export function headBytes(metadata: Readonly<Record<string, GgufValue>>, entries: readonly GgufEntry[]): Uint8Array {
  const out = new ByteWriter(1 << 20);
  writeHead(out, pairsOf(metadata), entries);
  return out.bytes();
}

function pairsOf(metadata: Readonly<Record<string, GgufValue>>): Pairs {
  const pairs = new ByteWriter(1 << 20);
  for (const [key, value] of Object.entries(metadata)) {
    pairs.text(key);
    writeValue(pairs, value);
  }
  return { count: Object.keys(metadata).length, bytes: pairs.bytes() };
}

function writeHead(out: ByteWriter, pairs: Pairs, entries: readonly GgufEntry[]): void {
  out.raw(new TextEncoder().encode("GGUF"));
  out.uint32(3);
  out.uint64(entries.length);
  out.uint64(pairs.count);
  out.raw(pairs.bytes);
  let offset = 0;
  for (const { name, shape, type, bytes } of entries) {
    out.text(name);
    out.uint32(shape.length);
    for (const size of shape.toReversed()) out.uint64(size);
    out.uint32(typeCodes[type]);
    out.uint64(offset);
    offset += padded(bytes);
  }
  out.align(alignment);
}

/** Values are tagged: 4 uint32, 5 int32, 6 float32, 7 bool, 8 string, 9 array of a tag. */
function writeValue(out: ByteWriter, value: GgufValue): void {
  if (typeof value === "string") {
    out.uint32(8);
    out.text(value);
  } else if (typeof value === "boolean") {
    out.uint32(7);
    out.raw(Uint8Array.of(value ? 1 : 0));
  } else if ("uint32" in value) {
    out.uint32(4);
    out.uint32(value.uint32);
  } else if ("float32" in value) {
    out.uint32(6);
    out.raw(new Uint8Array(Float32Array.of(value.float32).buffer));
  } else if ("strings" in value) {
    out.uint32(9);
    out.uint32(8);
    out.uint64(value.strings.length);
    for (const item of value.strings) out.text(item);
  } else if ("float32s" in value) {
    out.uint32(9);
    out.uint32(6);
    out.uint64(value.float32s.length);
    out.raw(new Uint8Array(Float32Array.from(value.float32s).buffer));
  } else {
    out.uint32(9);
    out.uint32(5);
    out.uint64(value.int32s.length);
    for (const item of value.int32s) out.uint32(item);
  }
}

function encode({ type, data }: GgufTensor): Uint8Array {
  switch (type) {
    case "f32":
      return bytesOf(data);
    case "bf16":
      return bytesOf(float32ToBf16(data));
    case "q8_0":
      return quantize(data, { bytes: 34, write: writeQ8_0 });
    case "q4_0":
      return quantize(data, { bytes: 18, write: writeQ4_0 });
    case "q4_1":
      return quantize(data, { bytes: 20, write: writeQ4_1 });
  }
}

interface BlockFormat {
  readonly bytes: number;
  /** Writes the block of 32 weights x to `out` from `at` on. */
  readonly write: (x: Float32Array, out: DataView, at: number) => void;
}

function quantize(data: Float32Array, { bytes, write }: BlockFormat): Uint8Array {
  const blocks = data.length / blockSize;
  const out = new DataView(new ArrayBuffer(blocks * bytes));
  for (let b = 0; b < blocks; b++) write(data.subarray(b * blockSize, (b + 1) * blockSize), out, b * bytes);
  return bytesOf(out);
}

const half = (value: number): number => float32ToF16(Float32Array.of(value))[0]!;

/** d = max |x| / 127, then round(x / d) as int8. */
function writeQ8_0(x: Float32Array, out: DataView, at: number): void {
  const d = x.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / 127;
  out.setUint16(at, half(d), true);
  x.forEach((value, i) => {
    out.setInt8(at + 2 + i, d === 0 ? 0 : Math.round(value / d));
  });
}

/** d = the value of largest magnitude / -8; x is near d · (q - 8). */
function writeQ4_0(x: Float32Array, out: DataView, at: number): void {
  const largest = x.reduce((found, value) => (Math.abs(value) > Math.abs(found) ? value : found), 0);
  const d = largest / -8;
  out.setUint16(at, half(d), true);
  writeNibbles(out, at + 2, (i) => (d === 0 ? 8 : x[i]! / d + 8.5));
}

/** d = (max - min) / 15; x is near d · q + min. */
function writeQ4_1(x: Float32Array, out: DataView, at: number): void {
  const low = x.reduce((a, b) => Math.min(a, b));
  const d = (x.reduce((a, b) => Math.max(a, b)) - low) / 15;
  out.setUint16(at, half(d), true);
  out.setUint16(at + 2, half(low), true);
  writeNibbles(out, at + 4, (i) => (d === 0 ? 0 : (x[i]! - low) / d + 0.5));
}

/** Sixteen bytes: weight i in the lower half of byte i, weight i + 16 in the upper. */
function writeNibbles(out: DataView, at: number, valueOf: (i: number) => number): void {
  const nibble = (i: number): number => Math.min(15, Math.trunc(valueOf(i)));
  for (let i = 0; i < 16; i++) out.setUint8(at + i, nibble(i) | (nibble(i + 16) << 4));
}

class ByteWriter {
  #buffer: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = new Uint8Array(capacity);
    this.#view = new DataView(this.#buffer.buffer);
  }

  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  raw(data: Uint8Array): void {
    this.#reserve(data.length);
    this.#buffer.set(data, this.#length);
    this.#length += data.length;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  uint64(value: number): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt(value), true);
    this.#length += 8;
  }

  /** UTF-8 after its length in bytes. */
  text(value: string): void {
    const data = new TextEncoder().encode(value);
    this.uint64(data.length);
    this.raw(data);
  }

  align(size: number): void {
    const padding = (size - (this.#length % size)) % size;
    this.raw(new Uint8Array(padding));
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + more));
    grown.set(this.#buffer);
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}
