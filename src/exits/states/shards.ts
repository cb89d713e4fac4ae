/**
 * Shards: one file of a store per some windows' recorded states. A shard names its origin (model, dtype, depths,
 * windows), and is used again for that alone.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { requireInteger } from "../../errors.js";
import type { Document, MarkedDocument, Model } from "../../model/index.js";
import { markedWindows, type Window } from "../../model/documents.js";
import { sha256 } from "../../model/sha256.js";
import { parseSafetensors } from "../../tensor/formats/safetensors.js";
import { joinStates, type RecordedStates, recordStates, serializeStates } from "./record-states.js";

/** `early-exits/node` has a store in a folder. Writes are atomic: a file is complete or absent. */
export interface CacheStore {
  read(name: string): Promise<Uint8Array | undefined>;
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Without this, the file is read to find out. */
  has?(name: string): Promise<boolean>;
}

export interface ShardOptions {
  /**
   * Tokens per window at most; documents with a `from` are whole windows. @default 128, or the context limit if shorter
   */
  readonly sequenceLength?: number;
  /** Batches mix the positions of one shard. @default 32 */
  readonly windowsPerShard?: number;
}

export const windowsPerShardDefault = 32;

export const shardName = (shard: number): string => `shard-${String(shard).padStart(5, "0")}.safetensors`;

/** Writes states that came with their documents (self-answers.ts), for `recordHidden` to find. */
export interface ShardWriter {
  /** Takes the next document. A shard is written when complete, if all of its documents had states. */
  add(document: MarkedDocument, states: RecordedStates | undefined): Promise<void>;
}

/** Makes the shards that `recordHidden` would of these documents, none longer than the context. */
export function createShardWriter(
  model: Model,
  depths: readonly number[],
  store: CacheStore,
  { windowsPerShard = windowsPerShardDefault }: Pick<ShardOptions, "windowsPerShard"> = {},
): ShardWriter {
  requireInteger("createShardWriter: windowsPerShard", windowsPerShard, 1);
  let shard = 0;
  let windows: Window[] = [];
  let parts: RecordedStates[] = [];
  return {
    async add({ ids, from = 0 }, states) {
      if (ids.length < 2) return; // no window
      windows.push({ ids, from });
      if (states !== undefined) parts.push(states);
      if (windows.length < windowsPerShard) return;
      if (parts.length === windows.length) {
        const bytes = serializeStates(joinStates(parts), await shardMetadata(model, windows, depths));
        await store.write(shardName(shard), bytes);
      }
      shard++;
      windows = [];
      parts = [];
    },
  };
}

export function cutShards(model: Model, documents: readonly Document[], options: ShardOptions): Window[][] {
  const { sequenceLength = Math.min(128, model.config.maxPositionEmbeddings) } = options;
  const { windowsPerShard = windowsPerShardDefault } = options;
  requireInteger("recordHidden: windowsPerShard", windowsPerShard, 1);
  const windows = markedWindows(model, documents, sequenceLength);
  return Array.from({ length: Math.ceil(windows.length / windowsPerShard) }, (_, shard) =>
    windows.slice(shard * windowsPerShard, (shard + 1) * windowsPerShard),
  );
}

/** The origin of a shard. */
async function shardMetadata(
  model: Model,
  windows: readonly Window[],
  depths: readonly number[],
): Promise<Record<string, string>> {
  return {
    modelHash: await model.hash(),
    dtype: model.dtype,
    depths: depths.join(","),
    windows: await hashOf(windows),
  };
}

/** Returns the bytes of its file. */
export async function recordShard(
  model: Model,
  windows: readonly Window[],
  depths: readonly number[],
  signal: CancelSignal | undefined,
): Promise<Uint8Array> {
  return serializeStates(
    await recordStates(model, windows, depths, { signal }),
    await shardMetadata(model, windows, depths),
  );
}

/** Undefined unless it has the same model and windows, and these depths. */
export async function storedShard(
  model: Model,
  store: CacheStore,
  shard: number,
  windows: readonly Window[],
  depths: readonly number[],
): Promise<Uint8Array | undefined> {
  const bytes = await store.read(shardName(shard));
  if (bytes === undefined) return undefined;
  const { metadata } = parseSafetensors(bytes);
  const wanted = await shardMetadata(model, windows, depths);
  return Object.entries(wanted).every(([key, value]) => metadata[key] === value) ? bytes : undefined;
}

/** SHA-256 (hex) of windows. */
export async function hashOf(windows: readonly Window[]): Promise<string> {
  return sha256(new TextEncoder().encode(JSON.stringify(windows.map(({ ids, from }) => [from, ...ids]))));
}
