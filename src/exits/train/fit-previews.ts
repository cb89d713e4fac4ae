/**
 * Fits the previews of heads that have one to the vectors that they see: the second moment M = E[h hᵀ] of every head's
 * vectors over text decides which directions of the unembedding the coarse logits keep (vocabularies/preview.ts). Fit
 * them when the maps are trained: the vectors are theirs.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { requireInteger } from "../../errors.js";
import { batchWindows, type Document, markedWindows } from "../../model/index.js";
import { scope } from "../../tensor/index.js";
import { matmul } from "../../tensor/ops/index.js";
import { giveTurn } from "../../turns.js";
import type { ExitHeads } from "../heads/index.js";
import { disposeBatch, hiddenBatch, statesAt } from "../states/index.js";

export interface FitPreviewsOptions {
  /** The largest number of positions to fit on. @default 16,384 */
  readonly positions?: number;
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

/** Fits and sets the previews of all heads that have one, on documents (strings or token ids). */
export async function fitPreviews(
  heads: ExitHeads,
  documents: readonly Document[],
  {
    positions = 16_384,
    sequenceLength = Math.min(128, heads.model.config.maxPositionEmbeddings),
    batchSize = 8,
    seed = 0,
    signal,
    onBatch,
  }: FitPreviewsOptions = {},
): Promise<void> {
  const { model } = heads;
  const { hiddenSize } = model.config;
  requireInteger("fitPreviews: positions", positions, 1);
  requireInteger("fitPreviews: batchSize", batchSize, 1);
  await heads.ready();
  const fits = heads.heads
    .filter((head) => head.hasPreview)
    .map((head) => ({ head, moment: new Float64Array(hiddenSize * hiddenSize) }));
  if (fits.length === 0) return;
  const depths = fits.map(({ head }) => head.depth);
  const windows = markedWindows(model, documents, sequenceLength);
  const batches = Math.ceil(Math.min(windows.length, positions / sequenceLength) / batchSize);
  for (let batch = 0; batch < batches; batch++) {
    await giveTurn(signal);
    const chosen = batchWindows(windows, { batchSize: Math.min(batchSize, windows.length), seed, step: batch });
    const states = await hiddenBatch(model, chosen, depths, signal);
    for (const { head, moment } of fits) {
      const product = scope(() => {
        const vectors = head.vectors(statesAt(states, head.depth, "fitPreviews")); // [R, C]
        return matmul(vectors, vectors, { transposeA: true });
      });
      (await product.read()).forEach((value, i) => (moment[i]! += value));
      product.dispose();
    }
    disposeBatch(states);
    await onBatch?.({ batch: batch + 1, batches });
  }
  heads.thaw(); // the weights change
  for (const { head, moment } of fits) await head.fitPreview(moment);
}
