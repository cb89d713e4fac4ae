/**
 * A part on disk is a folder, named after its round and shard, such as records-00003-of-00008:
 *   part.json       what it is a part of, written before anything else
 *   chunk-….bin     what was recorded of some units; each file is complete or absent
 *   complete.json   the completion marker, written last: the chunks with their hashes
 */
import { createHash } from "node:crypto";
import type { Chunked, Shard } from "./shard.js";

/** What parts have in common. Two processes that describe different runs never mix their parts. */
export interface PartRun extends Chunked {
  /** The command that made it. */
  readonly command: string;
  /** Commands that need several rounds name them. */
  readonly round: string;
  /** Everything that the result is a function of: settings, hashes, kernel build; plain JSON. */
  readonly made: unknown;
}

/** part.json. */
export interface PartDescription extends PartRun {
  readonly format: "early-exits/part";
  readonly version: 1;
  /** Version of this library. */
  readonly library: string;
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
export function runHash({ library, command, round, units, chunk, made, shard }: PartDescription): string {
  return sha256Of(JSON.stringify([library, command, round, units, chunk, shard.of, made]));
}

export function sha256Of(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
