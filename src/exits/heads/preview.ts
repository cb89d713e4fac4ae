/**
 * A preview of the model's own unembedding, at depth L, behind the model's own norm (unembedding-preview.ts): where its
 * margin passes, the full product does not run. Nothing to train.
 *   h = n(x)
 */
import type { Model } from "../../model/index.js";
import type { HeadParts } from "./exit-head.js";
import { initialNorm, normed } from "./head-weights.js";

export function previewHead(model: Model): HeadParts {
  return {
    fresh: () => initialNorm(model),
    maps: { vectors: (x, norm) => normed(x, norm, model) },
  };
}
