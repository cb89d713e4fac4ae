/**
 * The MLP's activations; swiglu = silu(gate)·up on a fused [gate, up]. Formulas and derivatives:
 * reference/elementwise.ts.
 */
import { ShapeError } from "../../errors.js";
import { record } from "../autograd.js";
import type { UnaryOp } from "../device.js";
import { formatShape, rowsOf, withLast } from "../shape.js";
import type { Tensor } from "../tensor.js";

function unary(op: UnaryOp): (x: Tensor) => Tensor {
  return (x) =>
    record(x.device, x.device.kernels.unary(op, x.storage), x.shape, [x], (dy) => [
      x.device.kernels.unaryBackward(op, x.storage, dy.storage),
    ]);
}

/** x·Φ(x), elementwise. */
export const gelu = unary("gelu");
/** The tanh approximation of gelu (GPT-2). */
export const geluTanh = unary("geluTanh");
/** x·σ(x), elementwise. */
export const silu = unary("silu");
export const relu = unary("relu");

/** [.., 2F] -> [.., F]: silu(left half) · right half. */
export function swiglu(x: Tensor): Tensor {
  const { rows, width } = rowsOf("swiglu", x.shape);
  if (width % 2 !== 0) {
    throw new ShapeError(
      "shape-even",
      `swiglu: the last axis holds gate and up halves and must be even, found ${formatShape(x.shape)}`,
      { shape: x.shape },
    );
  }
  const half = width / 2;
  return record(x.device, x.device.kernels.swiglu(x.storage, rows, half), withLast(x.shape, half), [x], (dy) => [
    x.device.kernels.swigluBackward(x.storage, dy.storage, rows, half),
  ]);
}
