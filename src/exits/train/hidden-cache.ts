/**
 * Offline training: the states that heads read, and those after the last block, are recorded once to a store (usually a
 * folder) and read many times. One product recomputes the teacher's logits from the last states, which are smaller to
 * store than V logits and just as exact. A cache contains the hashes of its model and its data, and the depths of its
 * exits; a stale cache is refused. An interrupted recording resumes at the first missing shard.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { HiddenCacheError, requireInteger } from "../../errors.js";
import { cutWindows, type Document, type Model, sha256 } from "../../model/index.js";
import { parseSafetensors, serializeSafetensors } from "../../tensor/formats/index.js";
import { createRng, Tensor } from "../../tensor/index.js";
import { type BatchSource, disposeBatch, hiddenBatch } from "./batches.js";
import { giveTurn } from "../../turns.js";

/**
 * Where a cache is kept; `early-exits/node` has a store in a folder. Writes are atomic: a file is complete or absent.
 */
export interface CacheStore {
  read(name: string): Promise<Uint8Array | undefined>;
  write(name: string, bytes: Uint8Array): Promise<void>;
}

interface CacheDescription {
  readonly format: "early-exits/hidden-cache";
  readonly version: 1;
  readonly modelHash: string;
  readonly dataHash: string;
  readonly depths: readonly number[];
  readonly windows: number;
  readonly windowsPerShard: number;
}

export interface RecordOptions {
  /** Tokens per window at most. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** Windows per shard, run as one batch. @default 32 */
  readonly windowsPerShard?: number;
  readonly signal?: CancelSignal;
  /** Called after every shard; a promise is waited for. */
  readonly onShard?: (event: { readonly shard: number; readonly shards: number; readonly reused: boolean }) => unknown;
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
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
  const {
    sequenceLength = Math.min(128, model.config.maxPositionEmbeddings),
    windowsPerShard = 32,
    signal,
    onShard,
  } = options;
  requireInteger("recordHidden: windowsPerShard", windowsPerShard, 1);
  const windows = cutWindows(model, documents, sequenceLength);
  const description: CacheDescription = {
    format: "early-exits/hidden-cache",
    version: 1,
    modelHash: await model.hash(),
    dataHash: await hashWindows(windows),
    depths: [...depths],
    windows: windows.length,
    windowsPerShard,
  };
  const existing = await readDescription(store);
  if (existing !== undefined) requireSame(existing, description);
  else await store.write("cache.json", encode(description));

  const shards = Math.ceil(windows.length / windowsPerShard);
  for (let shard = 0; shard < shards; shard++) {
    await giveTurn(signal);
    const reused = (await store.read(shardName(shard))) !== undefined;
    if (!reused) {
      const chosen = windows.slice(shard * windowsPerShard, (shard + 1) * windowsPerShard);
      await store.write(shardName(shard), await recordShard(model, chosen, depths));
    }
    await onShard?.({ shard, shards, reused });
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
  { rows = 512, seed = 0 } = {},
): Promise<BatchSource> {
  requireInteger("cachedBatches: rows", rows, 1);
  const { windows, windowsPerShard } = await usableDescription(model, depths, store);
  const shards = Math.ceil(windows / windowsPerShard);
  const counts: number[] = [];
  for (let shard = 0; shard < shards; shard++) counts.push(await countRows(store, shard));
  const batchesOf = (count: number): number => Math.ceil(count / rows);
  const perEpoch = counts.reduce((sum, count) => sum + batchesOf(count), 0);
  let loaded: { readonly shard: number; readonly file: ReturnType<typeof parseSafetensors> } | undefined;

  return {
    async batch(step) {
      const epoch = Math.floor(step / perEpoch);
      const rng = createRng(seed).fork(`epoch ${epoch}`);
      const order = rng.shuffle(counts.map((_, shard) => shard));
      const batches = order.flatMap((shard) =>
        Array.from({ length: batchesOf(counts[shard]!) }, (_, index) => ({ shard, index })),
      );
      const { shard, index } = batches[step % perEpoch]!;
      if (loaded?.shard !== shard) loaded = { shard, file: parseSafetensors(await readShard(store, shard)) };
      const { file } = loaded;
      const chosen = rng
        .fork(`shard ${shard}`)
        .shuffle(Array.from({ length: counts[shard]! }, (_, row) => row))
        .slice(index * rows, (index + 1) * rows);
      const take = (name: string): Tensor => {
        const values = file.float32(name);
        const width = model.config.hiddenSize;
        const out = new Float32Array(chosen.length * width);
        chosen.forEach((row, i) => out.set(values.subarray(row * width, (row + 1) * width), i * width));
        return Tensor.from(model.device, out, [chosen.length, width]);
      };
      return {
        hidden: new Map(depths.map((depth) => [depth, take(`hidden.${depth}`)])),
        final: take("final"),
        rows: chosen.length,
      };
    },
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

async function recordShard(
  model: Model,
  windows: readonly (readonly number[])[],
  depths: readonly number[],
): Promise<Uint8Array> {
  const batch = hiddenBatch(model, windows, depths);
  const shape = [batch.rows, model.config.hiddenSize];
  const tensors: Record<string, { dtype: "F32"; shape: readonly number[]; data: Float32Array }> = {
    final: { dtype: "F32", shape, data: await batch.final.read() },
  };
  for (const [depth, state] of batch.hidden) {
    tensors[`hidden.${depth}`] = { dtype: "F32", shape, data: await state.read() };
  }
  disposeBatch(batch);
  return serializeSafetensors(tensors);
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

async function countRows(store: CacheStore, shard: number): Promise<number> {
  return parseSafetensors(await readShard(store, shard)).info("final").shape[0]!;
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
  if (json?.format !== "early-exits/hidden-cache" || json.version !== 1) {
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

async function hashWindows(windows: readonly (readonly number[])[]): Promise<string> {
  return sha256(encode(windows));
}
