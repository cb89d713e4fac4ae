/**
 * Fits the maps of heads that have a closed form (`ExitHead.fits`): ridge regression of the normalised final state on
 * the normalised state at the head's depth, both without the norm's gain, over streamed text. On a pretrained model
 * that nobody trained for exits, training finds no good head without this start.
 *
 * Left out are the first positions of every text: models keep an attention sink there, states of enormous norm in few
 * dimensions, which no map of the others' should fit.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { requireInteger } from "../../errors.js";
import { batchWindows, cutWindows, type Document, type Model, normalize } from "../../model/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { type ExitHeads, unitGain } from "../heads/index.js";
import { disposeBatch, hiddenBatch, statesAt } from "./batches.js";
import { RidgeFit } from "./ridge-fit.js";

/** Positions at the start of a text whose states are an attention sink. */
export const SINK_POSITIONS = 2;

export interface FitMapsOptions {
  /** The largest number of positions to fit on. @default 65,536 */
  readonly positions?: number;
  /** λ, relative to the mean square of the inputs. @default 1e-3 */
  readonly ridge?: number;
  /** Tokens per window at most. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** Windows per batch. @default 8 */
  readonly batchSize?: number;
  /** Seeds the choice of windows. @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
  /** Called after every batch; a promise is waited for. */
  readonly onBatch?: (event: { readonly batch: number; readonly batches: number }) => unknown;
}

/**
 * Fits and sets the maps of all heads that have a closed form, on documents (strings or token ids). The backbone and
 * the heads' other weights do not change.
 */
export async function fitMaps(
  heads: ExitHeads,
  documents: readonly Document[],
  {
    positions = 65_536,
    ridge = 1e-3,
    sequenceLength = Math.min(128, heads.model.config.maxPositionEmbeddings),
    batchSize = 8,
    seed = 0,
    signal,
    onBatch,
  }: FitMapsOptions = {},
): Promise<void> {
  const { model } = heads;
  const { hiddenSize } = model.config;
  requireInteger("fitMaps: positions", positions, 1);
  requireInteger("fitMaps: batchSize", batchSize, 1);
  await heads.ready();
  const fits = heads.heads
    .filter((head) => head.fits)
    .map((head) => ({ head, sums: new RidgeFit(hiddenSize, hiddenSize) }));
  if (fits.length === 0) return;
  const depths = fits.map(({ head }) => head.depth);
  const windows = cutWindows(model, documents, sequenceLength);
  const batches = Math.ceil(Math.min(windows.length, positions / sequenceLength) / batchSize);
  const unit = unitGain(model);
  for (let batch = 0; batch < batches; batch++) {
    signal?.throwIfAborted();
    const chosen = batchWindows(windows, { batchSize: Math.min(batchSize, windows.length), seed, step: batch });
    const states = hiddenBatch(model, chosen, depths);
    const kept = chosen.flatMap((window) => window.map((_, position) => position >= SINK_POSITIONS));
    const target = await readNormed(model, states.final, unit, kept);
    for (const { head, sums } of fits) {
      sums.add(await readNormed(model, statesAt(states, head.depth, "fitMaps"), unit, kept), target);
    }
    disposeBatch(states);
    await onBatch?.({ batch: batch + 1, batches });
  }
  unit.dispose();
  heads.thaw(); // the weights change
  for (const { head, sums } of fits) head.fit(sums.solve({ ridge }));
}

/** The rows of u(x) that are kept, x [R, C]. */
async function readNormed(model: Model, x: Tensor, unit: Tensor, kept: readonly boolean[]): Promise<Float32Array> {
  const normed = scope(() => normalize(x, { gain: unit }, model.config));
  const values = await normed.read();
  normed.dispose();
  const { hiddenSize } = model.config;
  const rows = new Float32Array(kept.filter(Boolean).length * hiddenSize);
  let row = 0;
  for (const [r, keep] of kept.entries()) {
    if (keep) rows.set(values.subarray(r * hiddenSize, (r + 1) * hiddenSize), hiddenSize * row++);
  }
  return rows;
}
