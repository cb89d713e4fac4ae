/**
 * A GGUF file as the same model in another type: metadata byte for byte, matrices in the new type, vectors in float32.
 * As llama.cpp's own quantizer does, four-bit files keep the embedding, which is also the unembedding, in q8_0.
 */
import { decodeGguf } from "../../../src/tensor/formats/gguf/decode.js";
import { type GgufHeader, parseGgufHeader } from "../../../src/tensor/formats/gguf/header.js";
import { type GgufType, serializeWithPairs } from "./gguf.js";

/** Magic, version, and the two counts. */
const PAIRS_AT = 4 + 4 + 8 + 8;
/** Bytes of the values of each metadata type; 8 is a string, 9 an array. */
const VALUE_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

export function requantizeGguf(file: Uint8Array, type: GgufType): Uint8Array {
  const header = headerOf(file);
  const tensors = [...header.tensors].map(([name, { type: stored, shape, begin, end }]) => ({
    name,
    shape,
    type: shape.length === 1 ? ("f32" as const) : matrixType(name, type),
    data: decodeGguf(file.subarray(begin, end), stored),
  }));
  return serializeWithPairs({ count: header.metadata.size, bytes: pairsOf(file, header.metadata.size) }, tensors);
}

export function headerOf(file: Uint8Array): GgufHeader {
  const header = parseGgufHeader(file, file.length);
  if ("needs" in header) throw new Error(`requantize: the header ends after the file of ${file.length} bytes`);
  return header;
}

function matrixType(name: string, type: GgufType): GgufType {
  const unembedding = name === "token_embd.weight" || name === "output.weight";
  return unembedding && type.startsWith("q4") ? "q8_0" : type;
}

/** The bytes of `count` metadata pairs. */
function pairsOf(file: Uint8Array, count: number): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = (at: number): number => Number(view.getBigUint64(at, true));
  const afterText = (at: number): number => at + 8 + length(at);
  const afterValue = (type: number, at: number): number => {
    if (type === 8) return afterText(at);
    if (type !== 9) return at + VALUE_BYTES[type]!;
    const element = view.getUint32(at, true);
    const elements = length(at + 4);
    let end = at + 12;
    if (element !== 8 && element !== 9) return end + elements * VALUE_BYTES[element]!;
    for (let i = 0; i < elements; i++) end = afterValue(element, end);
    return end;
  };
  let end = PAIRS_AT;
  for (let i = 0; i < count; i++) {
    const value = afterText(end);
    end = afterValue(view.getUint32(value, true), value + 4);
  }
  return file.slice(PAIRS_AT, end);
}
