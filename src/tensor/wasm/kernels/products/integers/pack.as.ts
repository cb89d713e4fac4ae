/**
 * Naive loop: integerValues in src/tensor/integer-rows.ts, equal bit for bit; for rounding, roundToIntegers.
 * Integer weights on their way into panels (bytes.as.ts, nibbles.as.ts) and back to float32. Rows arrive as integers
 * [count][k], a byte each, with a scale and a minimum per group of 32. Memory of a new matrix is zero, and so is
 * padding. Rows of float32 are rounded to int8 in float64, where a product, a sum and a conversion to integers are the
 * same for vectors as one by one.
 */
import { ACROSS_INT8, NIBBLE_CENTRED, NIBBLE_FLOATS, NIBBLE_HALVES } from "../../constants";
import { groupsOf } from "./activations.as";
import { BYTES_HEAD } from "./dots.as";
import { halfOffset, panelBytes } from "../layout.as";
import { highHalf, lanesBelow, maxLane, transpose4 } from "../../simd.as";

/** q [count][k] bytes at `from`, scales and, of int4, minimums [count][k / 32] float32 at `d` and `m`. */
export function packIntegers(
  kind: i32,
  w: usize,
  k: i32,
  first: i32,
  count: i32,
  from: usize,
  d: usize,
  m: usize,
): void {
  if (kind == ACROSS_INT8 && k == 32 && first == 0 && count == 16) {
    packSquare(w, from, d);
    return;
  }
  const panel = panelBytes(kind, k);
  const groups = groupsOf(k);
  const size = panel / groups;
  for (let row = first; row < first + count; row++) {
    const lane = row & 15;
    let to = w + (row >> 4) * panel;
    for (let g = 0; g < groups; g++) {
      const left = min(32, k - (g << 5));
      if (kind == ACROSS_INT8) packBytes(to, lane, left, from, load<f32>(d));
      else packNibbles(kind, size, to, lane, left, from, load<f32>(d), load<f32>(m));
      to += size;
      from += left;
      d += 4;
      m += 4;
    }
  }
}

/** A whole group of sixteen rows, four by four. */
function packSquare(to: usize, from: usize, d: usize): void {
  for (let c: usize = 0; c < 64; c += 4) store<u32>(to + c, (<u32>halfOf(load<f32>(d + c))) << 16);
  for (let c: usize = 0; c < 64; c += 16) {
    const row = from + (c << 3);
    const at = to + BYTES_HEAD + c;
    transpose4(v128.load(row), v128.load(row, 32), v128.load(row, 64), v128.load(row, 96), at, 64);
    transpose4(v128.load(row, 16), v128.load(row, 48), v128.load(row, 80), v128.load(row, 112), at + 256, 64);
    let sum = i32x4.splat(0);
    for (let i: usize = 0; i < 512; i += 64) {
      sum = i32x4.add(sum, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v128.load(at + i))));
    }
    v128.store(to + c, v128.or(v128.load(to + c), v128.and(i32x4.neg(sum), i32x4.splat(0xffff))));
  }
}

function packBytes(to: usize, lane: usize, count: i32, from: usize, d: f32): void {
  let sum = 0;
  const at = to + BYTES_HEAD + (lane << 2);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const four = load<u32>(from + i);
    store<u32>(at + (i << 4), four);
    sum += <i32>(<i8>four) + <i32>(<i8>(four >> 8)) + <i32>(<i8>(four >> 16)) + ((<i32>four) >> 24);
  }
  for (; i < count; i++) {
    const q = load<i8>(from + i);
    sum += q;
    store<i8>(at + ((i >> 2) << 6) + (i & 3), q);
  }
  store<i16>(to + (lane << 2), <i16>-sum);
  store<u16>(to + (lane << 2), halfOf(d), 2);
}

function packNibbles(kind: i32, size: usize, to: usize, lane: usize, count: i32, from: usize, d: f32, m: f32): void {
  if (kind == NIBBLE_CENTRED) store<u16>(to + halfOffset(lane), halfOf(d));
  else if (kind == NIBBLE_HALVES) {
    store<u16>(to + (lane << 2), halfOf(d));
    store<u16>(to + (lane << 2), halfOf(m), 2);
  } else {
    store<f32>(to + (lane << 2), d);
    store<f32>(to + 64 + (lane << 2), m);
  }
  const at = to + size - 256 + (lane << 2);
  let i = 0;
  for (; i + 8 <= count; i += 8) {
    store<u32>(at + (i << 3), load<u32>(from + i) | (load<u32>(from + i, 4) << 4));
  }
  for (; i < count; i++) {
    const byte = at + ((i >> 3) << 6) + (i & 3);
    const q = load<u8>(from + i);
    store<u8>(byte, (i & 4) == 0 ? q | (load<u8>(byte) & 0xf0) : (q << 4) | (load<u8>(byte) & 15));
  }
}

/** Of a lane of a group of nibbles. */
// @ts-ignore: decorator
@inline function scaleOf(kind: i32, group: usize, lane: i32): f32 {
  if (kind == NIBBLE_FLOATS) return load<f32>(group + (lane << 2));
  return floatOf(load<u16>(group + (kind == NIBBLE_CENTRED ? halfOffset(lane) : lane << 2)));
}

// @ts-ignore: decorator
@inline function minimumOf(kind: i32, group: usize, lane: i32): f32 {
  if (kind == NIBBLE_CENTRED) return -8 * scaleOf(kind, group, lane);
  return kind == NIBBLE_HALVES ? floatOf(load<u16>(group + (lane << 2), 2)) : load<f32>(group + (lane << 2), 64);
}

/** Element k of lane `lane` of the panel at w, with groups of `size` bytes. */
export function integerValue(kind: i32, w: usize, size: usize, k: i32, lane: i32): f32 {
  const group = w + (k >> 5) * size;
  const i = k & 31;
  if (kind == ACROSS_INT8) {
    const q = load<i8>(group + BYTES_HEAD + ((i >> 2) << 6) + (lane << 2) + (i & 3));
    return <f32>q * floatOf(load<u16>(group + (lane << 2), 2));
  }
  const d = scaleOf(kind, group, lane);
  const m = minimumOf(kind, group, lane);
  const byte = load<u8>(group + size - 256 + ((i >> 3) << 6) + (lane << 2) + (i & 3));
  return <f32>(<f64>d * <f64>((i & 4) == 0 ? byte & 15 : byte >> 4) + <f64>m);
}

/** Elements [k, k + count) of a lane; k and count are multiples of eight. */
export function integerValues(kind: i32, w: usize, size: usize, k: i32, count: i32, lane: i32, to: usize): void {
  const at = lane << 2;
  for (const end = k + count; k < end; k += 8) {
    const group = w + (k >> 5) * size;
    const eight = (k & 31) >> 3;
    if (kind == ACROSS_INT8) {
      const d = f32x4.splat(floatOf(load<u16>(group + at, 2)));
      const q = group + BYTES_HEAD + (eight << 7) + at;
      v128.store(to, f32x4.mul(fourBytes(v128.load32_zero(q)), d));
      v128.store(to, f32x4.mul(fourBytes(v128.load32_zero(q, 64)), d), 16);
    } else {
      const d = scaleOf(kind, group, lane);
      const m = minimumOf(kind, group, lane);
      const word = load<u32>(group + size - 256 + (eight << 6) + at);
      storeNibbles(to, word & 0x0f0f0f0f, d, m);
      storeNibbles(to + 16, (word >> 4) & 0x0f0f0f0f, d, m);
    }
    to += 32;
  }
}

// @ts-ignore: decorator
@inline function fourBytes(q: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(q)));
}

/** d·q + m of four bytes, rounded once. */
// @ts-ignore: decorator
@inline function storeNibbles(to: usize, q: u32, d: f32, m: f32): void {
  const four = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(i32x4.splat(q)));
  const scale = f64x2.splat(d);
  const least = f64x2.splat(m);
  const low = f64x2.add(f64x2.mul(f64x2.convert_low_i32x4_s(four), scale), least);
  const high = f64x2.add(f64x2.mul(f64x2.convert_low_i32x4_s(highHalf(four)), scale), least);
  v128.store64_lane(to, f32x4.demote_f64x2_zero(low), 0);
  v128.store64_lane(to, f32x4.demote_f64x2_zero(high), 0, 8);
}

const LARGEST_HALF: f64 = 65504;
const SMALLEST_NORMAL_HALF: f64 = 0.00006103515625; // 2^-14

/**
 * Rounds `count` rows of k values at `from` to bytes at `to` [count][k], and scales at `d`, float32 [count][k / 32]. Up
 * to three bytes after the last are written too.
 */
export function roundBytes(from: usize, k: i32, count: i32, to: usize, d: usize): void {
  for (; count > 0; count--) {
    for (let left = k; left > 0; left -= 32) {
      const n = min(32, left);
      const scale = f64x2.extract_lane(toHalves(f64x2.splat(largestOf(from, n) / 127)), 0);
      const inverse = f64x2.splat(scale == 0 ? 0 : 1 / scale);
      store<f32>(d, <f32>scale);
      for (let i = 0; i < n; i += 4) roundFour(from + (i << 2), inverse, to + i);
      from += n << 2;
      to += n;
      d += 4;
    }
  }
}

const SIGNS: u64 = 0x8000000000000000;
/** 15, 0.5 and 0 of two lanes, which loops need in registers (dots.as.ts). */
const LIMITS = memory.data<f64>([15, 15, 0.5, 0.5, 0, 0], 16);

/**
 * Rounds n <= 32 values of two rows, at x0 and x1, to nibbles at `to0` and `to1`, with scales at d0 and d1 and minimums
 * 64 bytes behind; a lane of float64 for each row. `pairs` holds both rows' values.
 */
export function roundNibbles(
  x0: usize,
  x1: usize,
  n: i32,
  pairs: usize,
  to0: usize,
  to1: usize,
  d0: usize,
  d1: usize,
): void {
  const end = pairs + (n << 4);
  let low = f64x2.splat(Infinity);
  let high = f64x2.splat(-Infinity);
  let w1 = f64x2.splat(0);
  for (let at = pairs; at != end; at += 16) {
    const v = f64x2.replace_lane(f64x2.splat(<f64>load<f32>(x0)), 1, <f64>load<f32>(x1));
    v128.store(at, v);
    low = f64x2.pmin(low, v);
    high = f64x2.pmax(high, v);
    w1 = f64x2.add(w1, v);
    x0 += 4;
    x1 += 4;
  }
  const range = f64x2.sub(high, low);
  const count = f64x2.splat(<f64>n);
  const most = v128.load(LIMITS);
  const half = v128.load(LIMITS, 16);
  const zero = v128.load(LIMITS, 32);
  let best = f64x2.splat(Infinity);
  let bestScale = zero;
  let bestMinimum = zero;
  let q1 = zero;
  let q2 = zero;
  let qw = zero;
  for (let i = 0; i < 6; i++) {
    let scale: v128;
    let minimum: v128;
    let isLine = f64x2.eq(zero, zero);
    if ((i & 1) == 0) {
      const part: f64 = i == 0 ? 1 : i == 2 ? 0.93 : 0.86;
      scale = f64x2.div(f64x2.mul(f64x2.splat(part), range), f64x2.splat(15));
      minimum = f64x2.add(low, f64x2.div(f64x2.mul(f64x2.splat(1 - part), range), f64x2.splat(2)));
    } else {
      // the least-squares line through the integers of the line before
      const spread = f64x2.sub(f64x2.mul(count, q2), f64x2.mul(q1, q1));
      scale = f64x2.div(f64x2.sub(f64x2.mul(count, qw), f64x2.mul(q1, w1)), spread);
      minimum = f64x2.div(f64x2.sub(w1, f64x2.mul(scale, q1)), count);
      isLine = v128.and(f64x2.ne(spread, zero), f64x2.gt(scale, zero));
    }
    scale = toHalves(scale);
    minimum = toHalves(minimum);
    const inverse = inverseOf(scale);
    let error = zero;
    q1 = zero;
    q2 = zero;
    qw = zero;
    for (let at = pairs; at != end; at += 16) {
      const v = v128.load(at);
      const q = nibbleOf(v, minimum, inverse, most, half, zero);
      const off = f64x2.sub(v, f64x2.add(f64x2.mul(scale, q), minimum));
      error = f64x2.add(error, f64x2.mul(off, off));
      q1 = f64x2.add(q1, q);
      q2 = f64x2.add(q2, f64x2.mul(q, q));
      qw = f64x2.add(qw, f64x2.mul(q, v));
    }
    const better = v128.and(isLine, f64x2.lt(error, best));
    best = v128.bitselect(error, best, better);
    bestScale = v128.bitselect(scale, bestScale, better);
    bestMinimum = v128.bitselect(minimum, bestMinimum, better);
  }
  const inverse = inverseOf(bestScale);
  for (let at = pairs; at != end; at += 16) {
    const q = nibbleOf(v128.load(at), bestMinimum, inverse, most, half, zero);
    store<u8>(to0++, <u8>f64x2.extract_lane(q, 0));
    store<u8>(to1++, <u8>f64x2.extract_lane(q, 1));
  }
  store<f32>(d0, <f32>f64x2.extract_lane(bestScale, 0));
  store<f32>(d1, <f32>f64x2.extract_lane(bestScale, 1));
  store<f32>(d0, <f32>f64x2.extract_lane(bestMinimum, 0), 64);
  store<f32>(d1, <f32>f64x2.extract_lane(bestMinimum, 1), 64);
}

// @ts-ignore: decorator
@inline function inverseOf(scale: v128): v128 {
  const zero = f64x2.splat(0);
  return v128.bitselect(zero, f64x2.div(f64x2.splat(1), scale), f64x2.eq(scale, zero));
}

/** The nearest of 0 to 15, halves upward; NaN becomes 0. */
// @ts-ignore: decorator
@inline function nibbleOf(v: v128, minimum: v128, inverse: v128, most: v128, half: v128, zero: v128): v128 {
  const x = f64x2.mul(f64x2.sub(v, minimum), inverse);
  return f64x2.floor(f64x2.add(f64x2.pmin(most, f64x2.pmax(zero, x)), half));
}

/** The nearest finite float16 of two, as `toHalf` in src/tensor/integer-rows.ts. */
function toHalves(x: v128): v128 {
  const sign = v128.and(x, i64x2.splat(SIGNS));
  const size = f64x2.abs(x);
  const small = v128.or(f64x2.sub(f64x2.add(size, f64x2.splat(268435456)), f64x2.splat(268435456)), sign);
  const shifted = f64x2.mul(x, f64x2.splat(4398046511105));
  const normal = f64x2.sub(shifted, f64x2.sub(shifted, x));
  const half = v128.bitselect(small, normal, f64x2.lt(size, f64x2.splat(SMALLEST_NORMAL_HALF)));
  const largest = v128.or(f64x2.splat(LARGEST_HALF), sign);
  return v128.bitselect(largest, half, f64x2.ge(size, f64x2.splat(LARGEST_HALF)));
}

/** NaN counts as nothing. */
function largestOf(x: usize, n: i32): f64 {
  let most = f32x4.splat(0);
  for (; n > 0; n -= 4) {
    most = f32x4.pmax(most, v128.and(f32x4.abs(v128.load(x)), lanesBelow(n)));
    x += 16;
  }
  return <f64>maxLane(most);
}

/** Levels 0 to 254, less 127. NaN is converted to 0. */
// @ts-ignore: decorator
@inline function roundFour(from: usize, inverse: v128, to: usize): void {
  const v = v128.load(from);
  const levels = i64x2.shuffle(roundTwo(v, inverse), roundTwo(highHalf(v), inverse), 0, 2);
  const words = i32x4.sub(levels, i32x4.splat(127));
  const halves = i16x8.narrow_i32x4_s(words, words);
  v128.store32_lane(to, i8x16.narrow_i16x8_s(halves, halves), 0);
}

function roundTwo(v: v128, inverse: v128): v128 {
  const levels = f64x2.add(f64x2.mul(f64x2.promote_low_f32x4(v), inverse), f64x2.splat(127));
  return i32x4.trunc_sat_f64x2_u_zero(f64x2.add(f64x2.min(levels, f64x2.splat(254)), f64x2.splat(0.5)));
}

/** To nearest, ties to even; values beyond 65504 become 65504. */
function halfOf(x: f32): u16 {
  const bits = reinterpret<u32>(x);
  const sign = (bits >> 16) & 0x8000;
  const size = min(abs(x), 65504);
  // Adding a power of two leaves ten bits below it, rounded as float32 rounds.
  const exponent = max(<i32>(reinterpret<u32>(size) >> 23), 113);
  const magic = reinterpret<f32>((<u32>(exponent + 13)) << 23);
  const rounded: f32 = size + magic - magic;
  const scaled = reinterpret<u32>(<f32>(rounded * 1.925929944387236e-34)); // 2^-112
  return <u16>(sign | (scaled >> 13));
}

// @ts-ignore: decorator
@inline function floatOf(half: u16): f32 {
  return reinterpret<f32>((((<u32>half) & 0x8000) << 16) | (((<u32>half) & 0x7fff) << 13)) * 5.192296858534828e33;
}
