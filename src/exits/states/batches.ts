/**
 * Batches for training: the states at the exits' depths and after the last block, at R positions. There are two
 * sources: `onlineBatches` runs the frozen model on text, and `cachedBatches` (hidden-cache.ts) reads recorded states.
 */
import { OptionError } from "../../errors.js";
import { batchWindows, type Document, markedWindows, type Model, type Window } from "../../model/index.js";
import { embedding } from "../../tensor/ops/index.js";
import { scope, type Tensor } from "../../tensor/index.js";

export interface HiddenBatch {
  /** States [R, C] by depth. */
  readonly hidden: ReadonlyMap<number, Tensor>;
  /** States [R, C] after the last block. */
  readonly final: Tensor;
  readonly rows: number;
  /** Place of each position in its window: the first ones are an attention sink, whose states are unlike all others. */
  readonly positions: Int32Array;
  /** What the model made of the final states; absent if that is still to be computed. */
  readonly outcome?: Outcome;
}

/** The full model's predictions at R positions, as they were recorded with the states. */
export interface Outcome {
  /** The token that the full model emits; the lowest id on ties. */
  readonly argmax: Int32Array;
  /** Log-sum-exp of its logits over the whole vocabulary. */
  readonly logSumExp: Float32Array;
}

export interface BatchSource {
  /** The batch of a step; a function of the step alone. The caller disposes of its tensors. */
  batch(step: number): Promise<HiddenBatch>;
  /** Batches after which every position has been seen; absent if the source does not count. */
  readonly batchesPerEpoch?: number;
}

export interface OnlineOptions {
  /** Windows per batch. @default 8 */
  readonly batchSize?: number | undefined;
  /** Tokens per window at most. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number | undefined;
  /** Seeds the order of the windows. @default 0 */
  readonly seed?: number | undefined;
}

/** The source itself, or one that runs the model on documents. */
export function batchSource(
  model: Model,
  data: readonly Document[] | BatchSource,
  depths: readonly number[],
  options: OnlineOptions,
): BatchSource {
  return "batch" in data ? data : onlineBatches(model, data, depths, options);
}

/**
 * Runs the model on windows of the documents. Shorter windows are padded at the end; padded positions, and those before
 * a document's `from`, are dropped before any head reads them.
 */
export function onlineBatches(
  model: Model,
  documents: readonly Document[],
  depths: readonly number[],
  { batchSize = 8, sequenceLength = Math.min(128, model.config.maxPositionEmbeddings), seed = 0 }: OnlineOptions,
): BatchSource {
  const windows = markedWindows(model, documents, sequenceLength);
  return {
    batchesPerEpoch: Math.ceil(windows.length / batchSize),
    batch(step) {
      return Promise.resolve(hiddenBatch(model, batchWindows(windows, { batchSize, seed, step }), depths));
    },
  };
}

/** The states of the positions of some windows that count, at the given depths and at full depth. */
export function hiddenBatch(
  model: Model,
  given: readonly (readonly number[] | Window)[],
  depths: readonly number[],
): HiddenBatch {
  const windows = given.map((window) => ("ids" in window ? window : { ids: window, from: 0 }));
  const time = Math.max(...windows.map(({ ids }) => ids.length));
  const padded = windows.flatMap(({ ids }) => [...ids, ...new Array<number>(time - ids.length).fill(0)]);
  const rows = windows.flatMap(({ ids, from }, b) => ids.slice(from).map((_, i) => b * time + from + i));
  const last = model.config.numLayers;
  const tensors = scope(() => {
    const states = model.forward(padded, {
      batch: windows.length,
      wanted: (depth) => depth === last || depths.includes(depth),
    });
    const real = (state: Tensor): Tensor => (rows.length === padded.length ? state : embedding(state, rows));
    return { hidden: depths.map((depth) => real(states.get(depth)!)), final: real(states.get(last)!) };
  });
  return {
    hidden: new Map(depths.map((depth, i) => [depth, tensors.hidden[i]!])),
    final: tensors.final,
    rows: rows.length,
    positions: Int32Array.from(rows, (row) => row % time),
  };
}

/** The states of a batch at a depth. Throws an OptionError, in the name of the caller, if there are none. */
export function statesAt(batch: HiddenBatch, depth: number, caller: string): Tensor {
  const states = batch.hidden.get(depth);
  if (states !== undefined) return states;
  throw new OptionError(
    "batch-depth",
    `${caller}: the data holds no states at depth ${depth}; record them for these heads`,
    { depth },
  );
}

/** Frees a batch's tensors. */
export function disposeBatch({ hidden, final }: HiddenBatch): void {
  for (const state of hidden.values()) state.dispose();
  final.dispose();
}
