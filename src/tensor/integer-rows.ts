/**
 * Rows of a weight matrix as integers, with a scale d and a minimum m per group of 32 along k:
 *   w ≈ d · q + m        int4: q = 0..15        int8: q = -127..127 and m = 0
 * All devices have the same weights: rounded here, or (int8 on the CPU) by a kernel with the same bits. d and m are
 * float16. Of int8, d = max |w| / 127. Of int4, the group's range or a slightly smaller one is tried, then the
 * least-squares line through the integers that it gives: the one with the smallest squared error stays. Values on such
 * a grid are found again exactly.
 */

export const GROUP = 32;

/** `[rows, columns]` integers; if columns are no multiple of 32, the last group is shorter. */
export interface IntegerRows {
  readonly columns: number;
  readonly integers: Int8Array;
  /** [rows · groups]. */
  readonly scales: Float32Array;
  /** [rows · groups]. */
  readonly minimums: Float32Array;
}

export function groupsOf(columns: number): number {
  return Math.ceil(columns / GROUP);
}

export function createIntegerRows(rows: number, columns: number): IntegerRows {
  const groups = rows * groupsOf(columns);
  return {
    columns,
    integers: new Int8Array(rows * columns),
    scales: new Float32Array(groups),
    minimums: new Float32Array(groups),
  };
}

/** Each value is rounded once. */
export function integerValues({ columns, integers, scales, minimums }: IntegerRows): Float32Array {
  const values = new Float32Array(integers.length);
  for (let at = 0, group = 0; at < values.length; group++) {
    const end = at + Math.min(GROUP, columns - (at % columns));
    for (; at < end; at++) values[at] = scales[group]! * integers[at]! + minimums[group]!;
  }
  return values;
}

export function roundToIntegers(values: Float32Array, columns: number, dtype: `int${string}`): IntegerRows {
  return dtype === "int8" ? roundToInt8(values, columns) : roundToInt4(values, columns);
}

export function roundToInt8(values: Float32Array, columns: number): IntegerRows {
  const rows = createIntegerRows(columns === 0 ? 0 : values.length / columns, columns);
  const { integers } = rows;
  for (let at = 0, group = 0; at < values.length; group++) {
    const end = at + Math.min(GROUP, columns - (at % columns));
    let largest = 0;
    for (let i = at; i < end; i++) {
      const size = Math.abs(values[i]!);
      if (size > largest) largest = size;
    }
    const scale = toHalf(largest / 127);
    const inverse = scale === 0 ? 0 : 1 / scale;
    rows.scales[group] = scale;
    // the scale may have been rounded down, so 127 has to be a limit
    for (; at < end; at++) integers[at] = nearestUpTo(254, values[at]! * inverse + 127) - 127;
  }
  return rows;
}

/** The integer of 0..last nearest to x, halves upward. (Math.round costs five times as much.) */
function nearestUpTo(last: number, x: number): number {
  return x > last ? last : x > 0 ? (x + 0.5) | 0 : 0;
}

/** Parts of a group's range that are tried. */
const RANGES = [1, 0.93, 0.86] as const;

export function roundToInt4(values: Float32Array, columns: number): IntegerRows {
  const rows = createIntegerRows(columns === 0 ? 0 : values.length / columns, columns);
  for (let at = 0, group = 0; at < values.length; group++) {
    const count = Math.min(GROUP, columns - (at % columns));
    const best = bestLine(values, at, count);
    assign(values, at, count, best.scale, best.minimum);
    for (let i = 0; i < count; i++) rows.integers[at + i] = nibbles[i]!;
    rows.scales[group] = best.scale;
    rows.minimums[group] = best.minimum;
    at += count;
  }
  return rows;
}

interface Line {
  readonly scale: number;
  readonly minimum: number;
  readonly error: number;
}

const nibbles = new Int8Array(GROUP);

function bestLine(values: Float32Array, at: number, count: number): Line {
  let low = Infinity;
  let high = -Infinity;
  for (let i = at; i < at + count; i++) {
    const value = values[i]!;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  let best: Line = { scale: 0, minimum: 0, error: Infinity };
  for (const part of RANGES) {
    const cut = ((1 - part) * (high - low)) / 2;
    const line = tryLine(values, at, count, (part * (high - low)) / 15, low + cut);
    if (line.error < best.error) best = line;
    if (best.error === 0) break;
    const refined = refine(values, at, count);
    if (refined === undefined) continue;
    const fitted = tryLine(values, at, count, refined.scale, refined.minimum);
    if (fitted.error < best.error) best = fitted;
  }
  return best;
}

function tryLine(values: Float32Array, at: number, count: number, wantedScale: number, wantedMinimum: number): Line {
  const scale = toHalf(wantedScale);
  const minimum = toHalf(wantedMinimum);
  return { scale, minimum, error: assign(values, at, count, scale, minimum) };
}

/** Writes the nearest integers to `nibbles`; returns the squared error. */
function assign(values: Float32Array, at: number, count: number, scale: number, minimum: number): number {
  const inverse = scale === 0 ? 0 : 1 / scale;
  let error = 0;
  for (let i = 0; i < count; i++) {
    const value = values[at + i]!;
    const q = nearestUpTo(15, (value - minimum) * inverse);
    nibbles[i] = q;
    const off = value - (scale * q + minimum);
    error += off * off;
  }
  return error;
}

/** The least-squares line through `nibbles`; undefined if all are the same. */
function refine(
  values: Float32Array,
  at: number,
  count: number,
): { readonly scale: number; readonly minimum: number } | undefined {
  let q1 = 0;
  let q2 = 0;
  let w1 = 0;
  let qw = 0;
  for (let i = 0; i < count; i++) {
    const q = nibbles[i]!;
    const w = values[at + i]!;
    q1 += q;
    q2 += q * q;
    w1 += w;
    qw += q * w;
  }
  const spread = count * q2 - q1 * q1;
  if (spread === 0) return undefined;
  const scale = (count * qw - q1 * w1) / spread;
  return scale > 0 ? { scale, minimum: (w1 - scale * q1) / count } : undefined;
}

const LARGEST_HALF = 65_504;
const SMALLEST_NORMAL_HALF = 2 ** -14;

/** The nearest finite float16: a product splits off the upper eleven bits of a float64 (Veltkamp 1968). */
function toHalf(x: number): number {
  const size = Math.abs(x);
  if (size >= LARGEST_HALF) return x < 0 ? -LARGEST_HALF : LARGEST_HALF;
  if (size < SMALLEST_NORMAL_HALF) return Math.sign(x) * (size + 2 ** 28 - 2 ** 28);
  const shifted = x * (2 ** 42 + 1);
  return shifted - (shifted - x);
}
