/**
 * Fits previews to the vectors that they see: the second moment M = E[h hᵀ] of a head's vectors over text decides which
 * directions of the unembedding the coarse logits keep (heads/unembedding-preview.ts). Train the maps first: the
 * vectors are theirs.
 */
import { HeadsError, requireInteger } from "../../errors.js";
import type { Document } from "../../model/index.js";
import { Tensor, type WeightDtype } from "../../tensor/index.js";
import { matmul } from "../../tensor/ops/matmul.js";
import { scopeInParts } from "../../tensor/tensor.js";
import { attachHeads, type AttachOptions } from "../heads/attach-heads.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { learnFrom } from "../heads/taught.js";
import type { Tensors } from "../heads/head-weights.js";
import { Projection } from "../heads/projection.js";
import {
  aheadBatch,
  type BatchSource,
  batchSource,
  disposeBatch,
  type FitOptions,
  forBatches,
  statesAt,
} from "../states/batches.js";

interface FitPreviewsOptions extends FitOptions {
  /** Most positions to fit on. @default 65,536 */
  readonly positions?: number;
}

/**
 * Fits the previews of all heads that have one, on documents or recorded states. If aborted, rejects with the signal's
 * reason; the heads keep the previews that they had.
 */
export async function fitPreviews(
  heads: ExitHeads,
  data: readonly Document[] | BatchSource,
  options: FitPreviewsOptions = {},
): Promise<void> {
  const { model } = heads;
  const { hiddenSize } = model.config;
  const { positions = 65_536, signal } = options;
  requireInteger("fitPreviews: positions", positions, 1);
  const { ahead } = heads;
  const fits = (ahead === undefined ? heads.heads : [...heads.heads, ahead])
    .filter(({ preview }) => preview !== undefined)
    .map((head) => ({ head, moment: new Float64Array(hiddenSize * hiddenSize) }));
  if (fits.length === 0) return;
  const depths = fits.flatMap(({ head: { depth, shape } }) => shape.inputs ?? [depth]);
  const source = batchSource(model, data, depths, options);
  const taught = await learnFrom(heads, data, signal);
  await forBatches(source, positions, options, async (given) => {
    for (const { head, moment } of fits) {
      const batch = head === ahead ? await aheadBatch(given, head) : given;
      if (batch === undefined) continue;
      const product = await scopeInParts(function* () {
        const vectors = head.vectors!(statesAt(batch, head, "fitPreviews")); // [R, C]
        yield;
        return matmul(vectors, vectors, { transposeA: true });
      }, signal);
      (await product.read()).forEach((value, i) => (moment[i]! += value));
      product.dispose();
      if (batch !== given) disposeBatch(batch);
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

// The same heads with other previews: maps are trained on a list of tokens (`trainHeads`), where that is cheap, and
// used with a preview or the whole unembedding. Learned keys and values come along.

/** As in the old heads by default. */
interface ChangePreviewsOptions extends Pick<AttachOptions, "preview" | "unembeddingPreview"> {
  /** As for `attachHeads`; undefined, given as such, is the default there. */
  readonly dtype?: WeightDtype | undefined;
}

/**
 * Returns new heads at the same depths, with copies of the maps and unfitted previews; a preview of the model's
 * unembedding that is not asked for is copied as it is. The old heads stay. Throws a HeadsError if a head has no map.
 */
export async function changePreviews(heads: ExitHeads, options: ChangePreviewsOptions): Promise<ExitHeads> {
  const { model } = heads;
  const linear = heads.heads.filter(({ shape }) => shape.kind !== "preview");
  const own = heads.heads.find(({ shape }) => shape.kind === "preview");
  const dense = linear.find(({ shape }) => shape.kind === "dense");
  if (dense !== undefined) {
    throw new HeadsError(
      "heads-kind",
      `changePreviews: the head at depth ${dense.depth} is dense, with an unembedding of its own; previews are for ` +
        "linear heads",
      { depth: dense.depth },
    );
  }
  const { preview = false, dtype: before } = linear[0]?.shape ?? {};
  const { dtype, ...asked } = { dtype: before, ...options };
  const changed = attachHeads(model, {
    exits: linear.map(({ depth }) => depth),
    kind: "linear",
    preview,
    ...(dtype && { dtype }),
    ...(own && { unembeddingPreview: own.shape.preview! }),
    ...(heads.ahead && { ahead: heads.ahead.shape.preview! }),
    ...asked,
  });
  for (const [i, head] of changed.heads.entries()) {
    const { kind } = head.shape;
    const source = kind === "preview" ? own : linear[i];
    if (source === undefined) continue;
    head.weights.set(await copiesOf(source.weights.tensors));
    if (kind === "preview" && options.unembeddingPreview === undefined) {
      head.preview!.set(await copiesOf((await source.preview!.weights()).tensors));
    }
    const { projection } = source;
    if (projection !== undefined) head.projection = new Projection(model, head.depth, projection);
  }
  if (heads.ahead !== undefined) {
    changed.ahead!.weights.set(await copiesOf(heads.ahead.weights.tensors));
    changed.ahead!.preview!.set(await copiesOf((await heads.ahead.preview!.weights()).tensors));
    changed.ahead!.confidence = heads.ahead.confidence;
  }
  changed.taught = heads.taught;
  return changed;
}

async function copiesOf(tensors: Tensors): Promise<Tensors> {
  const copies: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const { device, shape, requiresGrad } = tensor;
    copies[name] = Tensor.from(device, await tensor.read(), shape, { requiresGrad });
  }
  return copies;
}
