/**
 * The primitive everything stands on: `advance` runs positions of sequences through the blocks up to a depth, batched,
 * block by block, writing keys and values. Prefill, plain decoding, lazy filling, early exits, drafting and
 * verification are calls of it. Kernels add in an order that does not depend on the batch, so neither batching nor
 * advancing in pieces (`prefill`) changes a bit.
 */
import type { CancelSignal } from "../cancel-signal.js";
import { ModelError } from "../errors.js";
import { scope, Tensor } from "../tensor/index.js";
import { concatRows, reshape, sliceRows } from "../tensor/ops/select.js";
import { giveTurn } from "../turns.js";
import { type AttentionConfig, attentionOf, keyValueLayers } from "./config.js";
import { attendCached, type CachedRows, keyValueOf, runBlock, writeKeys } from "./block.js";
import type { WorkMeter } from "./meter.js";
import type { Model } from "./model.js";
import { keptBatch, type Sequence } from "./sequence.js";
import { multiplyAddsOf } from "./weights.js";

/** Multiply-adds of a slice of `prefill` in one block: 5 to 20 ms on one thread. */
const SLICE_WORK = 4e8;
/** Multiply-adds of a product that take as long as one of attention. */
const ATTENTION_WORK = 3;
/** A slice has one or more blocks of rows, as products round them to integers: src/tensor/wasm/products.ts. */
const SLICE_ROWS = 64;

/** Consecutive positions of one sequence, in increasing order. */
export interface Work {
  readonly sequence: Sequence;
  readonly positions: readonly number[];
}

/** What every sequence lacks up to `depth`. */
export function pendingAt(texts: readonly Pick<Work, "sequence">[], depth: number): Work[] {
  return texts.map(({ sequence }) => ({ sequence, positions: sequence.pending(depth) }));
}

/** Each row attends to all positions up to its own, or to those in its window. */
function countAttended(
  work: readonly { readonly positions: readonly number[] }[],
  { window = Infinity }: AttentionConfig,
): number {
  let attended = 0;
  for (const { positions } of work) {
    for (const s of positions) attended += Math.min(window, s + 1);
  }
  return attended;
}

/** Brings all of one text to at least `depth` blocks. */
export function runTo(sequence: Sequence, depth: number): void {
  advance(sequence.model, [{ sequence, positions: sequence.pending(depth) }], depth);
}

/**
 * Brings every position to at least `toDepth` blocks and keeps the state it stops at (`sequence.hidden`); deeper ones
 * are left alone. Every earlier position of a sequence must be as deep or among the positions, because its keys are
 * needed; with gaps, a sequence may occur several times, in order. The meter hears of every block that ran.
 */
export function advance(model: Model, work: readonly Work[], toDepth: number, meter?: WorkMeter): void {
  requirePrefix(work, toDepth);
  let depth = nextDepth(work, -1, toDepth);
  while (depth < toDepth) {
    // Positions at this depth stay in one tensor until they reach positions that wait deeper.
    const end = nextDepth(work, depth, toDepth);
    const waiting = waitingAt(work, depth);
    const kept = wholeBatch(waiting);
    let x = kept ?? gatherStates(model, waiting, depth);
    try {
      for (; depth < end; depth++) {
        const leaving = runLayer(model, waiting, depth, x);
        if (x !== kept) x.dispose();
        x = leaving;
        meter?.block(depth, x.shape[0]!, countAttended(waiting, attentionOf(model.config, depth)));
      }
    } catch (error) {
      if (x !== kept) x.dispose();
      throw error;
    }
    settleWork(waiting, end, x);
  }
}

interface PrefillOptions {
  readonly meter?: WorkMeter | undefined;
  /** Ends it between two slices; every position then stands at the last block it passed. */
  readonly signal?: CancelSignal | undefined;
  /** Positions per turn and block. @default what takes some milliseconds */
  readonly sliceRows?: number | undefined;
}

/**
 * `advance` in pieces, between which the event loop gets turns: a slice of the positions, one block after another. All
 * slices pass a block before the next begins, so its weights stay in the processor's cache, and the meter hears of it
 * once. Decoding calls `advance`: pieces of it would cost as much as a norm.
 */
export async function prefill(
  model: Model,
  work: readonly Work[],
  toDepth: number,
  { meter, signal, sliceRows = defaultSlice(model, longestOf(work)) }: PrefillOptions = {},
): Promise<void> {
  requirePrefix(work, toDepth);
  let depth = nextDepth(work, -1, toDepth);
  while (depth < toDepth) {
    const waiting = waitingAt(work, depth);
    const rows = rowsOf(waiting);
    const blocks = Math.max(1, Math.floor(sliceRows / rows)); // a few rows pass several blocks in the same time
    const end = Math.min(depth + blocks, nextDepth(work, depth, toDepth));
    for (const slice of sliceWork(waiting, sliceRows)) {
      advance(model, slice, end);
      const turn = giveTurn(signal);
      if (turn !== undefined) await turn;
    }
    for (; depth < end; depth++) {
      meter?.block(depth, rows, countAttended(waiting, attentionOf(model.config, depth)));
    }
  }
}

/**
 * Fills the caches of positions whose states nobody asks for again, such as all of a prompt but the last, in pieces as
 * `prefill` does: of the last block that makes keys and values, nothing else is made, and no block above it runs.
 */
export async function fillCaches(model: Model, work: readonly Work[], options: PrefillOptions = {}): Promise<void> {
  const last = keyValueLayers(model.config) - 1;
  await prefill(model, work, last, options);
  const { meter, signal, sliceRows = defaultSlice(model, longestOf(work)) } = options;
  const waiting = waitingAt(work, last);
  for (const slice of sliceWork(waiting, sliceRows)) {
    fillFromStates(model, slice, last);
    const turn = giveTurn(signal);
    if (turn !== undefined) await turn;
  }
  for (const { sequence, positions } of work) {
    for (const s of positions) sequence.complete(s);
  }
  if (waiting.length > 0) meter?.keyValues(last, rowsOf(waiting));
}

/** Writes keys and values of block `layer`, made of the states that enter it. */
export function fillFromStates(model: Model, work: readonly Work[], layer: number): void {
  const block = model.weights.blocks[layer]!;
  scope(() => {
    const x = wholeBatch(work) ?? gatherStates(model, work, layer);
    writeKeys(keyValueOf(x, block, model.config), block, cachedRows(model, work, layer));
  });
}

/** Attention reads the whole text for every row, and its multiply-adds are slower than a product's. */
function defaultSlice({ weights, config }: Model, length: number): number {
  const attention = 2 * ATTENTION_WORK * config.numHeads * config.headDim * length;
  const work = SLICE_ROWS * (multiplyAddsOf(weights.blocks[0]!) + attention);
  return SLICE_ROWS * Math.max(1, Math.round(SLICE_WORK / work));
}

/**
 * Writes keys and values of one position without running the blocks: `keyValues` is [1, 2·G·D], before the key norm and
 * rotation, for each layer in turn.
 */
export function writeKeyValues(
  model: Model,
  sequence: Sequence,
  position: number,
  layers: readonly number[],
  keyValues: Tensor,
): void {
  const { config, device, weights } = model;
  const segments = layers.map((layer) => ({ cache: sequence.cache(layer), positions: [position] }));
  if (config.layers === undefined && weights.blocks[0]!.keyNorm === undefined) {
    device.kernels.cacheWrite(segments, keyValues.storage, model.rope(0, position + 1)); // all alike
    return;
  }
  scope(() => {
    const rows = reshape(keyValues, [layers.length, keyValues.size / layers.length]);
    for (const [row, layer] of layers.entries()) {
      const cached = model.cachedRows(layer, [segments[row]!], position + 1);
      writeKeys(sliceRows(rows, row, row + 1), weights.blocks[layer]!, cached);
    }
  });
}

/** x [R, C] -> [R, C]. */
function runLayer(model: Model, work: readonly Work[], layer: number, entering: Tensor): Tensor {
  const rows = cachedRows(model, work, layer);
  const packed = model.packedBlocks[layer];
  if (packed !== undefined) {
    return new Tensor(model.device, model.device.block!(entering.storage, packed, rows), entering.shape);
  }
  const block = model.weights.blocks[layer]!;
  return scope(() =>
    runBlock(entering, block, model.config, (query, keyValue) => {
      if (keyValue !== undefined) writeKeys(keyValue, block, rows);
      return attendCached(query, rows);
    }),
  );
}

function cachedRows(model: Model, work: readonly Work[], layer: number): CachedRows {
  const segments = work.map(({ sequence, positions }) => ({ cache: sequence.cache(layer), positions }));
  return model.cachedRows(layer, segments, longestOf(work));
}

function settleWork(work: readonly Work[], depth: number, x: Tensor): void {
  const batch = keptBatch(x);
  let row = 0;
  for (const { sequence, positions } of work) {
    sequence.settle(positions, depth, batch, row);
    row += positions.length;
  }
}

/** Parts of at most `rows` positions; those of a sequence stay in order. */
function sliceWork(work: readonly Work[], rows: number): readonly (readonly Work[])[] {
  const slices: Work[][] = [];
  let room = 0;
  for (const { sequence, positions } of work) {
    for (let start = 0; start < positions.length;) {
      if (room === 0) {
        slices.push([]);
        room = rows;
      }
      const part = positions.slice(start, start + Math.min(room, positions.length));
      slices.at(-1)!.push({ sequence, positions: part });
      start += part.length;
      room -= part.length;
    }
  }
  return slices;
}

function waitingAt(work: readonly Work[], depth: number): Work[] {
  return work
    .map(({ sequence, positions }) => ({
      sequence,
      positions: positions.filter((s) => sequence.depthOf(s) <= depth),
    }))
    .filter(({ positions }) => positions.length > 0);
}

/** Smallest depth of a position above `depth`, or `limit`. */
function nextDepth(work: readonly Work[], depth: number, limit: number): number {
  let next = limit;
  for (const { sequence, positions } of work) {
    for (const s of positions) {
      const at = sequence.depthOf(s);
      if (at > depth && at < next) next = at;
    }
  }
  return next;
}

/** The batch of which the states are all rows, in order: it is handed on as it is. */
function wholeBatch(work: readonly Work[]): Tensor | undefined {
  let batch: Tensor | undefined;
  let row = 0;
  for (const { sequence, positions } of work) {
    const own = sequence.batchOf(positions, row);
    if (own === undefined || (batch ??= own) !== own) return undefined;
    row += positions.length;
  }
  return row === batch?.shape[0] ? batch : undefined;
}

/** The states that enter block `layer`: [R, C]. */
function gatherStates(model: Model, work: readonly Work[], layer: number): Tensor {
  return work.length === 1
    ? enteringStates(model, work[0]!, layer)
    : scope(() => concatRows(work.map((each) => enteringStates(model, each, layer))));
}

function enteringStates(model: Model, { sequence, positions }: Work, layer: number): Tensor {
  if (layer > 0) return sequence.hidden(positions[0]!, positions.at(-1)! + 1);
  const ids = positions.map((s) => sequence.ids[s] ?? sequence.draft!);
  return scope(() => model.embed(ids, positions));
}

/** States [R, C] of positions, adjacent ones of each sequence. */
export function statesOf(work: readonly Work[]): Tensor {
  const parts = work.map(({ sequence, positions }) => sequence.hidden(positions[0]!, positions.at(-1)! + 1));
  return parts.length === 1 ? parts[0]! : concatRows(parts);
}

function rowsOf(work: readonly Work[]): number {
  return work.reduce((sum, { positions }) => sum + positions.length, 0);
}

/** Up to the last position that runs. */
function longestOf(work: readonly Work[]): number {
  return work.reduce((length, { positions }) => Math.max(length, (positions.at(-1) ?? -1) + 1), 0);
}

function requirePrefix(work: readonly Work[], toDepth: number): void {
  for (const [i, { sequence, positions }] of work.entries()) {
    const first = positions[0];
    if (first === undefined) continue;
    const contiguous = positions.every((s, i) => s === first + i && s < sequence.rows);
    // Between two runs of a sequence every position counts; before its first, depths never increase.
    const before = i > 0 && work[i - 1]!.sequence === sequence ? (work[i - 1]!.positions.at(-1) ?? -1) : first - 2;
    let s = before + 1;
    while (s < first && (s < 0 || sequence.depthOf(s) >= toDepth)) s++;
    if (!contiguous || s !== first) {
      throw new ModelError(
        "advance-prefix",
        `advance: positions ${positions.join(", ")} to depth ${toDepth} of a sequence of ${sequence.length}; ` +
          "expected a contiguous run whose earlier positions are all that deep (use sequence.pending(depth))",
        { positions, toDepth },
      );
    }
  }
}
