/**
 * Storage of the reference device: the typed array itself. float32; float64 for finite-difference tests of gradients.
 */
import type { PackedStorage, Storage } from "../device.js";
import type { IntegerMatrix } from "./integer-products.js";

export type Floats = Float32Array | Float64Array;
/** Row-major float32, rounded as its dtype says. */
export interface ReferencePacked extends PackedStorage {
  readonly data: Float32Array;
  /** The integers behind `data`, if its dtype has some. */
  readonly matrix?: IntegerMatrix;
}
type Own<T> = Storage extends T ? Floats | Exclude<T, Storage> : T extends PackedStorage ? ReferencePacked : T;
/** Kernels that are given this device's own storage. */
export type OnFloats<Kernels> = {
  readonly [Name in keyof Kernels]: Kernels[Name] extends (...given: infer Given) => infer Result
    ? (...given: { [I in keyof Given]: Own<Given[I]> }) => Result
    : never;
};

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
