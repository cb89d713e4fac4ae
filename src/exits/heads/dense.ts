/**
 * The paper's head (arXiv 2407.21082): a norm and an unembedding of its own.
 *   logits = W n(x) + b        W [V, C] begins as the model's unembedding U; b only if U has a bias
 */
import type { Model } from "../../model/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { crossEntropy } from "../../tensor/ops/loss.js";
import { embedding } from "../../tensor/ops/embedding.js";
import { linear } from "../../tensor/ops/matmul.js";
import type { ExitHead } from "./exit-head.js";
import { headCost, type HeadShape } from "./head-shape.js";
import {
  HeadWeights,
  initialNorm,
  type Matrices,
  normed,
  packMatrices,
  type Tensors,
  trainableCopy,
} from "./head-weights.js";
import { readConfidences, readStats, scoreNames } from "./score.js";

/** A fresh head is the logit lens (nostalgebraist 2020): it reads a state as if it were the last one. */
export function denseHead(model: Model, depth: number, shape: HeadShape, tensors?: Tensors): ExitHead {
  const weights = new HeadWeights(tensors ?? lens(model), (trained) => packMatrices(model, trained, shape.dtype));
  const logitsBy = (x: Tensor, w: Matrices): Tensor =>
    linear(normed(x, w, model), w["weight"]!, { bias: w["bias"] as Tensor | undefined }); // [R, C] -> [R, V]
  return {
    model,
    depth,
    shape,
    weights,
    projection: undefined,
    scores: scoreNames,
    trainingLogits: (x) => logitsBy(x, weights.tensors),
    async logits(x) {
      const packed = await weights.packed();
      return scope(() => logitsBy(x, packed));
    },
    confidences: readConfidences,
    stats: readStats,
    allLogits: (logits) => logits.read(),
    losses: crossEntropy,
    get work() {
      return { multiplyAdds: headCost(model.config, shape), bytes: weights.bytes };
    },
    dispose() {
      weights.dispose();
    },
  };
}

function lens(model: Model): Tensors {
  const { weight, bias } = model.weights.unembedding;
  const ids = Array.from({ length: model.config.vocabSize }, (_, id) => id);
  return {
    ...initialNorm(model),
    weight: scope(() => trainableCopy(embedding(weight, ids))),
    ...(bias && { bias: trainableCopy(bias) }),
  };
}
