/**
 * Naive loop: rowKernels in src/tensor/reference/rows.ts, which sums in float64.
 * Kernels over the rows of a matrix [rows, n], rows [begin, end): softmax, its logarithm, their gradients, and the
 * statistics of a row of logits. Sums run in float64, two lanes wide; every row is computed alone, in the same order
 * whatever the batch.
 *   softmax(x)_i = e_i / S,  e_i = exp(x_i - m),  S = Σ e_j,  m = max x        log-sum-exp = m + ln S
 *   entropy = ln S + Σ e_i (m - x_i) / S: both terms are positive, so a dominating logit costs no precision
 */
import { expBounded, ln } from "./math.as";
import { addWide, lanesBelow, loadTail, maxLane, storeTail, sumWide } from "./simd.as";

// @ts-ignore: decorator
@inline export function zero(): v128 {
  return f32x4.splat(0);
}

export function rowMax(x: usize, n: i32): f32 {
  const low = f32x4.splat(-Infinity);
  let top = low;
  for (; n >= 4; n -= 4) {
    top = f32x4.pmax(top, v128.load(x));
    x += 16;
  }
  if (n > 0) top = f32x4.pmax(top, loadTail(x, n, low));
  return maxLane(top);
}

/** Σ exp((x_i - m) · factor), where `scaled`; the exponentials go to y, which may be x, where `kept`. */
// @ts-ignore: decorator
@inline function exponentials(scaled: bool, kept: bool, x: usize, y: usize, n: i32, m: f32, factor: f32): f64 {
  const top = f32x4.splat(m);
  const f = f32x4.splat(factor);
  let sums = zero();
  for (; n >= 4; n -= 4) {
    const d = f32x4.sub(v128.load(x), top);
    const e = expBounded(scaled ? f32x4.mul(d, f) : d);
    sums = addWide(sums, e);
    if (kept) v128.store(y, e);
    x += 16;
    y += 16;
  }
  if (n > 0) {
    const d = f32x4.sub(v128.load(x), top);
    const e = v128.and(expBounded(scaled ? f32x4.mul(d, f) : d), lanesBelow(n));
    sums = addWide(sums, e);
    if (kept) storeTail(y, e, n);
  }
  return sumWide(sums);
}

/** y_i = exp(x_i - m), returns their sum; y may be x. */
export function expRow(x: usize, y: usize, n: i32, m: f32): f64 {
  return exponentials(false, true, x, y, n, m, 1);
}

/** Σ exp(x_i - m) */
export function expSum(x: usize, n: i32, m: f32): f64 {
  return exponentials(false, false, x, x, n, m, 1);
}

/** y_i = exp((x_i - max x) · factor); returns their sum. */
export function softened(x: usize, y: usize, n: i32, factor: f32): f64 {
  return exponentials(true, true, x, y, n, rowMax(x, n), factor);
}

/** y_i = x_i · factor; y may be x. */
export function scaleRow(x: usize, y: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (; n >= 4; n -= 4) {
    v128.store(y, f32x4.mul(v128.load(x), f));
    x += 16;
    y += 16;
  }
  if (n > 0) storeTail(y, f32x4.mul(v128.load(x), f), n);
}

export function dotRow(a: usize, b: usize, n: i32): f64 {
  let sums = zero();
  for (; n >= 4; n -= 4) {
    sums = addWide(sums, f32x4.mul(v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
  }
  if (n > 0) sums = addWide(sums, v128.and(f32x4.mul(v128.load(a), v128.load(b)), lanesBelow(n)));
  return sumWide(sums);
}

export function sumRow(x: usize, n: i32): f64 {
  let sums = zero();
  for (; n >= 4; n -= 4) {
    sums = addWide(sums, v128.load(x));
    x += 16;
  }
  if (n > 0) sums = addWide(sums, v128.and(v128.load(x), lanesBelow(n)));
  return sumWide(sums);
}

export function softmax(x: usize, y: usize, n: i32, begin: i32, end: i32): void {
  const row = n << 2;
  for (let r = begin; r < end; r++) {
    const from = x + r * row;
    const to = y + r * row;
    const sum = expRow(from, to, n, rowMax(from, n));
    scaleRow(to, to, n, <f32>(1 / sum));
  }
}

/** dx = y · (dy - Σ dy · y) */
export function softmaxBackward(y: usize, dy: usize, dx: usize, n: i32, begin: i32, end: i32): void {
  const row = n << 2;
  for (let r = begin; r < end; r++) {
    let p = y + r * row;
    let d = dy + r * row;
    let to = dx + r * row;
    let left = n;
    const dot = f32x4.splat(<f32>dotRow(p, d, n));
    for (; left >= 4; left -= 4) {
      v128.store(to, f32x4.mul(v128.load(p), f32x4.sub(v128.load(d), dot)));
      p += 16;
      d += 16;
      to += 16;
    }
    if (left > 0) storeTail(to, f32x4.mul(v128.load(p), f32x4.sub(v128.load(d), dot)), left);
  }
}

export function logSoftmax(x: usize, y: usize, n: i32, begin: i32, end: i32): void {
  const row = n << 2;
  for (let r = begin; r < end; r++) {
    let from = x + r * row;
    let to = y + r * row;
    let left = n;
    const m = rowMax(from, n);
    const top = f32x4.splat(m);
    const rest = f32x4.splat(<f32>ln(expSum(from, n, m)));
    for (; left >= 4; left -= 4) {
      v128.store(to, f32x4.sub(f32x4.sub(v128.load(from), top), rest));
      from += 16;
      to += 16;
    }
    if (left > 0) storeTail(to, f32x4.sub(f32x4.sub(v128.load(from), top), rest), left);
  }
}

/** dx = dy - exp(y) · Σ dy */
export function logSoftmaxBackward(y: usize, dy: usize, dx: usize, n: i32, begin: i32, end: i32): void {
  const row = n << 2;
  for (let r = begin; r < end; r++) {
    let p = y + r * row;
    let d = dy + r * row;
    let to = dx + r * row;
    let left = n;
    const sum = f32x4.splat(<f32>sumRow(d, n));
    for (; left >= 4; left -= 4) {
      v128.store(to, f32x4.sub(v128.load(d), f32x4.mul(expBounded(v128.load(p)), sum)));
      p += 16;
      d += 16;
      to += 16;
    }
    if (left > 0) storeTail(to, f32x4.sub(v128.load(d), f32x4.mul(expBounded(v128.load(p)), sum)), left);
  }
}

/**
 * Per row: argmax (the lowest of equals), largest, second largest, log-sum-exp, entropy -> [rows, 5].
 * One pass finds the top, a second adds the exponentials.
 */
export function rowStats(x: usize, y: usize, n: i32, begin: i32, end: i32): void {
  for (let r = begin; r < end; r++) {
    const to = y + r * 20;
    let at = x + ((r * n) << 2);
    let left = n;
    topTwo(at, n, to);
    const m = load<f32>(to, 4);
    const top = f32x4.splat(m);
    let sums = zero();
    let weighted = zero();
    for (; left >= 4; left -= 4) {
      const d = distance(v128.load(at), top);
      const e = expBounded(d);
      sums = addWide(sums, e);
      weighted = addWide(weighted, f32x4.mul(e, d));
      at += 16;
    }
    if (left > 0) {
      const d = distance(loadTail(at, left, f32x4.splat(-Infinity)), top);
      const e = expBounded(d);
      sums = addWide(sums, e);
      weighted = addWide(weighted, f32x4.mul(e, d));
    }
    const sum = sumWide(sums);
    const rest = ln(sum);
    store<f32>(to, <f32>(<f64>m + rest), 12);
    store<f32>(to, <f32>(rest - sumWide(weighted) / sum), 16);
  }
}

/** x - m, but not below -104: there e^d is zero, and 0 · -Infinity must stay out of the sum. */
// @ts-ignore: decorator
@inline function distance(x: v128, top: v128): v128 {
  return f32x4.pmax(f32x4.sub(x, top), f32x4.splat(-104));
}

/** [argmax, largest, second largest] of n floats. Each lane keeps its own three, merged at the end. */
function topTwo(x: usize, n: i32, to: usize): void {
  const low = f32x4.splat(-Infinity);
  let first = low;
  let second = low;
  let place = i32x4.splat(0);
  let index = i32x4(0, 1, 2, 3);
  for (; n >= 4; n -= 4) {
    const v = v128.load(x);
    place = v128.bitselect(index, place, f32x4.gt(v, first));
    second = f32x4.pmax(second, f32x4.pmin(first, v));
    first = f32x4.pmax(first, v);
    index = i32x4.add(index, i32x4.splat(4));
    x += 16;
  }
  if (n > 0) {
    const v = loadTail(x, n, low);
    place = v128.bitselect(index, place, f32x4.gt(v, first));
    second = f32x4.pmax(second, f32x4.pmin(first, v));
    first = f32x4.pmax(first, v);
  }
  let top: f32 = -Infinity;
  let next: f32 = -Infinity;
  let at = 0; // a lane that never saw more than -Infinity keeps place 0
  for (let lane = 0; lane < 4; lane++) {
    const value = laneF32(first, lane);
    const where = laneI32(place, lane);
    if (value > top || (value == top && where < at)) at = where;
    next = max(max(next, laneF32(second, lane)), min(top, value));
    top = max(top, value);
  }
  store<f32>(to, <f32>at);
  store<f32>(to, top, 4);
  store<f32>(to, next, 8);
}

/** Per row: argmax (the lowest of equals), largest, and Σ 0·x, NaN if a value is NaN or infinite -> [rows, 3]. */
export function rowArgmax(x: usize, y: usize, n: i32, begin: i32, end: i32): void {
  for (let r = begin; r < end; r++) {
    const from = x + ((r * n) << 2);
    const to = y + r * 12;
    topTwo(from, n, to);
    store<f32>(to, zeroSum(from, n), 8);
  }
}

function zeroSum(x: usize, n: i32): f32 {
  let sums = zero();
  for (; n >= 4; n -= 4) {
    sums = f32x4.add(sums, f32x4.mul(v128.load(x), zero()));
    x += 16;
  }
  if (n > 0) sums = f32x4.add(sums, f32x4.mul(loadTail(x, n, zero()), zero()));
  return <f32>sumWide(addWide(zero(), sums));
}

// @ts-ignore: decorator
@inline function laneF32(v: v128, lane: i32): f32 {
  return reinterpret<f32>(laneI32(v, lane));
}

// @ts-ignore: decorator
@inline function laneI32(v: v128, lane: i32): i32 {
  return lane == 0
    ? i32x4.extract_lane(v, 0)
    : lane == 1
      ? i32x4.extract_lane(v, 1)
      : lane == 2
        ? i32x4.extract_lane(v, 2)
        : i32x4.extract_lane(v, 3);
}
