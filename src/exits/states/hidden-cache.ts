/**
 * Offline training: the states that heads read, and those after the last block, are recorded once to a store (usually a
 * folder) and read many times. One product recomputes the teacher's logits from the last states, which are smaller to
 * store than V logits and just as exact. A cache contains the hashes of its model and its data, and the depths of its
 * exits; a stale cache is refused. An interrupted recording resumes at the first missing shard.
 *
 * If the disk has no room for all states, or none at all, `streamedBatches` records a shard when it is needed, keeps as
 * many as it may, and records the others again in every epoch: the same batches, bit for bit.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { HiddenCacheError, requireInteger, requireNumber } from "../../errors.js";
import {
  type Document,
  type MarkedDocument,
  markedWindows,
  type Model,
  sha256,
  type Window,
} from "../../model/index.js";
import { parseSafetensors } from "../../tensor/formats/index.js";
import { createRng, Tensor } from "../../tensor/index.js";
import type { BatchSource } from "./batches.js";
import {
  countPositions,
  joinStates,
  type LoadedStates,
  parseStates,
  type RecordedStates,
  recordStates,
  serializeStates,
} from "./record-states.js";
import { giveTurn } from "../../turns.js";

/**
 * Where a cache is kept; `early-exits/node` has a store in a folder. Writes are atomic: a file is complete or absent.
 */
export interface CacheStore {
  read(name: string): Promise<Uint8Array | undefined>;
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Whether it holds a file; without this, the file is read to find out. */
  has?(name: string): Promise<boolean>;
}

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

export interface ShardOptions {
  /**
   * Tokens per window at most; documents with a `from` are whole windows. @default 128, or the context limit if shorter
   */
  readonly sequenceLength?: number;
  /** Windows per shard: batches mix the positions of one shard. @default 32 */
  readonly windowsPerShard?: number;
}

export interface RecordOptions extends ShardOptions {
  readonly signal?: CancelSignal;
  /** Called after every shard; a promise is waited for. */
  readonly onShard?: (event: ShardEvent) => unknown;
}

export interface ShardEvent {
  readonly shard: number;
  readonly shards: number;
  /** Whether the store had it already. */
  readonly reused: boolean;
  /** Positions that it holds. */
  readonly rows: number;
}

export interface CachedBatchOptions {
  /** Positions per batch. @default 512 */
  readonly rows?: number;
  /** Shuffles the shards and the positions within each. @default 0 */
  readonly seed?: number;
}

export interface StreamOptions extends RecordOptions, CachedBatchOptions {
  /** Where shards are kept. @default nowhere: every epoch records all of them again */
  readonly store?: CacheStore;
  /** Bytes of shards that the store may hold. @default no limit */
  readonly maxBytes?: number;
}

const windowsPerShardDefault = 32;

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
/** The file of a shard. */
const shardName = (shard: number): string => `shard-${String(shard).padStart(5, "0")}.safetensors`;

/**
 * Records the states of documents at the given depths. Shards that exist already, from the same model, data and depths,
 * are kept.
 */
export async function recordHidden(
  model: Model,
  documents: readonly Document[],
  depths: readonly number[],
  store: CacheStore,
  options: RecordOptions = {},
): Promise<void> {
  const { signal, onShard } = options;
  const shards = cutShards(model, documents, options);
  const description = await describe(model, shards, depths, options);
  const existing = await readDescription(store);
  if (existing !== undefined) requireSame(existing, description);
  else await store.write("cache.json", encode(description));
  for (const [shard, windows] of shards.entries()) {
    await giveTurn(signal);
    const reused = (await storedShard(model, store, shard, windows, depths)) !== undefined;
    if (!reused) await store.write(shardName(shard), await recordShard(model, windows, depths, signal));
    await onShard?.({ shard, shards: shards.length, reused, rows: description.rows[shard]! });
  }
}

/**
 * A source of training batches of `rows` positions from a recorded cache; the seed shuffles the shards and the
 * positions within each. Throws a HiddenCacheError if the cache is of another model, lacks a depth, or is incomplete.
 */
export async function cachedBatches(
  model: Model,
  depths: readonly number[],
  store: CacheStore,
  options: CachedBatchOptions = {},
): Promise<BatchSource> {
  const { rows } = await usableDescription(model, depths, store);
  for (const shard of rows.keys()) await requireShard(store, shard);
  return shardBatches(
    model,
    depths,
    rows,
    async (shard) => parseStates(await readShard(store, shard), depths),
    options,
  );
}

/**
 * A source of training batches that runs the model as it goes: a shard at a time, once for all its batches. With a
 * store, shards are written until it holds `maxBytes`, and read from there. The batches are those of a cache, bit for
 * bit.
 */
export async function streamedBatches(
  model: Model,
  documents: readonly Document[],
  depths: readonly number[],
  options: StreamOptions = {},
): Promise<BatchSource> {
  const { store, maxBytes = Infinity, signal, onShard } = options;
  if (maxBytes !== Infinity) requireNumber("streamedBatches: maxBytes", maxBytes, 0, Number.MAX_SAFE_INTEGER);
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
    return parseStates(bytes, depths);
  };
  return shardBatches(model, depths, rows, load, options);
}

/** Writes shards of states that came with their documents (self-answers.ts); `recordHidden` then finds them. */
export interface ShardWriter {
  /**
   * Takes the next document and its states. A shard is written when it is complete and all of its documents had states.
   */
  add(document: MarkedDocument, states: RecordedStates | undefined): Promise<void>;
}

/** Creates a writer of the shards that `recordHidden` would make of the same documents, none longer than the context. */
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

/** The windows of every shard. */
function cutShards(model: Model, documents: readonly Document[], options: ShardOptions): Window[][] {
  const { sequenceLength = Math.min(128, model.config.maxPositionEmbeddings) } = options;
  const { windowsPerShard = windowsPerShardDefault } = options;
  requireInteger("recordHidden: windowsPerShard", windowsPerShard, 1);
  const windows = markedWindows(model, documents, sequenceLength);
  return Array.from({ length: Math.ceil(windows.length / windowsPerShard) }, (_, shard) =>
    windows.slice(shard * windowsPerShard, (shard + 1) * windowsPerShard),
  );
}

/** What a shard was recorded from: it is used again for the same alone. */
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

/** Batches of positions: shards in a seeded order per epoch, the positions of a shard in another. */
function shardBatches(
  model: Model,
  depths: readonly number[],
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
        .shuffle(Array.from({ length: counts[shard]! }, (_, row) => row))
        .slice(index * rows, (index + 1) * rows);
      return batchOf(model, depths, loaded.states, chosen);
    },
  };
}

/** Some rows of recorded states, on the device. */
function batchOf(
  model: Model,
  depths: readonly number[],
  states: LoadedStates,
  chosen: readonly number[],
): Awaited<ReturnType<BatchSource["batch"]>> {
  const width = model.config.hiddenSize;
  const take = (values: Float32Array): Tensor => {
    const out = new Float32Array(chosen.length * width);
    chosen.forEach((row, i) => out.set(values.subarray(row * width, (row + 1) * width), i * width));
    return Tensor.from(model.device, out, [chosen.length, width]);
  };
  return {
    hidden: new Map(depths.map((depth) => [depth, take(states.hidden.get(depth)!)])),
    final: take(states.final),
    rows: chosen.length,
    positions: Int32Array.from(chosen, (row) => states.positions[row]!),
    outcome: {
      argmax: Int32Array.from(chosen, (row) => states.argmax[row]!),
      logSumExp: Float32Array.from(chosen, (row) => states.logSumExp[row]!),
    },
  };
}

async function recordShard(
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

/** The shard in the store, if it was recorded from the same model and windows, and at these depths. */
async function storedShard(
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

async function describe(
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

/** The description of a cache. Throws a HiddenCacheError if it is of another model or lacks a depth. */
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

/** Throws a HiddenCacheError if the store lacks the shard. */
async function requireShard(store: CacheStore, shard: number): Promise<void> {
  const has = store.has === undefined ? undefined : await store.has(shardName(shard));
  if (has !== true) await readShard(store, shard);
}

async function readDescription(store: CacheStore): Promise<CacheDescription | undefined> {
  const bytes = await store.read("cache.json");
  if (bytes === undefined) return undefined;
  let json: Partial<CacheDescription> | null;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes)) as Partial<CacheDescription> | null;
  } catch (error) {
    throw new HiddenCacheError(
      "cache-malformed",
      "hidden cache: cache.json is not valid JSON; delete the cache and record it again",
      {},
      { cause: error },
    );
  }
  if (json?.format !== "early-exits/hidden-cache" || json.version !== 2) {
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

async function hashOf(windows: readonly Window[]): Promise<string> {
  return sha256(encode(windows.map(({ ids, from }) => [from, ...ids])));
}
