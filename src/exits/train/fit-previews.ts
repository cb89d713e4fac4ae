/**
 * Fits previews to the vectors that they see: the second moment M = E[h hᵀ] of a head's vectors over text decides which
 * directions of the unembedding the coarse logits keep (heads/unembedding-preview.ts). Train the maps first: the
 * vectors are theirs.
 */
import type { Document } from "../../model/index.js";
import { matmul } from "../../tensor/ops/matmul.js";
import { scopeInParts } from "../../tensor/tensor.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { taughtBy } from "../heads/taught.js";
import type { Tensors } from "../heads/head-weights.js";
import {
  aheadBatch,
  type BatchSource,
  batchSource,
  disposeBatch,
  type FitOptions,
  forBatches,
  requireFit,
  statesAt,
} from "../states/batches.js";

/**
 * Fits the previews of all heads that have one, on documents or recorded states. If aborted, rejects with the signal's
 * reason; the heads keep the previews that they had.
 */
export async function fitPreviews(
  heads: ExitHeads,
  data: readonly Document[] | BatchSource,
  options: FitOptions = {},
): Promise<void> {
  requireFit("fitPreviews", heads, options);
  const { model } = heads;
  const { hiddenSize } = model.config;
  const { positions = 65_536, signal } = options;
  const { ahead } = heads;
  const fits = (ahead === undefined ? heads.heads : [...heads.heads, ahead])
    .filter(({ preview }) => preview !== undefined)
    .map((head) => ({ head, moment: new Float64Array(hiddenSize * hiddenSize) }));
  if (fits.length === 0) return;
  const depths = fits.flatMap(({ head: { depth, shape } }) => shape.inputs ?? [depth]);
  const source = batchSource(model, data, depths, options);
  const taught = await taughtBy(heads, data, signal);
  await forBatches(source, positions, options, async (given) => {
    for (const { head, moment } of fits) {
      const batch = head === ahead ? await aheadBatch(given, head) : given;
      if (batch === undefined) continue;
      const product = await scopeInParts(function* () {
        const vectors = head.vectors!(statesAt(batch, head, "fitPreviews")); // [R, C]
        yield;
        return matmul(vectors, vectors, { transposeA: true });
      }, signal).finally(() => {
        if (batch !== given) disposeBatch(batch);
      });
      (await product.read()).forEach((value, i) => (moment[i]! += value));
      product.dispose();
    }
  });
  const fitted: Tensors[] = [];
  try {
    for (const { head, moment } of fits) fitted.push(await head.preview!.fitted(moment, signal));
  } catch (error) {
    for (const tensor of fitted.flatMap((weights) => Object.values(weights))) tensor.dispose();
    throw error;
  }
  for (const [i, { head }] of fits.entries()) head.preview!.set(fitted[i]!);
  heads.taught = taught;
}
