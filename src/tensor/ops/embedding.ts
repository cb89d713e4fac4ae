/** Embedding lookup: rows of a table. The gradient of each result row is added to the table row that it came from. */
import { ShapeError } from "../../errors.js";
import { record } from "../autograd.js";
import { formatShape, requireIndices } from "../shape.js";
import { PackedMatrix, Tensor } from "../tensor.js";

/**
 * Rows `ids` of table [V, C] -> [ids.length, C]. The table is trainable (Tensor) or frozen (PackedMatrix); ids must lie
 * in [0, V).
 */
export function embedding(table: Tensor | PackedMatrix, ids: ArrayLike<number>): Tensor {
  const [rows, width] = table.shape;
  if (table.shape.length !== 2 || rows === undefined || width === undefined) {
    throw new ShapeError("shape-rank", `embedding: expected a table [V, C], found ${formatShape(table.shape)}`, {
      table: table.shape,
    });
  }
  requireIndices("embedding", ids, rows);
  const { device } = table;
  const shape = [ids.length, width];
  if (table instanceof PackedMatrix) return new Tensor(device, device.kernels.gatherPacked(table.storage, ids), shape);
  return record(device, device.kernels.gather(table.storage, ids, width), shape, [table], (dy) => [
    device.kernels.scatterAdd(dy.storage, ids, rows, width),
  ]);
}
