/**
 * A preview of the model's own unembedding, at depth L, behind the model's own norm (unembedding-preview.ts): where its
 * margin passes, the full product does not run. Nothing to train.
 *   h = n(x)
 */
import type { Model } from "../../model/index.js";
import { type ExitHead, headOf } from "./exit-head.js";
import type { HeadShape } from "./head-shape.js";
import { HeadWeights, initialNorm, normed, packMatrices, type Tensors } from "./head-weights.js";
import { Preview, splitTensors } from "./unembedding-preview.js";

export function previewHead(model: Model, depth: number, shape: HeadShape, tensors: Tensors = {}): ExitHead {
  const given = splitTensors(tensors);
  const weights = new HeadWeights(given.trained ?? initialNorm(model), (norm) => packMatrices(model, norm));
  const preview = new Preview(model, shape.preview!, shape.dtype, given.preview);
  return headOf({
    model,
    depth,
    shape,
    weights,
    preview,
    maps: { vectors: (x, norm) => normed(x, norm, model) },
  });
}
