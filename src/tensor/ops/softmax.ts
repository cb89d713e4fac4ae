/**
 * softmax and logSoftmax over the last axis, in log-sum-exp form: no overflow at ±1000.
 * Gradients from the outputs: softmax y·(dy - Σ dy·y); logSoftmax dy - eʸ·Σ dy.
 */
import { record } from "../autograd.js";
import { rowsOf } from "../shape.js";
import { Tensor } from "../tensor.js";

/** exp(x_i) / Σ exp(x_j) over the last axis. */
export function softmax(x: Tensor): Tensor {
  const { rows, width } = rowsOf("softmax", x.shape);
  const { device } = x;
  const y: Tensor = record(device, device.kernels.softmax(x.storage, rows, width), x.shape, [x], (dy) => [
    new Tensor(device, device.kernels.softmaxBackward(y.storage, dy.storage, rows, width), x.shape),
  ]);
  return y;
}

/** x_i - log Σ exp(x_j) over the last axis. */
export function logSoftmax(x: Tensor): Tensor {
  const { rows, width } = rowsOf("logSoftmax", x.shape);
  const { device } = x;
  const y: Tensor = record(device, device.kernels.logSoftmax(x.storage, rows, width), x.shape, [x], (dy) => [
    new Tensor(device, device.kernels.logSoftmaxBackward(y.storage, dy.storage, rows, width), x.shape),
  ]);
  return y;
}
