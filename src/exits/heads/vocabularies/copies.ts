/** Independent copies of a model's weights: what heads begin with. */
import type { Matrix } from "../../../model/index.js";
import { Tensor } from "../../../tensor/index.js";
import { embedding } from "../../../tensor/ops/index.js";

/** All rows of a matrix, packed or not, as a plain tensor. */
export function allRows(matrix: Matrix): Tensor {
  return embedding(
    matrix,
    Array.from({ length: matrix.shape[0]! }, (_, i) => i),
  );
}

export function frozenCopy(tensor: Tensor): Tensor {
  return new Tensor(tensor.device, tensor.device.kernels.slice(tensor.storage, 0, tensor.size), tensor.shape);
}

export function trainableCopy(tensor: Tensor): Tensor {
  return new Tensor(tensor.device, tensor.device.kernels.slice(tensor.storage, 0, tensor.size), tensor.shape, true);
}
