/**
 * A part on disk is a folder, named after its round and shard, such as records-00003-of-00008:
 *   part.json       what it is a part of, written before anything else
 *   chunk-….bin     what was recorded of some units; each file is complete or absent
 *   complete.json   the completion marker, written last: the chunks with their hashes
 */
import { createHash } from "node:crypto";
import type { Shard } from "./shard.js";

/** What parts have in common. Two processes that describe different runs never mix their parts. */
export interface PartRun {
  /** The command that made it. */
  readonly command: string;
  /** Commands that need several rounds name them. */
  readonly round: string;
  /** Units of work in all shards together. */
  readonly units: number;
  /** Units in one chunk, the last one may have fewer: what a restarted process loses at most. */
  readonly chunk: number;
  /** Everything that the result is a function of: settings, hashes, kernel build; plain JSON. */
  readonly made: unknown;
}

/** part.json. */
export interface PartDescription extends PartRun {
  readonly format: "early-exits/part";
  readonly version: 1;
  readonly shard: Shard;
}

/** A chunk file of a complete part. */
export interface ChunkFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** complete.json. */
export interface PartMarker {
  readonly format: "early-exits/part-complete";
  readonly version: 1;
  /** `runHash` of what it is a part of. */
  readonly run: string;
  readonly chunks: readonly ChunkFile[];
}

export const PART = "part.json";
export const COMPLETE = "complete.json";

const padded = (index: number): string => String(index).padStart(5, "0");

export const partName = (round: string, { index, of }: Shard): string => `${round}-${padded(index)}-of-${padded(of)}`;

export const chunkName = (chunk: number): string => `chunk-${padded(chunk)}.bin`;

/** SHA-256 (hex) of what all parts of a run have in common, the number of shards included. */
export function runHash({ command, round, units, chunk, made }: PartRun, of: number): string {
  return sha256Of(JSON.stringify([command, round, units, chunk, of, made]));
}

export function sha256Of(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The units of a shard, chunk by chunk. */
export function chunksOf<T>(units: readonly T[], size: number): (readonly T[])[] {
  return Array.from({ length: Math.ceil(units.length / size) }, (_, c) => units.slice(c * size, (c + 1) * size));
}
