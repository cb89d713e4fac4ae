/**
 * The primitive everything stands on. `advance` runs positions of one or several sequences through the blocks up to a
 * depth, batched, block by block, writing keys and values as it goes. Prefill, plain decoding, lazy filling, early
 * exits, drafting and verification are all calls of it. Kernels add in an order that does not depend on the batch, so
 * batching never changes a bit, and neither does slicing: `prefill` is the same for many positions, with turns of the
 * event loop in between.
 */
import type { CancelSignal } from "../cancel-signal.js";
import { ModelError } from "../errors.js";
import { scope, type Tensor } from "../tensor/index.js";
import { concatRows, reshape, sliceRows } from "../tensor/ops/index.js";
import { giveTurn } from "../turns.js";
import { attentionOf } from "./config.js";
import { attendCached, runBlock, writeKeys } from "./block.js";
import { countAttended, type WorkMeter } from "./meter.js";
import type { Model } from "./model.js";
import { keptBatch, type Sequence } from "./sequence.js";
import { multiplyAddsOf } from "./weights.js";

/** Multiply-adds of a slice of `prefill` in one block: 5 to 20 ms on one thread. */
const SLICE_WORK = 4e8;
/** Multiply-adds of a product that take as long as one of attention. */
const ATTENTION_WORK = 3;
/** Rows of a slice, at least: with fewer, reading the weights takes longer than multiplying by them. */
const SLICE_ROWS = 32;

/** Consecutive positions of one sequence, in increasing order. */
export interface Work {
  readonly sequence: Sequence;
  readonly positions: readonly number[];
}

/**
 * Brings every position to at least `toDepth` blocks and keeps the state it stops at (`sequence.hidden`). Positions
 * that are deeper already are left alone. Every earlier position of the sequence must be as deep, or be among the
 * positions, because its keys are needed; with gaps in between, a sequence may occur several times, in order. The meter
 * hears of every block that ran.
 */
export function advance(model: Model, work: readonly Work[], toDepth: number, meter?: WorkMeter): void {
  // The loops of `advanceInSteps` without steps: for every token of decoding, each step would cost as much as a norm.
  requirePrefix(work, toDepth);
  let depth = nextDepth(work, -1, toDepth);
  while (depth < toDepth) {
    const end = nextDepth(work, depth, toDepth);
    const waiting = waitingAt(work, depth);
    let x = gatherStates(model, waiting, depth);
    for (; depth < end; depth++) {
      x = runLayer(model, waiting, depth, x);
      meter?.block(depth, x.shape[0]!, countAttended(waiting, attentionOf(model.config, depth)));
    }
    settleSlice(waiting, end, x);
  }
}

export interface PrefillOptions {
  readonly meter?: WorkMeter | undefined;
  /** Ends it between two blocks; positions that have not reached the depth then stay where they were. */
  readonly signal?: CancelSignal | undefined;
  /** Positions that run through a block between two turns. @default what takes some milliseconds */
  readonly sliceRows?: number | undefined;
}

/** As `advance`, but asynchronous: it gives the event loop turns, also within the blocks of a long prompt. */
export async function prefill(
  model: Model,
  work: readonly Work[],
  toDepth: number,
  { meter, signal, sliceRows = defaultSlice(model, longestOf(work)) }: PrefillOptions = {},
): Promise<void> {
  const steps = advanceInSteps(model, work, { toDepth, meter, sliceRows });
  try {
    while (steps.next().done !== true) {
      const turn = giveTurn(signal);
      if (turn !== undefined) await turn;
    }
  } finally {
    steps.return();
  }
}

/** Attention reads the whole text for every row, and its multiply-adds are slower than those of a product. */
function defaultSlice({ weights, config }: Model, length: number): number {
  const attention = 2 * ATTENTION_WORK * config.numHeads * config.headDim * length;
  return Math.max(SLICE_ROWS, Math.floor(SLICE_WORK / (multiplyAddsOf(weights.blocks[0]!) + attention)));
}

interface Advance {
  readonly toDepth: number;
  readonly meter: WorkMeter | undefined;
  /** Positions that run through a block together, at most. */
  readonly sliceRows: number;
}

/** Runs the blocks, and yields after each slice of each. */
function* advanceInSteps(model: Model, work: readonly Work[], options: Advance): Generator<void, void, void> {
  const { toDepth } = options;
  requirePrefix(work, toDepth);
  let depth = nextDepth(work, -1, toDepth);
  while (depth < toDepth) {
    // Positions at this depth stay in one tensor from block to block, until they reach positions that wait deeper.
    const end = nextDepth(work, depth, toDepth);
    yield* runBlocks(model, waitingAt(work, depth), { begin: depth, end, ...options });
    depth = end;
  }
}

/**
 * Writes keys and values of one position that were computed without running the blocks: `keyValues` is [1, 2·G·D],
 * before the key norm and rotation, for each of the layers, one after another.
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

/**
 * Runs blocks `begin` (0-based) up to but not including `end` on positions that have run `begin` blocks. All slices
 * pass a block before the next block begins, so that its weights stay in the processor's cache.
 */
function* runBlocks(
  model: Model,
  work: readonly Work[],
  { begin, end, meter, sliceRows }: Advance & { readonly begin: number; readonly end: number },
): Generator<void, void, void> {
  const slices = sliceWork(work, sliceRows);
  const states: Tensor[] = [];
  let settled = false;
  try {
    for (const slice of slices) states.push(gatherStates(model, slice, begin));
    const rows = states.reduce((sum, { shape }) => sum + shape[0]!, 0);
    for (let layer = begin; layer < end; layer++) {
      for (const [i, slice] of slices.entries()) {
        states[i] = runLayer(model, slice, layer, states[i]!);
        yield;
      }
      meter?.block(layer, rows, countAttended(work, attentionOf(model.config, layer)));
    }
    for (const [i, slice] of slices.entries()) settleSlice(slice, end, states[i]!);
    settled = true;
  } finally {
    // The caller gave up, or a block failed: what its slices had written counts for nothing.
    if (!settled) states.forEach((x) => x.dispose());
  }
}

/** Runs one block on the states that enter it, [R, C], which are freed in any case. Returns those that leave it. */
function runLayer(model: Model, work: readonly Work[], layer: number, entering: Tensor): Tensor {
  const segments = work.map(({ sequence, positions }) => ({ cache: sequence.cache(layer), positions }));
  const rows = model.cachedRows(layer, segments, longestOf(work));
  const block = model.weights.blocks[layer]!;
  try {
    return scope(() =>
      runBlock(entering, block, model.config, (query, keyValue) => {
        if (keyValue !== undefined) writeKeys(keyValue, block, rows);
        return attendCached(query, rows);
      }),
    );
  } finally {
    entering.dispose();
  }
}

/** Records that the rows of `x` [R, C] are the states of the slice's positions after `depth` blocks. */
function settleSlice(slice: readonly Work[], depth: number, x: Tensor): void {
  const batch = keptBatch(x);
  let row = 0;
  for (const { sequence, positions } of slice) {
    sequence.settle(positions, depth, batch, row);
    row += positions.length;
  }
}

/** Splits the work into parts of at most `rows` positions; those of a sequence stay in order. */
function sliceWork(work: readonly Work[], rows: number): readonly (readonly Work[])[] {
  if (rows === Infinity) return [work];
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

/** The positions that have run at most `depth` blocks. */
function waitingAt(work: readonly Work[], depth: number): Work[] {
  return work
    .map(({ sequence, positions }) => ({
      sequence,
      positions: positions.filter((s) => sequence.depthOf(s) <= depth),
    }))
    .filter(({ positions }) => positions.length > 0);
}

/** The smallest depth of a position that is above `depth`, or `limit`. */
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

/** The states that enter block `layer`, one row for each position: [R, C]. */
function gatherStates(model: Model, work: readonly Work[], layer: number): Tensor {
  return work.length === 1
    ? enteringStates(model, work[0]!, layer)
    : scope(() => concatRows(work.map((each) => enteringStates(model, each, layer))));
}

function enteringStates(model: Model, { sequence, positions }: Work, layer: number): Tensor {
  if (layer > 0) return sequence.hidden(positions[0]!, positions.at(-1)! + 1);
  const ids = positions.map((s) => sequence.ids[s]!);
  return scope(() => model.embed(ids, positions));
}

/** The states [R, C] at which positions stand: adjacent ones of each sequence. */
export function statesOf(work: readonly Work[]): Tensor {
  const parts = work.map(({ sequence, positions }) => sequence.hidden(positions[0]!, positions.at(-1)! + 1));
  return parts.length === 1 ? parts[0]! : concatRows(parts);
}

/** Length of the longest sequence, up to the last position that runs. */
function longestOf(work: readonly Work[]): number {
  return work.reduce((length, { positions }) => Math.max(length, (positions.at(-1) ?? -1) + 1), 0);
}

function requirePrefix(work: readonly Work[], toDepth: number): void {
  for (const [i, { sequence, positions }] of work.entries()) {
    const first = positions[0];
    if (first === undefined) continue;
    const contiguous = positions.every((s, i) => s === first + i && s < sequence.length);
    // Between two runs of a sequence, every position counts; before its first one, depths never increase.
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
