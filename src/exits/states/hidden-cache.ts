/**
 * Offline training: the states that heads read, and those after the last block, are recorded once to a store (usually a
 * folder). One product recomputes the teacher's logits from the last states, which are smaller to store and as exact. A
 * cache names its model, data and depths; a stale one is refused. An interrupted recording resumes at the first missing
 * shard.
 *
 * Without room for all states, `streamedBatches` records shards when needed, keeps as many as it may, and records the
 * others again in every epoch: the same batches, bit for bit.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { HiddenCacheError, requireInteger, requireNumber } from "../../errors.js";
import type { Window } from "../../model/documents.js";
import type { Document, Model } from "../../model/index.js";
import { createRng } from "../../tensor/index.js";
import { giveTurn } from "../../turns.js";
import { batchOf, type BatchSource } from "./batches.js";
import { isCount, jsonIn, jsonOf } from "./findings.js";
import {
  type CacheStore,
  countPositions,
  cutShards,
  type ExpectedStates,
  hashOf,
  type LoadedStates,
  parseStates,
  recordShard,
  shardName,
  type ShardOptions,
  storedShard,
  windowsPerShardDefault,
} from "./record-states.js";

/** cache.json: the origin of a cache. */
interface CacheDescription {
  readonly format: "early-exits/hidden-cache";
  readonly version: 2;
  readonly modelHash: string;
  readonly dataHash: string;
  readonly depths: readonly number[];
  readonly windows: number;
  readonly windowsPerShard: number;
  /** Positions in every shard. */
  readonly rows: readonly number[];
}

interface RecordOptions extends ShardOptions {
  readonly signal?: CancelSignal;
  /** A promise is waited for. */
  readonly onShard?: (event: ShardEvent) => unknown;
}

interface ShardEvent {
  readonly shard: number;
  readonly shards: number;
  /** The store had it already. */
  readonly reused: boolean;
  /** Positions that it holds. */
  readonly rows: number;
}

// Batches of positions from shards: shards in a seeded order per epoch, the positions of each in another.

interface CachedBatchOptions {
  /** Positions per batch. @default 512 */
  readonly rows?: number;
  /** Shuffles the shards and the positions within each. @default 0 */
  readonly seed?: number;
}

/** Batches from shards that hold `counts` positions; only the shard in use is in memory. */
function shardBatches(
  model: Model,
  counts: readonly number[],
  load: (shard: number) => Promise<LoadedStates>,
  { rows = 512, seed = 0 }: CachedBatchOptions,
): BatchSource {
  requireInteger("cachedBatches: rows", rows, 1);
  const batchesOf = (count: number): number => Math.ceil(count / rows);
  const batchesPerEpoch = counts.reduce((sum, count) => sum + batchesOf(count), 0);
  let loaded: { readonly shard: number; readonly states: LoadedStates } | undefined;
  return {
    batchesPerEpoch,
    async batch(step) {
      const rng = createRng(seed).fork(`epoch ${Math.floor(step / batchesPerEpoch)}`);
      const order = rng.shuffle(counts.map((_, shard) => shard));
      const batches = order.flatMap((shard) =>
        Array.from({ length: batchesOf(counts[shard]!) }, (_, index) => ({ shard, index })),
      );
      const { shard, index } = batches[step % batchesPerEpoch]!;
      if (loaded?.shard !== shard) loaded = { shard, states: await load(shard) };
      const chosen = rng
        .fork(`shard ${shard}`)
        .shuffle([...Array(counts[shard]).keys()])
        .slice(index * rows, (index + 1) * rows);
      return batchOf(model, { ...loaded.states, outcome: loaded.states }, chosen);
    },
  };
}

interface StreamOptions extends RecordOptions, CachedBatchOptions {
  /** @default nowhere: every epoch records all shards again */
  readonly store?: CacheStore;
  /** Bytes of shards that the store may hold. @default no limit */
  readonly maxBytes?: number;
}

/** Records states at the given depths. Shards from the same model, data and depths are kept. */
export async function recordHidden(
  model: Model,
  documents: readonly Document[],
  depths: readonly number[],
  store: CacheStore,
  options: RecordOptions = {},
): Promise<void> {
  const { signal, onShard } = options;
  const shards = cutShards(model, documents, options);
  const description = await describeCache(model, shards, depths, options);
  const existing = await readDescription(store);
  if (existing !== undefined) requireSame(existing, description);
  else await store.write("cache.json", jsonOf(description));
  for (const [shard, windows] of shards.entries()) {
    await giveTurn(signal);
    const reused = (await storedShard(model, store, shard, windows, depths)) !== undefined;
    if (!reused) await store.write(shardName(shard), await recordShard(model, windows, depths, signal));
    await onShard?.({ shard, shards: shards.length, reused, rows: description.rows[shard]! });
  }
}

/**
 * Batches of `rows` positions from a recorded cache; the seed shuffles the shards and the positions within each. Throws
 * a HiddenCacheError if the cache is of another model, lacks a depth, or is incomplete.
 */
export async function cachedBatches(
  model: Model,
  depths: readonly number[],
  store: CacheStore,
  options: CachedBatchOptions = {},
): Promise<BatchSource> {
  const { rows } = await usableDescription(model, depths, store);
  for (const shard of rows.keys()) {
    if ((await store.has?.(shardName(shard))) !== true) await readShard(store, shard);
  }
  return shardBatches(
    model,
    rows,
    async (shard) => parseStates(await readShard(store, shard), depths, expectedOf(model, shard, rows[shard]!)),
    options,
  );
}

/**
 * Batches from a model run a shard at a time. Shards are written to the store, if there is one, until it holds
 * `maxBytes`, and read from there. The batches are those of a cache, bit for bit.
 */
export function streamedBatches(
  model: Model,
  documents: readonly Document[],
  depths: readonly number[],
  options: StreamOptions = {},
): BatchSource {
  const { store, maxBytes = Infinity, signal, onShard } = options;
  if (maxBytes !== Infinity) requireNumber("streamedBatches: maxBytes", maxBytes, Number.MAX_SAFE_INTEGER);
  const shards = cutShards(model, documents, options);
  const rows = shards.map(countPositions);
  const kept = new Map<number, number>(); // bytes by shard
  const load = async (shard: number): Promise<LoadedStates> => {
    await giveTurn(signal);
    const windows = shards[shard]!;
    const stored = store && (await storedShard(model, store, shard, windows, depths));
    const bytes = stored ?? (await recordShard(model, windows, depths, signal));
    if (stored !== undefined) kept.set(shard, stored.length);
    const held = [...kept.values()].reduce((sum, size) => sum + size, 0);
    if (stored === undefined && store !== undefined && held + bytes.length <= maxBytes) {
      await store.write(shardName(shard), bytes);
      kept.set(shard, bytes.length);
    }
    await onShard?.({ shard, shards: shards.length, reused: stored !== undefined, rows: rows[shard]! });
    return parseStates(bytes, depths, expectedOf(model, shard, rows[shard]!));
  };
  return { ...shardBatches(model, rows, load, options), text: documents };
}

function expectedOf({ config }: Model, shard: number, rows: number): ExpectedStates {
  return { name: shardName(shard), rows, hiddenSize: config.hiddenSize, vocabSize: config.vocabSize };
}

async function describeCache(
  model: Model,
  shards: readonly (readonly Window[])[],
  depths: readonly number[],
  { windowsPerShard = windowsPerShardDefault }: ShardOptions,
): Promise<CacheDescription> {
  return {
    format: "early-exits/hidden-cache",
    version: 2,
    modelHash: await model.hash(),
    dataHash: await hashOf(shards.flat()),
    depths: [...depths],
    windows: shards.flat().length,
    windowsPerShard,
    rows: shards.map(countPositions),
  };
}

/** Throws a HiddenCacheError if the cache is of another model or lacks a depth. */
async function usableDescription(
  model: Model,
  depths: readonly number[],
  store: CacheStore,
): Promise<CacheDescription> {
  const description = await readDescription(store);
  if (description === undefined) {
    throw new HiddenCacheError(
      "cache-missing",
      "hidden cache: the store holds no cache.json; record it first with recordHidden",
    );
  }
  const modelHash = await model.hash();
  if (description.modelHash !== modelHash) {
    throw new HiddenCacheError(
      "cache-stale",
      `hidden cache: it was recorded from model ${description.modelHash.slice(0, 12)}…, this one ` +
        `is ${modelHash.slice(0, 12)}…; record it again`,
      { expected: description.modelHash, found: modelHash },
    );
  }
  const missing = depths.find((depth) => !description.depths.includes(depth));
  if (missing !== undefined) {
    throw new HiddenCacheError(
      "cache-stale",
      `hidden cache: it holds depths ${description.depths.join(", ")}, not ${missing}; record it again for these exits`,
      { depths: description.depths, missing },
    );
  }
  return description;
}

async function readShard(store: CacheStore, shard: number): Promise<Uint8Array> {
  const bytes = await store.read(shardName(shard));
  if (bytes === undefined) {
    throw new HiddenCacheError(
      "cache-incomplete",
      `hidden cache: ${shardName(shard)} is missing; run recordHidden again, which resumes there`,
      { shard },
    );
  }
  return bytes;
}

async function readDescription(store: CacheStore): Promise<CacheDescription | undefined> {
  const bytes = await store.read("cache.json");
  if (bytes === undefined) return undefined;
  let json: Partial<CacheDescription> | null;
  try {
    json = jsonIn(bytes) as Partial<CacheDescription> | null;
  } catch (error) {
    throw new HiddenCacheError(
      "cache-malformed",
      "hidden cache: cache.json is not valid JSON; delete the cache and record it again",
      {},
      { cause: error },
    );
  }
  const legal =
    json?.format === "early-exits/hidden-cache" &&
    json.version === 2 &&
    typeof json.modelHash === "string" &&
    [json.rows, json.depths].every((list: unknown) => Array.isArray(list) && list.every((count) => isCount(count)));
  if (!legal) {
    throw new HiddenCacheError(
      "cache-malformed",
      "hidden cache: cache.json is of another format or version; delete the cache and record it again",
    );
  }
  return json as CacheDescription;
}

function requireSame(existing: CacheDescription, wanted: CacheDescription): void {
  for (const key of ["modelHash", "dataHash", "depths", "windows", "windowsPerShard"] as const) {
    const found = JSON.stringify(existing[key]);
    const expected = JSON.stringify(wanted[key]);
    if (found !== expected) {
      throw new HiddenCacheError(
        "cache-stale",
        `hidden cache: it was recorded with another ${key} (${found}, now ${expected}); delete it or use another store`,
        { key },
      );
    }
  }
}
