/**
 * The product with integer weights as plain loops: the definition that every CPU kernel repeats bit for bit. W has
 * integers q with scales d and, of four bits, minimums m per group of 32 along k:
 *   y[r, n] = start + Σ_g (D_rng · (d_ng · t_rg) + m_ng · (t_rg · Σ_k∈g a[r, k]))
 *   D_rng = Σ_k∈g q[n, k] · a[r, k]      start = bias + residual
 * D is an exact integer. Everything else is float32, rounded after every operation; sums begin at zero and take groups
 * in order. The integers a of a row of x are in `quantizeRow`.
 */
import { GROUP, groupsOf, type IntegerRows } from "../integer-rows.js";

/** W as integers of so many bits. */
export interface IntegerMatrix extends IntegerRows {
  readonly bits: 4 | 8;
}

const round = Math.fround;
/** A group is wide if its largest value exceeds the mean of its row's by this factor. */
const WIDE = 1.2;
/** Smaller groups count as zero. */
const SMALLEST = 2 ** -110;

export interface QuantizedRow {
  /** [K]. */
  readonly integers: Int32Array;
  /** [groups], t. */
  readonly scales: Float32Array;
  /** [groups], t · Σ a. */
  readonly totals: Float32Array;
}

/**
 * A row of x: a = round(x / t), to nearest, ties to even, with t = max |x| / top per group. top is 63 beside weights of
 * eight bits and 127 beside weights of four; in wide groups 63 · 2^7 and 127 · 2^8.
 */
export function quantizeRow(x: ArrayLike<number>, from: number, columns: number, bits: 4 | 8): QuantizedRow {
  const groups = groupsOf(columns);
  const largest = new Float32Array(groups);
  for (let k = 0; k < columns; k++) {
    const g = Math.floor(k / GROUP);
    largest[g] = Math.max(largest[g]!, Math.abs(round(x[from + k]!)));
  }
  const total = largest.reduce((sum, value) => sum + value, 0);
  const integers = new Int32Array(columns);
  const scales = new Float32Array(groups);
  const totals = new Float32Array(groups);
  for (let g = 0; g < groups; g++) {
    const wide = largest[g]! * groups > total * WIDE;
    const top = bits === 4 ? 127 * (wide ? 256 : 1) : 63 * (wide ? 128 : 1);
    if (largest[g]! < SMALLEST) continue;
    const factor = round(top / largest[g]!);
    scales[g] = largest[g]! / top;
    let sum = 0;
    for (let k = g * GROUP; k < Math.min(columns, (g + 1) * GROUP); k++) {
      integers[k] = nearestEven(round(round(x[from + k]!) * factor));
      sum += integers[k]!;
    }
    totals[g] = sum * scales[g]!;
  }
  return { integers, scales, totals };
}

/** Σ over k of one row of x with row n of W, before bias and residual. */
export function integerDot({ integers, scales, totals }: QuantizedRow, w: IntegerMatrix, n: number): number {
  const { columns } = w;
  const groups = scales.length;
  let sum = 0;
  for (let g = 0; g < groups; g++) {
    let d = 0;
    for (let k = g * GROUP; k < Math.min(columns, (g + 1) * GROUP); k++) {
      d += w.integers[n * columns + k]! * integers[k]!;
    }
    sum = round(sum + groupTerm(round(d), scales[g]!, totals[g]!, w, n * groups + g));
  }
  return sum;
}

function groupTerm(d: number, t: number, total: number, w: IntegerMatrix, group: number): number {
  const product = round(d * round(w.scales[group]! * t));
  return w.bits === 8 ? product : round(product + round(w.minimums[group]! * total));
}

function nearestEven(x: number): number {
  const floor = Math.floor(x);
  const half = x - floor;
  if (half !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
