/**
 * Parts of a kernel law: random cases, how to run them on a device, how far the result may lie from the reference
 * device, and, if the kernel works on rows, what one row of the case looks like alone.
 */
import fc from "fast-check";
import type { Device, Kernels, Storage } from "../../../src/tensor/device.js";
import { createRng } from "../../../src/tensor/rng.js";
import { times } from "../../support/lists.js";

/** Half a unit in the last place of float32, relative: the error of one rounded operation. */
export const UNIT = 2 ** -24;
/** Values below the normal range, 2^-126, may be flushed to zero, before they are multiplied by others up to 2^16. */
export const FLUSH = 2 ** -110;

/**
 * UNITs by which a float32 sum of n terms may be off, relative to the sum of their sizes, in any order: n at most; and
 * 7√n but for a chance of 5e-11, because roundings are as often up as down (Higham and Mary 2019, λ = 7).
 */
export function sumUnits(n: number) {
  return Math.min(n, 7 * Math.sqrt(n));
}

/** A device's promise about its elementary functions; everything else follows from UNIT. */
export interface KernelTolerances {
  /** Relative error of exp, in UNITs. */
  readonly exp: number;
  /** Absolute error of the normal distribution function Φ. */
  readonly cdf: number;
  /**
   * Products with integer weights: the definition, bit for bit, or float32 products with the values that the integers
   * stand for.
   */
  readonly integerProducts: "exact" | "float32";
}

/** The part of a device that laws use. Uploads are freed after the case, like the outputs. */
export type LawDevice = Pick<
  Device,
  "kernels" | "upload" | "createPacked" | "packRows" | "freePacked" | "createCache" | "freeCache"
>;

export type Outputs = Readonly<Record<string, Storage>>;
/** Largest allowed distance from the reference, per element. A missing name means exact. */
export type Bounds = Readonly<Record<string, ArrayLike<number>>>;

export interface BoundContext {
  readonly tolerances: KernelTolerances;
  readonly reference: Device;
  /** Result of the reference device. */
  readonly expected: Readonly<Record<string, Float32Array>>;
}

export interface KernelLaw<C> {
  readonly kernel: keyof Kernels;
  /** Distinguishes several laws of one kernel. */
  readonly variant?: string;
  readonly cases: fc.Arbitrary<C>;
  run(device: LawDevice, c: C): Outputs;
  bounds?(c: C, context: BoundContext): Bounds;
  /** Rows computed together have the bits of rows computed alone. */
  readonly rows?: {
    count(c: NoInfer<C>): number;
    pick(c: NoInfer<C>, row: number): NoInfer<C>;
  };
}

/** Hides the case type, so that laws of different kernels share a list. */
export type AnyLaw = KernelLaw<never>;

export function law<C>(definition: KernelLaw<C>) {
  return definition as unknown as AnyLaw;
}

/** Values of a kind: ordinary, with many ties, or as large as logits get. */
export type Kind = "normal" | "ties" | "large";
export const kinds = fc.constantFrom<Kind>("normal", "normal", "ties", "large");
export const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });

/** Tables of a prime length, drawn once: kernels take less time than drawing their operands would. */
const tables = ((rng) => {
  const drawn = (next: () => number) => Float32Array.from({ length: 65_537 }, next);
  return {
    normal: drawn(() => rng.normal()),
    ties: drawn(() => Math.round(rng.normal() * 2) / 2),
    large: drawn(() => (rng.uniform() * 2 - 1) * 1000),
  };
})(createRng(3));

/** `length` values of a table, from a place on that depends on a seed and a name. */
export function values(seed: number, name: string, length: number, kind: Kind = "normal") {
  const table = tables[kind];
  const data = new Float32Array(length);
  for (let at = -createRng(seed).fork(name).integer(table.length); at < length; at += table.length) {
    data.set(table.subarray(Math.max(0, -at), length - at), Math.max(0, at));
  }
  return data;
}

export function integers(seed: number, name: string, length: number, bound: number) {
  const rng = createRng(seed).fork(name);
  return times(length, () => rng.integer(bound));
}

/** Row `row` of a matrix with as many rows as `count`. */
export function rowOf(data: Float32Array, row: number, count: number) {
  const width = data.length / count;
  return data.slice(row * width, (row + 1) * width);
}

/** Rows of a case alone, given the names of the arrays that have a part for every row. */
export const rowsIn = (...names: readonly string[]) => ({
  count: (c: { readonly rows: number }) => c.rows,
  pick: <C extends { readonly rows: number }>(c: C, row: number) => ({
    ...c,
    rows: 1,
    ...Object.fromEntries(
      names.map((name) => {
        const data = (c as Readonly<Record<string, unknown>>)[name] as Float32Array | undefined;
        const width = (data?.length ?? 0) / c.rows;
        return [name, data?.slice(row * width, (row + 1) * width)];
      }),
    ),
  }),
});

/** Concatenates a bound computed row by row, of a matrix with so many rows. */
export function perRow(data: Float32Array, rows: number, bound: (own: Float32Array, row: number) => ArrayLike<number>) {
  return Float64Array.from(times(rows, (r) => Array.from(bound(rowOf(data, r, rows), r))).flat());
}

export function absolute(data: Float32Array) {
  return data.map(Math.abs);
}

/** So many units of values of the reference device, whose storage is the typed array itself. */
export function unitsOf(storage: Storage, units: number) {
  return (storage as unknown as Float32Array).map((total) => units * UNIT * total);
}

/** So many units of each value. */
export function unitsEach(values: Float32Array | undefined, units: number) {
  return each(values!.length, (i) => units * UNIT * Math.abs(values![i]!));
}

/** A bound per element. */
export function each(length: number, bound: (index: number) => number) {
  return Float64Array.from({ length }, (_, i) => bound(i) + FLUSH);
}

export function sum(data: ArrayLike<number>, term: (value: number, index: number) => number = (value) => value) {
  let total = 0;
  for (let i = 0; i < data.length; i++) total += term(data[i]!, i);
  return total;
}

/** Exact softmax of a row at a temperature, and d = (x - max x) / T. */
export function softmaxOf(x: Float32Array, temperature = 1) {
  const top = x.reduce((max, value) => Math.max(max, value), -Infinity);
  const d = Array.from(x, (value) => (value - top) / temperature);
  const total = sum(d, Math.exp);
  return { p: d.map((value) => Math.exp(value) / total), d };
}
