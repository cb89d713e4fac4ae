/**
 * Reductions over everything or one axis, and the statistics of a row of logits from which every confidence score is
 * computed, without a softmax in memory.
 */
import { ShapeError } from "../../errors.js";
import { record } from "../autograd.js";
import { ROW_STATS } from "../device.js";
import { broadcastStrides, formatShape, rowsOf, type Shape, sizeOf, withLast } from "../shape.js";
import { Tensor } from "../tensor.js";
import { valuesOf } from "../values-of.js";
import { scale } from "./arithmetic.js";

interface ReduceOptions {
  /** Kept with size 1; negative counts from the end. Without it, all is reduced to shape [1]. */
  readonly axis?: number;
}

export function sum(x: Tensor, { axis }: ReduceOptions = {}): Tensor {
  const { from, to } = reducedShapes(x.shape, axis);
  const { device } = x;
  return record(device, device.kernels.sumTo(x.storage, from, to), to, [x], (dy) => {
    const zeros = Tensor.from(device, [0], [1]); // broadcasting dy + 0 repeats it
    return [
      device.kernels.binary(
        "add",
        dy.storage,
        zeros.storage,
        from,
        broadcastStrides(to, from),
        from.map(() => 0),
      ),
    ];
  });
}

export function mean(x: Tensor): Tensor {
  return scale(sum(x), 1 / x.size);
}

function reducedShapes(shape: Shape, axis: number | undefined): { from: Shape; to: Shape } {
  if (axis === undefined) return { from: [sizeOf(shape)], to: [1] };
  const index = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(index) || index < 0 || index >= shape.length) {
    throw new ShapeError("shape-axis", `sum: axis ${axis} does not exist in ${formatShape(shape)}`, {
      shape,
      axis,
    });
  }
  return { from: shape, to: shape.map((size, i) => (i === index ? 1 : size)) };
}

/** [.., V] -> [.., 5]: columns as in ROW_STATS. Not differentiable. */
export function rowStats(logits: Tensor): Tensor {
  const { rows, width } = rowsOf("rowStats", logits.shape);
  return new Tensor(
    logits.device,
    logits.device.kernels.rowStats(logits.storage, rows, width),
    withLast(logits.shape, ROW_STATS.width),
  );
}

/**
 * [.., V] -> [.., 3]: the index of the largest value, the lowest on ties; that value; and a number that is finite only
 * if all values are. Not differentiable.
 */
export function rowArgmax(x: Tensor): Tensor {
  const { rows, width } = rowsOf("argmax", x.shape);
  return new Tensor(x.device, x.device.kernels.rowArgmax(x.storage, rows, width), withLast(x.shape, 3));
}

/** Per row of [.., V], the lowest index on ties. Reads back. */
export async function argmax(x: Tensor): Promise<number[]> {
  const values = await valuesOf(() => rowArgmax(x));
  return Array.from({ length: values.length / 3 }, (_, r) => values[3 * r]!);
}
