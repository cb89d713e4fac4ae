/**
 * Offline training: the states that heads read, and those after the last block, recorded once to a store (a folder,
 * usually) and read many times. The teacher's logits are recomputed from the last states by one product, which is
 * smaller to store than V logits and as exact. A cache carries hashes of the model and of the data and the exits it
 * serves: a stale one is refused, not silently used; an interrupted recording resumes at the first missing shard.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { HiddenCacheError, requireInteger } from "../../errors.js";
import { cutWindows, type Document, type Model, sha256 } from "../../model/index.js";
import { parseSafetensors, serializeSafetensors } from "../../tensor/formats/index.js";
import { createRng, Tensor } from "../../tensor/index.js";
import { type BatchSource, disposeBatch, hiddenBatch } from "./batches.js";

/** Where a cache is kept. `early-exits/node` has one over a folder. Writes are atomic: a file is complete or absent. */
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
 * Records the states of documents at the given depths. Shards already there from the same model, data and depths are
 * kept.
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
    signal?.throwIfAborted();
    const reused = (await store.read(shardName(shard))) !== undefined;
    if (!reused) {
      await store.write(
        shardName(shard),
        await recordShard(model, windows.slice(shard * windowsPerShard, (shard + 1) * windowsPerShard), depths),
      );
    }
    await onShard?.({ shard, shards, reused });
  }
}

/**
 * A source of training batches of `rows` positions from a recorded cache, shuffled by shard and within it, seeded.
 * Throws a HiddenCacheError where the cache is of another model, lacks a depth, or is incomplete.
 */
export async function cachedBatches(
  model: Model,
  depths: readonly number[],
  store: CacheStore,
  { rows = 512, seed = 0 } = {},
): Promise<BatchSource> {
  requireInteger("cachedBatches: rows", rows, 1);
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
        `is ${modelHash.slice(0, 12)}…; record it anew`,
      { expected: description.modelHash, found: modelHash },
    );
  }
  const missing = depths.find((depth) => !description.depths.includes(depth));
  if (missing !== undefined) {
    throw new HiddenCacheError(
      "cache-stale",
      `hidden cache: it holds depths ${description.depths.join(", ")}, not ${missing}; record it anew for these exits`,
      { depths: description.depths, missing },
    );
  }

  const shards = Math.ceil(description.windows / description.windowsPerShard);
  const counts: number[] = [];
  for (let shard = 0; shard < shards; shard++) counts.push(await countRows(store, shard));
  const perEpoch = counts.reduce((sum, count) => sum + Math.ceil(count / rows), 0);
  let loaded: { readonly shard: number; readonly file: ReturnType<typeof parseSafetensors> } | undefined;

  return {
    async batch(step) {
      const epoch = Math.floor(step / perEpoch);
      const rng = createRng(seed).fork(`epoch ${epoch}`);
      let index = step % perEpoch;
      const order = rng.shuffle(counts.map((_, shard) => shard));
      let shard = order[0]!;
      for (shard of order) {
        const batches = Math.ceil(counts[shard]! / rows);
        if (index < batches) break;
        index -= batches;
      }
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
      `hidden cache: ${shardName(shard)} is missing; run recordHidden again, it resumes there`,
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
      "hidden cache: cache.json is not valid JSON; delete the cache and record it anew",
      {},
      { cause: error },
    );
  }
  if (json?.format !== "early-exits/hidden-cache" || json.version !== 1) {
    throw new HiddenCacheError(
      "cache-malformed",
      "hidden cache: cache.json is of another format or version; delete the cache and record it anew",
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
        `hidden cache: it was recorded with another ${key} (${found}, now ${expected}); delete it, or use ` +
          "another store",
        { key },
      );
    }
  }
}

async function hashWindows(windows: readonly (readonly number[])[]): Promise<string> {
  return sha256(encode(windows));
}
