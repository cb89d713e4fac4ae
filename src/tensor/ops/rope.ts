/**
 * Rotary position embedding (Su et al. 2021), full or partial, half-split as in Hugging Face checkpoints: (x_i,
 * x_{i+h}) turns by position · frequency_i. The gradient is the rotation back.
 */
import { ShapeError } from "../../errors.js";
import { record, requireDevice } from "../autograd.js";
import { formatShape, rowsOf, sameShape } from "../shape.js";
import type { Tensor } from "../tensor.js";

export interface RopeTable {
  /** [positions, rotaryDim / 2] each. */
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/** Rotates x [.., heads·headDim] whose rows are at `positions`. */
export function rope(x: Tensor, positions: readonly number[], table: RopeTable, heads: number): Tensor {
  const { rows, width } = rowsOf("rope", x.shape);
  const [tableRows, half] = table.cos.shape;
  const headDim = width / heads;
  if (
    tableRows === undefined ||
    half === undefined ||
    positions.length !== rows ||
    !Number.isInteger(headDim) ||
    2 * half > headDim ||
    !sameShape(table.cos.shape, table.sin.shape) ||
    positions.some((p) => !Number.isInteger(p) || p < 0 || p >= tableRows)
  ) {
    throw new ShapeError(
      "shape-rope",
      `rope: x ${formatShape(x.shape)} with ${heads} heads, ${positions.length} positions, ` +
        `tables ${formatShape(table.cos.shape)} and ${formatShape(table.sin.shape)}; need one position per row, ` +
        `an integer below the tables' length, and 2·${half ?? "?"} <= head size`,
      { x: x.shape },
    );
  }
  const { device } = x;
  for (const part of [table.cos, table.sin]) requireDevice(part, device);
  const tables = { cos: table.cos.storage, sin: table.sin.storage, rotaryDim: 2 * half };
  return record(
    device,
    device.kernels.rope(x.storage, positions, tables, heads, headDim, false),
    x.shape,
    [x],
    (dy) => [device.kernels.rope(dy.storage, positions, tables, heads, headDim, true)],
  );
}
