/**
 * softmax and logSoftmax over the last axis, in log-sum-exp form: no overflow at ±1000.
 * Gradients from the outputs: softmax y·(dy - Σ dy·y); logSoftmax dy - eʸ·Σ dy.
 */
import { record } from "../autograd.js";
import { rowsOf } from "../shape.js";
import type { Tensor } from "../tensor.js";

function ofRows(op: "softmax" | "logSoftmax"): (x: Tensor) => Tensor {
  return (x) => {
    const { rows, width } = rowsOf(op, x.shape);
    const { device } = x;
    const y: Tensor = record(device, device.kernels[op](x.storage, rows, width), x.shape, [x], (dy) => [
      device.kernels[`${op}Backward`](y.storage, dy.storage, rows, width),
    ]);
    return y;
  };
}

/** exp(x_i) / Σ exp(x_j) over the last axis. */
export const softmax = ofRows("softmax");
/** x_i - log Σ exp(x_j) over the last axis. */
export const logSoftmax = ofRows("logSoftmax");
