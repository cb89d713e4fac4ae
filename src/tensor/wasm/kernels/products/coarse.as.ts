/**
 * Bounds on a product y = U·x + b from a coarse copy of U with eight bits a weight, Û[n, k] = s_n · q[n, k].
 * The state comes as fourteen bits a value, x̂[k] = t · u[k], with one scale t for each segment of 2048 k. So
 *   a_n = b_n + s_n · Σ_segments t · Σ_k q[n, k] · u[k]          lower, upper = a_n ∓ (alpha · E_n + delta)
 * with E_n >= |U_n - Û_n|₂ stored beside each row; screening/coarse.ts of the device derives E, alpha and delta.
 *
 * A panel holds sixteen rows: [K/4][16][4] bytes, then 16 scales, 16 errors, and for each segment 16 sums of its bytes.
 * The inner sums are integers, hence exact: 2048 products of at most 127 · 8191 stay below 2^31. Two ways lead to them:
 *   pairs   i32x4.dot_i16x8_s, in every engine
 *   dots    the relaxed dot of int8 and seven unsigned bits: u + 8192 = 128 · high + low, two dots a vector, and
 *           8192 · Σ q is taken off again. No pair of products reaches 2^15, so every engine gives the same integers.
 */
import { rowMax } from "../rows.as";
import { mac } from "../simd.as";
import { copyColumns, scratch } from "./tiles.as";

/** Quads of k in a segment. */
const SEGMENT = 512;
const OFFSET = 8192;

/** 1 if this build has the relaxed dot. */
export function hasDots(): i32 {
  return ASC_FEATURE_RELAXED_SIMD ? 1 : 0;
}

// @ts-ignore: decorator
@inline function segmentsOf(quads: i32): i32 {
  return (quads + SEGMENT - 1) / SEGMENT;
}

/** Bytes of a panel of inner size k, as in ../../../coarse-bytes.ts. */
function coarsePanelBytes(k: i32): usize {
  const quads = (k + 3) >> 2;
  return (<usize>(quads + 2 + segmentsOf(quads))) << 6;
}

/**
 * Bytes of one quantized state: eight for each quad of k (four int16; or four high parts, then four low ones), then the
 * scales of its segments, alpha and delta.
 */
export function coarseStateBytes(k: i32): usize {
  const quads = (k + 3) >> 2;
  return (((<usize>quads) << 3) + ((<usize>(segmentsOf(quads) + 2)) << 2) + 15) & ~15;
}

/**
 * Stores rows [first, first + count) of U, float32 [count, k] at `from`. E = e + ofError · e + ofNorm · |Û| for
 * e = |U - Û|₂. Returns the largest |Û| + e; Infinity if a weight is not
 * finite or reaches 1e30.
 */
export function packCoarse(w: usize, k: i32, first: i32, count: i32, from: usize, ofError: f64, ofNorm: f64): f64 {
  const quads = (k + 3) >> 2;
  const panel = coarsePanelBytes(k);
  let most: f64 = 0;
  for (let row = first; row < first + count; row++) {
    const at = w + <usize>(row >> 4) * panel;
    const lane = <usize>(row & 15);
    const meta = at + ((<usize>quads) << 6) + (lane << 2);
    let largest: f32 = 0;
    for (let i = 0; i < k; i++) largest = max(largest, abs(load<f32>(from + ((<usize>i) << 2))));
    if (!(largest < <f32>1e30)) return Infinity; // NaN too
    const scale = largest / 127;
    let norm: f64 = 0;
    let error: f64 = 0;
    let total: i32 = 0;
    for (let i = 0; i < k; i++) {
      const value = <f64>load<f32>(from + ((<usize>i) << 2));
      const q = scale == 0 ? 0 : min(max(nearest<f64>(value / <f64>scale), -127), 127);
      store<i8>(at + ((<usize>(i >> 2)) << 6) + (lane << 2) + <usize>(i & 3), <i8>q);
      const own = q * <f64>scale;
      norm += own * own;
      error += (value - own) * (value - own);
      total += <i32>q;
      if (((i + 1) & (4 * SEGMENT - 1)) == 0 || i + 1 == k) {
        store<i32>(meta + 128 + ((<usize>(i / (4 * SEGMENT))) << 6), total);
        total = 0;
      }
    }
    norm = sqrt(norm);
    error = sqrt(error);
    store<f32>(meta, scale);
    // rounded up: the factor is more than a float32 loses
    store<f32>(meta, <f32>((error + ofError * error + ofNorm * norm) * 1.000001), 64);
    most = max(most, norm + error);
    from += (<usize>k) << 2;
  }
  return most;
}

/**
 * Lower and upper bounds [rows, n], for panels [begin, end), of U·x + bias for `rows` quantized states at x. A bias of
 * 0 means none. `dots` says how the states were stored, and so which way is taken.
 */
export function coarseBounds(
  w: usize,
  x: usize,
  bias: usize,
  lower: usize,
  upper: usize,
  rows: i32,
  n: i32,
  k: i32,
  dots: i32,
  begin: i32,
  end: i32,
): void {
  const quads = (k + 3) >> 2;
  const panel = coarsePanelBytes(k);
  const state = coarseStateBytes(k);
  for (let p = begin; p < end; p++) {
    const at = w + <usize>p * panel;
    const columns = min(16, n - (p << 4));
    for (let r = 0; r < rows; r++) {
      const to = (<usize>r * <usize>n + ((<usize>p) << 4)) << 2;
      const from = x + <usize>r * state;
      const start: usize = bias == 0 ? 0 : bias + ((<usize>p) << 6);
      if (columns == 16) panelBounds(at, from, start, lower + to, upper + to, quads, dots);
      else {
        const edge = scratch + 128;
        panelBounds(at, from, start, edge, edge + 64, quads, dots);
        copyColumns(lower + to, edge, columns);
        copyColumns(upper + to, edge + 64, columns);
      }
    }
  }
}

function panelBounds(at: usize, x: usize, bias: usize, lower: usize, upper: usize, quads: i32, dots: i32): void {
  const meta = at + ((<usize>quads) << 6);
  const scales = x + ((<usize>quads) << 3);
  const segments = segmentsOf(quads);
  let v0 = f32x4.splat(0);
  let v1 = v0;
  let v2 = v0;
  let v3 = v0;
  for (let s = 0; s < segments; s++) {
    const first = s * SEGMENT;
    const count = min(SEGMENT, quads - first);
    const from = at + ((<usize>first) << 6);
    const state = x + ((<usize>first) << 3);
    if (dots) dotSums(from, state, count, meta + 128 + ((<usize>s) << 6));
    else pairSums(from, state, count);
    const t = v128.load32_splat(scales + ((<usize>s) << 2));
    v0 = mac(f32x4.convert_i32x4_s(v128.load(scratch)), t, v0);
    v1 = mac(f32x4.convert_i32x4_s(v128.load(scratch, 16)), t, v1);
    v2 = mac(f32x4.convert_i32x4_s(v128.load(scratch, 32)), t, v2);
    v3 = mac(f32x4.convert_i32x4_s(v128.load(scratch, 48)), t, v3);
  }
  const limits = scales + ((<usize>segments) << 2);
  bound(v0, meta, bias, limits, lower, upper);
  bound(v1, meta + 16, bias == 0 ? 0 : bias + 16, limits, lower + 16, upper + 16);
  bound(v2, meta + 32, bias == 0 ? 0 : bias + 32, limits, lower + 32, upper + 32);
  bound(v3, meta + 48, bias == 0 ? 0 : bias + 48, limits, lower + 48, upper + 48);
}

// @ts-ignore: decorator
@inline function bound(v: v128, meta: usize, bias: usize, limits: usize, lower: usize, upper: usize): void {
  const a = mac(v, v128.load(meta), bias == 0 ? f32x4.splat(0) : v128.load(bias));
  const width = mac(v128.load(meta, 64), v128.load32_splat(limits), v128.load32_splat(limits, 4));
  v128.store(lower, f32x4.sub(a, width));
  v128.store(upper, f32x4.add(a, width));
}

/** Σ q · u of sixteen rows -> sixteen int32 at `scratch`. Lanes hold two rows, the even and the odd pairs of each. */
function pairSums(w: usize, x: usize, quads: i32): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  for (const end = x + ((<usize>quads) << 3); x != end; x += 8) {
    const v = v128.load64_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load_ext<i8>(w), v));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 8), v));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 16), v));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 24), v));
    a4 = i32x4.add(a4, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 32), v));
    a5 = i32x4.add(a5, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 40), v));
    a6 = i32x4.add(a6, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 48), v));
    a7 = i32x4.add(a7, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 56), v));
    w += 64;
  }
  v128.store(scratch, addPairs(a0, a1));
  v128.store(scratch, addPairs(a2, a3), 16);
  v128.store(scratch, addPairs(a4, a5), 32);
  v128.store(scratch, addPairs(a6, a7), 48);
}

/** [a0 + a1, a2 + a3, b0 + b1, b2 + b3] */
// @ts-ignore: decorator
@inline function addPairs(a: v128, b: v128): v128 {
  return i32x4.add(
    i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
    i8x16.shuffle(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31),
  );
}

/** The same by relaxed dots, from the high and low parts of u + OFFSET; `sums` are those of the bytes of each row. */
function dotSums(w: usize, x: usize, quads: i32, sums: usize): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (const end = x + ((<usize>quads) << 3); x != end; x += 8) {
    const h = v128.load32_splat(x);
    const l = v128.load32_splat(x, 4);
    let v = v128.load(w);
    a0 = dot(v, h, a0);
    b0 = dot(v, l, b0);
    v = v128.load(w, 16);
    a1 = dot(v, h, a1);
    b1 = dot(v, l, b1);
    v = v128.load(w, 32);
    a2 = dot(v, h, a2);
    b2 = dot(v, l, b2);
    v = v128.load(w, 48);
    a3 = dot(v, h, a3);
    b3 = dot(v, l, b3);
    w += 64;
  }
  v128.store(scratch, joined(a0, b0, sums));
  v128.store(scratch, joined(a1, b1, sums + 16), 16);
  v128.store(scratch, joined(a2, b2, sums + 32), 32);
  v128.store(scratch, joined(a3, b3, sums + 48), 48);
}

// @ts-ignore: decorator
@inline function dot(w: v128, x: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, x, sum);
  return sum; // never called: hasDots() is 0
}

/** 128 · high + low - OFFSET · sum: parts may wrap around, the result does not. */
// @ts-ignore: decorator
@inline function joined(high: v128, low: v128, sums: usize): v128 {
  return i32x4.sub(i32x4.add(i32x4.shl(high, 7), low), i32x4.mul(v128.load(sums), i32x4.splat(OFFSET)));
}

/**
 * The columns that may be among the `count` largest of a row of n values between `lower` and `upper`: those whose upper
 * bound reaches the count-th largest lower bound. Writes them in ascending order to `out` and returns how many there
 * are, or capacity + 1 if there is no room for all. `work` holds `count` floats.
 */
export function mayBeLargest(
  lower: usize,
  upper: usize,
  n: i32,
  count: i32,
  work: usize,
  out: usize,
  capacity: i32,
): i32 {
  const least = count == 1 ? rowMax(lower, n) : nthLargest(lower, n, count, work);
  const floor = f32x4.splat(least);
  let found = 0;
  for (let i = 0; i < n; i += 4) {
    const at = upper + ((<usize>i) << 2);
    if (!v128.any_true(f32x4.ge(v128.load(at), floor))) continue;
    for (let c = i; c < min(i + 4, n); c++) {
      if (load<f32>(upper + ((<usize>c) << 2)) < least) continue;
      if (found == capacity) return capacity + 1;
      store<i32>(out + ((<usize>found) << 2), c);
      found++;
    }
  }
  return found;
}

/** The count-th largest of n >= count floats. `work` keeps the largest so far in ascending order. */
function nthLargest(x: usize, n: i32, count: i32, work: usize): f32 {
  let kept = 0;
  for (let i = 0; i < n; i++) {
    const value = load<f32>(x + ((<usize>i) << 2));
    if (kept == count && value <= load<f32>(work)) continue;
    let at: i32;
    if (kept < count) {
      at = kept++;
      for (; at > 0 && load<f32>(work + ((<usize>(at - 1)) << 2)) > value; at--) {
        store<f32>(work + ((<usize>at) << 2), load<f32>(work + ((<usize>(at - 1)) << 2)));
      }
    } else {
      at = 0;
      for (; at + 1 < count && load<f32>(work + ((<usize>(at + 1)) << 2)) < value; at++) {
        store<f32>(work + ((<usize>at) << 2), load<f32>(work + ((<usize>(at + 1)) << 2)));
      }
    }
    store<f32>(work + ((<usize>at) << 2), value);
  }
  return load<f32>(work);
}
