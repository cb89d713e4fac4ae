/**
 * Storage of the reference device: the typed array itself. Float32 normally; Float64 when the reference ops are to be
 * evaluated in double precision, as the finite-difference tests of the gradients need.
 */
import type { Storage } from "../device.js";

export type Floats = Float32Array | Float64Array;
/** Zero-filled storage of n elements. */
export type Allocate = (length: number) => Floats;

/** The array behind a storage of this device. */
export const floats = (storage: Storage): Floats => storage as Floats;

/** Runs `fill(index)` for every element of a new array. */
export function build(allocate: Allocate, length: number, fill: (index: number) => number): Floats {
  const out = allocate(length);
  for (let i = 0; i < length; i++) out[i] = fill(i);
  return out;
}
