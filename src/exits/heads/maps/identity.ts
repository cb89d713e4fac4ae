/** The identity matrix as a trainable weight: where square maps begin. */
import { type Device, Tensor } from "../../../tensor/index.js";

/** [C, C]. */
export function identity(device: Device, size: number): Tensor {
  const values = new Float32Array(size * size);
  for (let i = 0; i < size; i++) values[i * (size + 1)] = 1;
  return Tensor.from(device, values, [size, size], { requiresGrad: true });
}
