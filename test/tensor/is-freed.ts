/** The state of a tensor's storage. */
import { DeviceError } from "../../src/errors.js";
import type { Tensor } from "../../src/tensor/tensor.js";

export function isFreed(tensor: Tensor) {
  try {
    return tensor.storage.length < 0; // never: the getter throws
  } catch (error) {
    if (error instanceof DeviceError && error.code === "tensor-disposed") return true;
    throw error;
  }
}
