/** A head at one depth: fresh, or with the weights of a file. */
import type { Model } from "../../model/index.js";
import { scope } from "../../tensor/index.js";
import { aheadHead } from "./ahead.js";
import { denseHead } from "./dense.js";
import { type ExitHead, headOf } from "./exit-head.js";
import { checkShape, type HeadShape } from "./head-shape.js";
import type { Tensors } from "./head-weights.js";
import { linearHead } from "./linear.js";
import { previewHead } from "./preview.js";

const kinds = { dense: denseHead, linear: linearHead, preview: previewHead, ahead: aheadHead } as const;

/** Takes ownership of the tensors. Throws a HeadsError or an OptionError if the shape does not fit the model. */
export function createHead(model: Model, depth: number, asked: HeadShape, tensors?: Tensors): ExitHead {
  const shape = checkShape(model.config, depth, asked);
  return headOf({ model, depth, shape }, kinds[shape.kind](model, shape), tensors);
}

/** Makes one head after another; if that fails, frees what was made. */
export function allOrNone(makers: readonly (() => ExitHead)[]): ExitHead[] {
  const heads: ExitHead[] = [];
  try {
    for (const make of makers) heads.push(scope(make));
    return heads;
  } catch (error) {
    for (const head of heads) head.dispose();
    throw error;
  }
}
