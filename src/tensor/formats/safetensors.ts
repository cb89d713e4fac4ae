/**
 * Reads safetensors files: a header (header.ts), then the tensors' bytes, without gaps. Files too large for memory are
 * read in parts with safetensorsHeaderLength, parseSafetensorsHeader and decodeFloat32. File access is in
 * early-exits/node.
 */
import { bytesOf, requireLittleEndian } from "./bytes.js";
import { decodeArray, decodeFloat32, type TensorArray } from "./dtype.js";
import { fault, quote } from "./errors.js";
import { parseSafetensorsHeader, type TensorInfo } from "./header.js";

/** For a name that the file lacks, every accessor throws `tensor-not-found` with similar names. */
export interface Safetensors {
  readonly metadata: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  info(name: string): TensorInfo;
  bytes(name: string): Uint8Array;
  /** Rounded as `decodeFloat32` says; shares the file's buffer if F32 and aligned. */
  float32(name: string): Float32Array;
  /**
   * The dtype's own typed array, sharing the file's buffer if aligned; F16 and BF16 as Float32Array, BOOL as its bytes.
   */
  array(name: string): TensorArray;
}

/** Parses a whole file in memory. Tensors are views: they keep its buffer alive and see writes to it. */
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
 * Up to three names with the most similar beginning and end. Linear in the text, so that a hostile file cannot make a
 * typo expensive.
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
