/**
 * Storage of the reference device: the typed array itself. float32; float64 for finite-difference tests of gradients.
 */
import type { Storage } from "../device.js";

export type Floats = Float32Array | Float64Array;
/** Zero-filled. */
export type Allocate = (length: number) => Floats;

export const floats = (storage: Storage): Floats => storage as Floats;

export function build(allocate: Allocate, length: number, fill: (index: number) => number): Floats {
  const out = allocate(length);
  for (let i = 0; i < length; i++) out[i] = fill(i);
  return out;
}

export function copyInto(allocate: Allocate, values: Float64Array): Floats {
  const out = allocate(values.length);
  out.set(values);
  return out;
}
