/**
 * A recording of states that several processes share: each of them cuts all documents into the same shards of the
 * cache, and records its own. Put together they are the cache that one process records, byte for byte.
 */
import type { Document, Model, Window } from "../../model/index.js";
import { giveTurn } from "../../turns.js";
import { type CacheDescription, describeCache, openCache, type RecordOptions } from "./hidden-cache.js";
import { type CacheStore, cutShards, recordShard, shardName } from "./shards.js";

export interface StatesJob {
  /** What cache.json says: plain JSON, the same in every process. */
  readonly description: CacheDescription;
  /** Number of shards of the cache. */
  readonly shards: number;
  /** Records one of them: the bytes of its file. */
  readonly record: (shard: number) => Promise<Uint8Array>;
}

/** Opens a recording as `recordHidden` would make it. */
export async function openStatesJob(
  model: Model,
  documents: readonly Document[],
  depths: readonly number[],
  options: Omit<RecordOptions, "onShard"> = {},
): Promise<StatesJob> {
  const shards: readonly (readonly Window[])[] = cutShards(model, documents, options);
  return {
    description: await describeCache(model, shards, depths, options),
    shards: shards.length,
    async record(shard) {
      await giveTurn(options.signal);
      return recordShard(model, shards[shard]!, depths, options.signal);
    },
  };
}

/**
 * Puts recorded shards into a store, where `recordHidden` finds them. Throws a HiddenCacheError if the store holds
 * another cache.
 */
export async function storeStates(
  store: CacheStore,
  description: CacheDescription,
  shards: AsyncIterable<{ readonly shard: number; readonly bytes: Uint8Array }>,
): Promise<void> {
  await openCache(store, description);
  for await (const { shard, bytes } of shards) await store.write(shardName(shard), bytes);
}
