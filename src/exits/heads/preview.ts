/**
 * A preview of the model's own unembedding, at depth L, behind the model's own norm (unembedding-preview.ts): where its
 * margin passes, the full product does not run. Nothing to train.
 *   h = n(x)
 */
import type { Model } from "../../model/index.js";
import { project } from "../../model/block.js";
import { scope, type Tensor } from "../../tensor/index.js";
import type { ExitHead } from "./exit-head.js";
import { headCost, type HeadShape } from "./head-shape.js";
import { HeadWeights, initialNorm, type Matrices, normed, packMatrices, type Tensors } from "./head-weights.js";
import { Preview, splitTensors } from "./unembedding-preview.js";

export function previewHead(model: Model, depth: number, shape: HeadShape, tensors: Tensors = {}): ExitHead {
  const given = splitTensors(tensors);
  const weights = new HeadWeights(given.trained ?? initialNorm(model), (norm) => packMatrices(model, norm));
  const preview = new Preview(model, shape.preview!, shape.dtype, given.preview);
  const vectorsBy = (x: Tensor, norm: Matrices): Tensor => normed(x, norm, model);
  return {
    model,
    depth,
    shape,
    weights,
    preview,
    projection: undefined,
    scores: preview.scores,
    vectors: (x) => vectorsBy(x, weights.tensors),
    trainingLogits: (x) => project(vectorsBy(x, weights.tensors), model.weights.unembedding),
    async logits(x) {
      const packed = await weights.packed();
      await preview.packed();
      return scope(() => vectorsBy(x, packed));
    },
    confidences: (h) => preview.confidences(h),
    stats: (h) => preview.stats(h),
    allLogits: (h) => preview.allLogits(h),
    losses: (h, ids) => preview.losses(h, ids),
    get work() {
      return { multiplyAdds: headCost(model.config, shape), bytes: weights.bytes + preview.bytes };
    },
    dispose() {
      weights.dispose();
      preview.dispose();
    },
  };
}
