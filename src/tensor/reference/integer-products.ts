/**
 * The product with integer weights as plain loops, which CPU kernels repeat bit for bit. W has integers q with scales d
 * and, of four bits, minimums m per group of 32 along k:
 *   y[r, n] = start + Σ_g (D_rng · (d_ng · t_rg) + m_ng · (t_rg · Σ_k∈g a[r, k]))
 *   D_rng = Σ_k∈g q[n, k] · a[r, k]      start = bias + residual
 * D is exact; all else is float32, rounded after every operation. Sums begin at zero and take groups in order. For a:
 * `quantizeRow`.
 */
import { GROUP, groupsOf, type IntegerRows } from "../integer-rows.js";

export interface IntegerMatrix extends IntegerRows {
  readonly bits: 4 | 8;
}

const round = Math.fround;
/** A group is wide if its size exceeds the mean of its row's by this factor. */
const WIDE = 1.1;
const SMALLEST = 2 ** -110;

interface QuantizedRow {
  /** [K]. */
  readonly integers: Int32Array;
  /** [groups], t. */
  readonly scales: Float32Array;
  /** [groups], t · Σ a. */
  readonly totals: Float32Array;
}

/**
 * A row of x: a = round(x / t), to nearest, ties to even, with one t per group. Its size is max |x| beside weights of
 * four bits, and half of max(x, 0) - min(x, 0) beside weights of eight. t = size / 127 beside four bits and size /
 * 63.25 beside eight: 0..127 then holds what a group spans. In wide groups, t = max |x| / top with top = 127 · 2^8
 * and 63 · 2^7.
 */
export function quantizeRow(x: ArrayLike<number>, from: number, columns: number, bits: 4 | 8): QuantizedRow {
  const groups = groupsOf(columns);
  const low = new Float32Array(groups);
  const high = new Float32Array(groups);
  for (let k = 0; k < columns; k++) {
    const g = Math.floor(k / GROUP);
    const value = round(x[from + k]!);
    low[g] = Math.min(low[g]!, value);
    high[g] = Math.max(high[g]!, value);
  }
  const largest = high.map((value, g) => Math.max(value, -low[g]!));
  const sizes = bits === 4 ? largest : high.map((value, g) => round(value / 2) - round(low[g]! / 2));
  const total = sizes.reduce((sum, value) => sum + value, 0);
  const integers = new Int32Array(columns);
  const scales = new Float32Array(groups);
  const totals = new Float32Array(groups);
  for (let g = 0; g < groups; g++) {
    const wide = sizes[g]! * groups > total * WIDE;
    const size = wide ? largest[g]! : sizes[g]!;
    const top = bits === 4 ? 127 * (wide ? 256 : 1) : wide ? 63 * 128 : 63.25;
    if (largest[g]! < SMALLEST) continue;
    const factor = round(top / size);
    scales[g] = size / top;
    let sum = 0;
    for (let k = g * GROUP; k < Math.min(columns, (g + 1) * GROUP); k++) {
      integers[k] = nearestEven(round(round(x[from + k]!) * factor));
      sum += integers[k]!;
    }
    totals[g] = sum * scales[g]!;
  }
  return { integers, scales, totals };
}

/** Before bias and residual. */
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
