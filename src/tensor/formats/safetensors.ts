/**
 * Reads safetensors files: a header (header.ts), then the tensors' bytes, without gaps. A file too large for memory is
 * read in parts, 8 bytes, header, single tensors, with safetensorsHeaderLength, parseSafetensorsHeader and
 * decodeFloat32. Left out: file access (early-exits/node).
 */
import { bytesOf, requireLittleEndian } from "./bytes.js";
import { decodeArray, decodeFloat32, type TensorArray } from "./dtype.js";
import { fault, quote } from "./errors.js";
import { parseSafetensorsHeader, type TensorInfo } from "./header.js";

/** A parsed file. For a name that the file lacks, every accessor throws `tensor-not-found` with similar names. */
export interface Safetensors {
  readonly metadata: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  info(name: string): TensorInfo;
  bytes(name: string): Uint8Array;
  /** As float32, rounded as `decodeFloat32` says; shares the file's buffer if the tensor is F32 and lies aligned. */
  float32(name: string): Float32Array;
  /**
   * The dtype's own typed array, sharing the file's buffer if it lies aligned; F16 and BF16 as Float32Array, BOOL as
   * its bytes.
   */
  array(name: string): TensorArray;
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
 * Up to three names whose beginning and end are most like those of `name`. Linear in the text, so a hostile file cannot
 * make a typo expensive.
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
