/**
 * Batches for training: the states at the exits' depths and after the last block, at R positions. `onlineBatches` runs
 * the frozen model on text; `cachedBatches` (hidden-cache.ts) reads recorded states.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { rowOf } from "../../model/decode/final-logits.js";
import { allNames, requireKnown, requireList } from "../../known.js";
import { batchWindows, markedWindows, type Window } from "../../model/documents.js";
import { type Document, type Model, Sequence } from "../../model/index.js";
import { prefill } from "../../model/advance.js";
import { concatRows } from "../../tensor/ops/select.js";
import { scope, Tensor } from "../../tensor/index.js";
import { giveTurn } from "../../turns.js";
import { aheadInputs } from "../heads/ahead.js";
import { ascending } from "../heads/placement.js";
import type { ExitHead } from "../heads/exit-head.js";
import { type ExitHeads, requireHeads } from "../heads/exit-heads.js";

/** Positions of the attention sink. */
export const SINK_POSITIONS = 2;

export interface HiddenBatch {
  /** States [R, C] by depth. */
  readonly hidden: ReadonlyMap<number, Tensor>;
  /** States [R, C] after the last block. */
  readonly final: Tensor;
  readonly rows: number;
  /** Place in its window: the first ones are an attention sink, whose states are unlike all others. */
  readonly positions: Int32Array;
  /** Absent if still to be computed. */
  readonly outcome?: Outcome;
  /** The token after each row, whose own row comes next; -1 where a text ends. Absent if rows are in no order. */
  readonly next?: Int32Array;
  /** Input of a look-ahead head, in a batch made for it (`aheadBatch`): [R, (k + 1)·C]. */
  readonly inputs?: Tensor;
}

/** The full model's predictions at R positions. */
export interface Outcome {
  /** The lowest id on ties. */
  readonly argmax: Int32Array;
  /** Log-sum-exp of its logits over the whole vocabulary. */
  readonly logSumExp: Float32Array;
}

export interface BatchSource {
  /**
   * The batch is a function of the step alone; the caller disposes of its tensors. A source that takes long ends with
   * the signal's reason.
   */
  batch(step: number, signal?: CancelSignal): Promise<HiddenBatch>;
  /** Batches until every position has been seen; absent if the source does not count. */
  readonly batchesPerEpoch?: number;
  /** The documents behind it: heads that learn from it know then what taught them (`calibrate` leaves it out). */
  readonly text?: readonly Document[];
}

interface OnlineOptions {
  /** Windows per batch. @default 8 */
  readonly batchSize?: number;
  /** Tokens per window at most. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** Seeds the order of the windows. @default 0 */
  readonly seed?: number;
}

/** Options of every pass over data: the closed-form fits, and the measurement of drafts. */
export interface FitOptions extends OnlineOptions {
  /**
   * Most positions to read, to within a batch. @default 65,536; 32,768 for `fitProjections`, all for `measureDrafts`
   */
  readonly positions?: number;
  readonly signal?: CancelSignal;
  /** A promise is waited for. */
  readonly onBatch?: (event: { readonly batch: number; readonly batches: number }) => unknown;
}

const fitOptionNames = allNames<FitOptions>()("batchSize", "sequenceLength", "seed", "positions", "signal", "onBatch");

/** Throws an OptionError, in the caller's name, for what are no heads, and for options that it does not have. */
export function requireFit(caller: string, heads: ExitHeads, options: FitOptions, own: readonly string[] = []): void {
  requireHeads(caller, heads);
  requireKnown(caller, options, [...fitOptionNames, ...own]);
  requireInteger(`${caller}: positions`, options.positions ?? 1, 1);
}

/** Hands batches to `use`, and frees each, until they held so many positions or all. */
export async function forBatches(
  source: BatchSource,
  positions: number,
  { signal, onBatch }: FitOptions,
  use: (batch: HiddenBatch) => Promise<void>,
): Promise<void> {
  const perEpoch = source.batchesPerEpoch ?? Infinity;
  let seen = 0;
  for (let step = 0; step < perEpoch && seen < positions; step++) {
    await giveTurn(signal);
    const batch = await source.batch(step, signal);
    await use(batch).finally(() => {
      disposeBatch(batch);
    });
    seen += batch.rows;
    const left = Math.ceil((positions - seen) / batch.rows);
    await onBatch?.({ batch: step + 1, batches: Math.min(perEpoch, step + 1 + Math.max(0, left)) });
  }
}

export function batchSource(
  model: Model,
  data: readonly Document[] | BatchSource,
  depths: readonly number[],
  options: OnlineOptions,
): BatchSource {
  if (typeof data === "object" && "batch" in data) return data;
  requireList("training: documents", data);
  return onlineBatches(model, data, depths, options);
}

/** Positions of a block between two turns of the event loop: in small models a tenth faster than all at once. */
const SLICE = 256;

/**
 * Runs the model on windows. Shorter windows are padded at the end; padding, and positions before a document's `from`,
 * are dropped before any head reads them.
 */
export function onlineBatches(
  model: Model,
  documents: readonly Document[],
  depths: readonly number[],
  { batchSize = 8, sequenceLength, seed = 0 }: OnlineOptions,
): BatchSource {
  requireInteger("training: batchSize", batchSize, 1);
  const windows = markedWindows(model, documents, sequenceLength);
  return {
    batchesPerEpoch: Math.ceil(windows.length / batchSize),
    text: documents,
    batch(step, signal) {
      return hiddenBatch(model, batchWindows(windows, { batchSize, seed, step }), depths, signal);
    },
  };
}

/**
 * States of the positions that count, at the given depths and at full depth. They come from the KV cache, as in
 * decoding, and give the event loop its turns.
 */
export async function hiddenBatch(
  model: Model,
  windows: readonly Window[],
  depths: readonly number[],
  signal?: CancelSignal,
): Promise<HiddenBatch> {
  const last = model.config.numLayers;
  const states = new Map<number, Tensor>();
  const sequences: Sequence[] = [];
  try {
    for (const { ids } of windows) {
      const sequence = new Sequence(model, ids.length);
      sequences.push(sequence);
      sequence.append(...ids);
    }
    for (const depth of ascending([...depths, last])) {
      const work = sequences.map((sequence) => ({ sequence, positions: sequence.pending(depth) }));
      await prefill(model, work, depth, { signal, sliceRows: SLICE });
      states.set(depth, countedStates(sequences, windows));
    }
  } catch (error) {
    for (const state of states.values()) state.dispose();
    throw error;
  } finally {
    for (const sequence of sequences) sequence.dispose();
  }
  const atCounted = (valueOf: (ids: readonly number[], position: number) => number): Int32Array =>
    Int32Array.from(windows.flatMap(({ ids, from }) => ids.slice(from).map((_, i) => valueOf(ids, from + i))));
  const positions = atCounted((_, position) => position);
  return {
    hidden: new Map(depths.map((depth) => [depth, states.get(depth)!])),
    final: states.get(last)!,
    rows: positions.length,
    positions,
    next: atCounted((ids, position) => ids[position + 1] ?? -1),
  };
}

/**
 * A batch for a look-ahead head: its inputs at the rows that have a next one, and the final state there. Undefined if
 * there are none. Throws an OptionError if the batch does not say which token follows.
 */
export async function aheadBatch(batch: HiddenBatch, head: ExitHead): Promise<HiddenBatch | undefined> {
  const { next, final, positions, outcome } = batch;
  const { model } = head;
  if (next === undefined) {
    throw new OptionError(
      "batch-order",
      "look-ahead head: the recorded states do not say which token follows which; give it text",
    );
  }
  // The attention sink is unlike all else.
  const rows = Array.from(next.keys()).filter((r) => next[r]! >= 0 && positions[r]! >= SINK_POSITIONS);
  if (rows.length === 0) return undefined;
  const states: Float32Array[] = [];
  for (const depth of head.shape.inputs!) {
    const read = await statesAt(batch, { depth, model }, "look-ahead head").read();
    states.push(takeRows(model, read, rows));
  }
  const inputs = await aheadInputs(
    model,
    states,
    rows.map((r) => next[r]!),
  );
  const read = { hidden: new Map<number, Float32Array>(), final: await final.read(), positions, outcome };
  const following = rows.map((r) => r + 1);
  return {
    ...batchOf(model, read, following),
    inputs: Tensor.from(model.device, inputs, [rows.length, inputs.length / rows.length]),
  };
}

interface ReadStates {
  readonly hidden: ReadonlyMap<number, Float32Array>;
  readonly final: Float32Array;
  readonly positions: Int32Array;
  readonly outcome: Outcome | undefined;
}

/** The chosen rows, on the device. */
export function batchOf(
  model: Model,
  { hidden, final, positions, outcome }: ReadStates,
  chosen: readonly number[],
): HiddenBatch {
  const take = (values: Float32Array): Tensor =>
    Tensor.from(model.device, takeRows(model, values, chosen), [chosen.length, model.config.hiddenSize]);
  return {
    hidden: new Map(Array.from(hidden, ([depth, values]) => [depth, take(values)])),
    final: take(final),
    rows: chosen.length,
    positions: Int32Array.from(chosen, (row) => positions[row]!),
    ...(outcome && {
      outcome: {
        argmax: Int32Array.from(chosen, (row) => outcome.argmax[row]!),
        logSumExp: Float32Array.from(chosen, (row) => outcome.logSumExp[row]!),
      },
    }),
  };
}

/** The chosen rows of states [rows, C]. */
export function takeRows(model: Model, values: Float32Array, chosen: readonly number[]): Float32Array {
  const width = model.config.hiddenSize;
  const taken = new Float32Array(chosen.length * width);
  chosen.forEach((row, i) => taken.set(rowOf(values, row, width), i * width));
  return taken;
}

/** [R, C], of the positions that count. */
function countedStates(sequences: readonly Sequence[], windows: readonly Window[]): Tensor {
  return scope(() => {
    const parts = sequences.flatMap((sequence, i) =>
      windows[i]!.from < sequence.length ? [sequence.hidden(windows[i]!.from, sequence.length)] : [],
    );
    return concatRows(parts);
  });
}

/** Throws an OptionError, in the caller's name, if there are none. */
export function statesAt(
  batch: HiddenBatch,
  { depth, model, shape }: Pick<ExitHead, "depth" | "model"> & Partial<Pick<ExitHead, "shape">>,
  caller: string,
): Tensor {
  if (shape?.kind === "ahead" && batch.inputs !== undefined) return batch.inputs;
  const states = depth === model.config.numLayers ? batch.final : batch.hidden.get(depth);
  if (states !== undefined) return states;
  throw new OptionError(
    "batch-depth",
    `${caller}: the data holds no states at depth ${depth}; record them for these heads`,
    { depth },
  );
}

export function disposeBatch({ hidden, final, inputs }: HiddenBatch): void {
  for (const state of hidden.values()) state.dispose();
  inputs?.dispose();
  final.dispose();
}
