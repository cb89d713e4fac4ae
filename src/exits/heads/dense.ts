/**
 * The paper's head (arXiv 2407.21082): a norm and an unembedding of its own.
 *   logits = W n(x) + b        W [V, C] begins as the model's unembedding U; b only if U has a bias
 */
import type { Model } from "../../model/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { embedding } from "../../tensor/ops/embedding.js";
import { linear } from "../../tensor/ops/matmul.js";
import type { HeadParts } from "./exit-head.js";
import { initialNorm, normed, type Tensors, trainableCopy } from "./head-weights.js";

/** A fresh head is the logit lens (nostalgebraist 2020): it reads a state as if it were the last one. */
export function denseHead(model: Model): HeadParts {
  return {
    fresh: () => lens(model),
    maps: {
      // [R, C] -> [R, V]
      logits: (x, w) => linear(normed(x, w, model), w["weight"]!, { bias: w["bias"] as Tensor | undefined }),
    },
  };
}

function lens(model: Model): Tensors {
  const { weight, bias } = model.weights.unembedding;
  const ids = [...Array(model.config.vocabSize).keys()];
  return {
    ...initialNorm(model),
    weight: scope(() => trainableCopy(embedding(weight, ids))),
    ...(bias && { bias: trainableCopy(bias) }),
  };
}
