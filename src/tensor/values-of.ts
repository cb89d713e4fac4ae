/** Reading back what is computed only to be read. */
import { scope, type Tensor } from "./tensor.js";

/** Computes a tensor in a scope, reads it, and frees it. */
export async function valuesOf(compute: () => Tensor): Promise<Float32Array> {
  const tensor = scope(compute);
  return tensor.read().finally(() => tensor.dispose());
}
