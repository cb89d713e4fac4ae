/** Parts of tensors. The gradient of reading an element is adding to it. */
import { ShapeError } from "../../errors.js";
import { record, requireDevice } from "../autograd.js";
import { formatShape, requireIndices, rowsOf, type Shape, sizeOf, withLast } from "../shape.js";
import { Tensor } from "../tensor.js";

/** Columns [begin, end) of the last axis: [.., N] -> [.., end - begin]. */
export function columns(x: Tensor, begin: number, end: number): Tensor {
  const { rows, width } = rowsOf("columns", x.shape);
  requireRange("columns", begin, end, width);
  const { device } = x;
  return record(
    device,
    device.kernels.columns(x.storage, rows, width, begin, end),
    withLast(x.shape, end - begin),
    [x],
    (dy) => [device.kernels.columnsBackward(dy.storage, rows, width, begin, end)],
  );
}

/** A copy: every tensor owns its storage. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (sizeOf(shape) !== x.size) {
    throw new ShapeError(
      "shape-size",
      `reshape: ${formatShape(x.shape)} has ${x.size} elements, ${formatShape(shape)} has ${sizeOf(shape)}`,
      { from: x.shape, to: shape },
    );
  }
  const { device } = x;
  return record(device, device.kernels.slice(x.storage, 0, x.size), shape, [x], (dy) => [
    device.kernels.slice(dy.storage, 0, dy.size),
  ]);
}

/** Rows [begin, end) of the first axis. Not differentiable. */
export function sliceRows(x: Tensor, begin: number, end: number): Tensor {
  const [rows, ...rest] = x.shape;
  if (rows === undefined) throw new ShapeError("shape-rank", "sliceRows: expected at least one axis, found a scalar");
  requireRange("sliceRows", begin, end, rows);
  const width = sizeOf(rest);
  return new Tensor(x.device, x.device.kernels.slice(x.storage, begin * width, end * width), [end - begin, ...rest]);
}

/** Stacks matrices of equal width: [Rᵢ, N]… -> [ΣRᵢ, N]. Not differentiable. */
export function concatRows(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  if (first === undefined) throw new ShapeError("shape-empty", "concatRows: nothing to concatenate");
  const width = first.shape[1];
  for (const part of parts) {
    requireDevice(part, first.device);
    if (part.shape.length !== 2 || part.shape[1] !== width) {
      throw new ShapeError(
        "shape-concat",
        `concatRows: widths differ, ${formatShape(first.shape)} and ${formatShape(part.shape)}`,
        { first: first.shape, part: part.shape },
      );
    }
  }
  return new Tensor(first.device, first.device.kernels.concat(parts.map((part) => part.storage)), [
    parts.reduce((rows, part) => rows + part.shape[0]!, 0),
    width!,
  ]);
}

/** y[r, i] = x[r, ids[r·k + i]]: [R, N] -> [R, k]. */
export function takeAlongRows(x: Tensor, ids: ArrayLike<number>, k: number): Tensor {
  const { rows, width } = rowsOf("takeAlongRows", x.shape);
  if (ids.length !== rows * k) {
    throw new ShapeError(
      "shape-index",
      `takeAlongRows: x ${formatShape(x.shape)} with k = ${k} needs ${rows * k} ids, found ${ids.length}`,
      { rows, k, ids: ids.length },
    );
  }
  requireIndices("takeAlongRows", ids, width);
  const { device } = x;
  return record(
    device,
    device.kernels.takeAlongRows(x.storage, ids, rows, width, k),
    withLast(x.shape, k),
    [x],
    (dy) => [device.kernels.takeAlongRowsBackward(dy.storage, ids, rows, width, k)],
  );
}

function requireRange(where: string, begin: number, end: number, size: number): void {
  if (!Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || end < begin || end > size) {
    throw new ShapeError("index-range", `${where}: [${begin}, ${end}) is not a range inside [0, ${size})`, {
      begin,
      end,
      size,
    });
  }
}
