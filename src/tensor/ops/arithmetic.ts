/**
 * Arithmetic with NumPy broadcasting.
 * The gradient of a broadcast is a sum over the repeated axes: d(a·b)/da = Σ_repeated dy·b.
 */
import { copyOf, record, requireDevice } from "../autograd.js";
import type { BinaryOp, Storage } from "../device.js";
import { broadcastShapes, broadcastStrides, padShape, sameElements, sameShape, type Shape, sizeOf } from "../shape.js";
import { Tensor } from "../tensor.js";

export function add(a: Tensor, b: Tensor): Tensor {
  const { y, shape } = broadcast("add", a, b);
  return record(a.device, y, shape, [a, b], (dy) => [reduceTo(dy, a), reduceTo(dy, b)]);
}

export function sub(a: Tensor, b: Tensor): Tensor {
  const { y, shape } = broadcast("sub", a, b);
  return record(a.device, y, shape, [a, b], (dy) => [
    reduceTo(dy, a),
    b.requiresGrad ? reduceTo(scale(dy, -1), b) : undefined,
  ]);
}

/** a · b elementwise, broadcast. */
export function mul(a: Tensor, b: Tensor): Tensor {
  const { y, shape } = broadcast("mul", a, b);
  return record(a.device, y, shape, [a, b], (dy) => [
    a.requiresGrad ? reduceTo(mul(dy, detach(b)), a) : undefined,
    b.requiresGrad ? reduceTo(mul(dy, detach(a)), b) : undefined,
  ]);
}

export function scale(x: Tensor, factor: number): Tensor {
  return record(x.device, x.device.kernels.scale(x.storage, factor), x.shape, [x], (dy) => [scale(dy, factor)]);
}

/** The values, through which no gradient flows: a copy, or x itself if it has none. */
export function detach(x: Tensor): Tensor {
  return x.requiresGrad ? copyOf(x) : x;
}

const EACH = [1] as const;

function broadcast(op: BinaryOp, a: Tensor, b: Tensor): { y: Storage; shape: Shape } {
  requireDevice(b, a.device);
  if (sameElements(a.shape, b.shape)) {
    const shape = a.shape.length < b.shape.length ? b.shape : a.shape;
    return { y: a.device.kernels.binary(op, a.storage, b.storage, [a.size], EACH, EACH), shape };
  }
  const shape = broadcastShapes(op, a.shape, b.shape);
  return {
    y: a.device.kernels.binary(
      op,
      a.storage,
      b.storage,
      shape,
      broadcastStrides(a.shape, shape),
      broadcastStrides(b.shape, shape),
    ),
    shape,
  };
}

function reduceTo(gradient: Tensor, target: Tensor): Tensor | undefined {
  if (!target.requiresGrad) return undefined;
  if (sameShape(gradient.shape, target.shape)) return gradient;
  const to = padShape(target.shape, gradient.shape.length);
  if (sizeOf(to) === gradient.size) return copyOf(gradient, target.shape);
  return new Tensor(gradient.device, gradient.device.kernels.sumTo(gradient.storage, gradient.shape, to), target.shape);
}
