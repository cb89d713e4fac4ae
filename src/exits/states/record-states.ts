/**
 * States recorded for training: at the positions that count, the states that heads read, the state after the last
 * block, and the full model's token and log-sum-exp. A product with any rows of the unembedding then gives the
 * teacher's probabilities of those tokens; the rest is that of all others.
 *   at an exit        x / rms(x) as float16, and rms(x): heads norm their input first, and scaled like this no state
 *                     overflows
 *   last block        float32, because the teacher's probabilities must fit the recorded log-sum-exp
 * Windows run as a prefill, several together, block by block; a batch-independent device gives the same bits however
 * they are grouped, and while sampling (self-answers.ts).
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { HiddenCacheError, requireInteger } from "../../errors.js";
import { markedWindows, type Window } from "../../model/documents.js";
import { type Document, type MarkedDocument, type Model } from "../../model/index.js";
import { sha256 } from "../../model/sha256.js";
import { ascending } from "../heads/placement.js";
import { bytesOf, joined } from "../../tensor/formats/bytes.js";
import { float32ToF16 } from "../../tensor/formats/half-floats.js";
import { parseSafetensors, type Safetensors } from "../../tensor/formats/safetensors.js";
import { type SafetensorsInput, serializeSafetensors } from "../../tensor/formats/serialize-safetensors.js";
import type { Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { rowStats } from "../../tensor/ops/reduce.js";
import { formatShape, sameShape } from "../../tensor/shape.js";
import { disposeBatch, hiddenBatch, type Outcome } from "./batches.js";
import { confidencesIn } from "../heads/score.js";
import { byParts } from "./by-parts.js";
import { requireFiniteTeacher } from "./finite-teacher.js";

const TOGETHER = 2048;
/** Logits in memory together. */
const LOGITS = 2 ** 23;

/** [R, C] of one depth, divided by their root mean square. */
export interface NormedStates {
  /** Bit patterns of binary16, R·C. */
  readonly values: Uint16Array;
  /** Root mean squares [R]. */
  readonly rms: Float32Array;
}

export interface RecordedStates extends Outcome {
  readonly hidden: ReadonlyMap<number, NormedStates>;
  /** Place in its window. */
  readonly positions: Int32Array;
  /** After the last block, before the final norm: R·C values. */
  readonly final: Float32Array;
}

export function countPositions(windows: readonly Window[]): number {
  return windows.reduce((sum, { ids, from }) => sum + ids.length - from, 0);
}

/** Records the states of windows, in their order. */
export async function recordStates(
  model: Model,
  windows: readonly Window[],
  depths: readonly number[],
  { signal }: { readonly signal?: CancelSignal | undefined } = {},
): Promise<RecordedStates> {
  const parts: RecordedStates[] = [];
  for (let begin = 0; begin < windows.length;) {
    let end = begin;
    let tokens = 0;
    while (end < windows.length && (end === begin || tokens + windows[end]!.ids.length <= TOGETHER)) {
      tokens += windows[end++]!.ids.length;
    }
    parts.push(await recordTogether(model, windows.slice(begin, end), depths, signal));
    begin = end;
  }
  return joinStates(parts);
}

async function recordTogether(
  model: Model,
  windows: readonly Window[],
  depths: readonly number[],
  signal: CancelSignal | undefined,
): Promise<RecordedStates> {
  const batch = await hiddenBatch(model, windows, depths, signal);
  try {
    const { final, positions } = batch;
    const hidden = new Map<number, NormedStates>();
    for (const depth of ascending(depths)) {
      hidden.set(depth, normStates(await batch.hidden.get(depth)!.read(), model.config.hiddenSize));
    }
    return { hidden, final: await final.read(), positions, ...(await outcomeOf(model, final, { signal })) };
  } finally {
    disposeBatch(batch);
  }
}

/** Throws a NumericsError if logits at final states [R, C] hold NaN or infinity. */
export async function outcomeOf(
  model: Model,
  final: Tensor,
  { signal }: { readonly signal?: CancelSignal | undefined } = {},
): Promise<Outcome> {
  const { vocabSize, hiddenSize } = model.config;
  const rows = final.shape[0]!;
  const argmax = new Int32Array(rows);
  const logSumExp = new Float32Array(rows);
  const parts = { multiplyAdds: vocabSize * hiddenSize, most: Math.floor(LOGITS / vocabSize), signal };
  await byParts(final, parts, async (part, begin) => {
    const values = await valuesOf(() => rowStats(model.unembed(part)));
    requireFiniteTeacher(values, begin);
    for (const [r, confidence] of confidencesIn(values).entries()) {
      argmax[begin + r] = confidence.argmax;
      logSumExp[begin + r] = confidence.logSumExp;
    }
  });
  return { argmax, logSumExp };
}

export function normStates(states: Float32Array, width: number): NormedStates {
  const rows = states.length / width;
  const rms = new Float32Array(rows);
  const normed = new Float32Array(states.length);
  for (let r = 0; r < rows; r++) {
    let squares = 0;
    for (let i = r * width; i < (r + 1) * width; i++) squares += states[i]! * states[i]!;
    rms[r] = Math.sqrt(squares / width);
    const factor = squares === 0 ? 0 : 1 / rms[r]!;
    for (let i = r * width; i < (r + 1) * width; i++) normed[i] = states[i]! * factor;
  }
  return { values: float32ToF16(normed), rms };
}

/** Of the same depths. */
function joinStates(parts: readonly RecordedStates[]): RecordedStates {
  if (parts.length === 1) return parts[0]!;
  const depths = [...parts[0]!.hidden.keys()];
  const all = <K extends "final" | "positions" | "argmax" | "logSumExp">(key: K): RecordedStates[K][] =>
    parts.map((part) => part[key]);
  const hidden = depths.map((depth): [number, NormedStates] => {
    const states = parts.map((part) => part.hidden.get(depth)!);
    const values = states.map((state) => state.values);
    const rms = states.map((state) => state.rms);
    return [depth, { values: joined(Uint16Array, values), rms: joined(Float32Array, rms) }];
  });
  return {
    hidden: new Map(hidden),
    final: joined(Float32Array, all("final")),
    positions: joined(Int32Array, all("positions")),
    argmax: joined(Int32Array, all("argmax")),
    logSumExp: joined(Float32Array, all("logSumExp")),
  };
}

function serializeStates(
  { hidden, final, positions, argmax, logSumExp }: RecordedStates,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const rows = positions.length;
  const width = final.length / rows;
  const tensors: Record<string, SafetensorsInput> = {
    final: { dtype: "F32", shape: [rows, width], data: final },
    positions: { dtype: "I32", shape: [rows], data: positions },
    argmax: { dtype: "I32", shape: [rows], data: argmax },
    logSumExp: { dtype: "F32", shape: [rows], data: logSumExp },
  };
  for (const [depth, { values, rms }] of hidden) {
    tensors[`hidden.${depth}`] = { dtype: "F16", shape: [rows, width], data: bytesOf(values) };
    tensors[`hidden.${depth}.rms`] = { dtype: "F32", shape: [rows], data: rms };
  }
  return serializeSafetensors(tensors, metadata);
}

/** float32. */
export interface LoadedStates extends Outcome {
  readonly rows: number;
  /** R·C values by depth. */
  readonly hidden: ReadonlyMap<number, Float32Array>;
  readonly positions: Int32Array;
  readonly final: Float32Array;
}

export interface ExpectedStates {
  /** For messages. */
  readonly name: string;
  readonly rows: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
}

/**
 * Reads a recording at some of its depths. Throws a HiddenCacheError ("cache-damaged") for other sizes than expected,
 * tokens that do not exist, NaN or infinity: heads would be trained on them in silence.
 */
export function parseStates(bytes: Uint8Array, depths: readonly number[], expected: ExpectedStates): LoadedStates {
  const file = parseSafetensors(bytes);
  requireStates(file, depths, expected);
  const positions = file.array("positions") as Int32Array;
  const hidden = new Map(
    depths.map((depth) => {
      const values = file.float32(`hidden.${depth}`);
      const rms = file.float32(`hidden.${depth}.rms`);
      const width = values.length / rms.length;
      rms.forEach((scale, r) => {
        for (let i = r * width; i < (r + 1) * width; i++) values[i]! *= scale;
      });
      return [depth, values];
    }),
  );
  return {
    rows: positions.length,
    hidden,
    final: file.float32("final"),
    positions,
    argmax: file.array("argmax") as Int32Array,
    logSumExp: file.float32("logSumExp"),
  };
}

function requireStates(file: Safetensors, depths: readonly number[], expected: ExpectedStates): void {
  const { rows, hiddenSize, vocabSize } = expected;
  const vectors = ["logSumExp", ...depths.map((depth) => `hidden.${depth}.rms`)];
  const matrices = ["final", ...depths.map((depth) => `hidden.${depth}`)];
  const requireShape = (name: string, dtypes: readonly string[], shape: readonly number[]): void => {
    const info = file.info(name);
    if (sameShape(info.shape, shape) && dtypes.includes(info.dtype)) return;
    const found = `${info.dtype} ${formatShape(info.shape)}`;
    throw damaged(expected, `"${name}" is ${found}, expected ${dtypes.join(" or ")} ${formatShape(shape)}`);
  };
  for (const name of ["positions", "argmax"]) requireShape(name, ["I32"], [rows]);
  for (const name of vectors) requireShape(name, ["F32"], [rows]);
  for (const name of matrices) requireShape(name, name === "final" ? ["F32"] : ["F16"], [rows, hiddenSize]);
  for (const name of [...vectors, ...matrices]) {
    if (!file.float32(name).every(Number.isFinite)) throw damaged(expected, `"${name}" holds NaN or infinity`);
  }
  const isToken = (id: number): boolean => id >= 0 && id < vocabSize;
  if (!(file.array("argmax") as Int32Array).every(isToken)) throw damaged(expected, '"argmax" names no tokens');
}

function damaged({ name }: ExpectedStates, found: string): HiddenCacheError {
  return new HiddenCacheError(
    "cache-damaged",
    `hidden cache: ${name} is damaged (${found}); delete it and record it again`,
    { shard: name },
  );
}

// Shards: one file of a store per some windows' recorded states. A shard names its origin (model, dtype, depths,
// windows), and is used again for that alone.

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
interface ShardWriter {
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
  const { sequenceLength, windowsPerShard = windowsPerShardDefault } = options;
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
  return sha256(JSON.stringify(windows.map(({ ids, from }) => [from, ...ids])));
}
