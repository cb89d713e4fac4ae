/** A head at one depth: fresh, or with the weights of a file. */
import { HeadsError } from "../../errors.js";
import type { Model } from "../../model/index.js";
import { aheadHead } from "./ahead.js";
import { denseHead } from "./dense.js";
import type { ExitHead } from "./exit-head.js";
import { checkShape, type HeadShape } from "./head-shape.js";
import type { Tensors } from "./head-weights.js";
import { linearHead } from "./linear.js";
import { previewHead } from "./preview.js";

/** Takes ownership of the tensors. Throws a HeadsError or an OptionError if the shape does not fit the model. */
export function createHead(model: Model, depth: number, asked: HeadShape, tensors?: Tensors): ExitHead {
  const shape = checkShape(model.config, asked);
  switch (shape.kind) {
    case "dense":
      return denseHead(model, depth, shape, tensors);
    case "linear":
      return linearHead(model, depth, shape, tensors);
    case "ahead":
      return aheadHead(model, depth, shape, tensors);
    case "preview":
      if (depth === model.config.numLayers) return previewHead(model, depth, shape, tensors);
      throw new HeadsError(
        "heads-kind",
        `exit heads: a head of kind preview belongs after the last block, ${model.config.numLayers}, not at depth ` +
          `${depth}; attach a linear head with a preview there`,
        { depth },
      );
  }
}
