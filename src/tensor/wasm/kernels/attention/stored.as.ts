/**
 * Keys and values in float32, bfloat16 or int8. Panels of smaller types are widened into working memory just before
 * use, so results are those of a float32 cache of the rounded values.
 *   float32   as it is
 *   bfloat16  to nearest, ties to even; sixteen lanes as in a weight panel (panels.as.ts)
 *   int8      x ≈ q · s, s = max |x| / 127 over the D values of one head at one position. The scales, float32, follow
 *             the sixteen positions of a panel of keys, and the sixty-four of a block of values.
 */
import { CACHE_BF16, CACHE_F32 } from "../constants";
import { copyFloats } from "../simd.as";
import { halfOffset, roundToHalf, unpackHalves } from "../products/panels.as";

/** Positions per block of values. */
export const BLOCK = 64;

// @ts-ignore: decorator
@inline export function up16(n: i32): i32 {
  return (n + 15) & -16;
}

// @ts-ignore: decorator
@inline export function keyPanelBytes(kind: i32, d: i32): usize {
  return kind == CACHE_F32 ? d << 6 : kind == CACHE_BF16 ? d << 5 : (d << 4) + 64;
}

// @ts-ignore: decorator
@inline export function valueBlockBytes(kind: i32, d: i32): usize {
  const size = BLOCK * up16(d);
  return kind == CACHE_F32 ? size << 2 : kind == CACHE_BF16 ? size << 1 : size + (BLOCK << 2);
}

/** For one widened panel of keys, or sixteen columns of a block of values. */
export function roomBytes(d: i32): usize {
  return max(d, BLOCK) << 6;
}

/** Stores a head's key, d floats, as position `lane` of a panel. */
export function writeKey(kind: i32, key: usize, panel: usize, d: i32, lane: i32): void {
  if (kind == CACHE_F32) {
    for (let i = 0; i < d; i++) {
      store<f32>(panel + (i << 6) + (lane << 2), load<f32>(key + (i << 2)));
    }
  } else if (kind == CACHE_BF16) {
    const to = panel + halfOffset(lane);
    for (let i = 0; i < d; i++) store<u16>(to + (i << 5), roundToHalf(load<u32>(key + (i << 2))));
  } else {
    const scale = scaleOf(key, d);
    store<f32>(panel + (d << 4) + (lane << 2), scale);
    const to = panel + lane;
    for (let i = 0; i < d; i++) store<i8>(to + (i << 4), quantized(load<f32>(key + (i << 2)), scale));
  }
}

/** Stores a head's value, d floats, as position `row` of a block. */
export function writeValue(kind: i32, value: usize, block: usize, d: i32, row: i32): void {
  if (kind == CACHE_F32) {
    const to = block + (row << 6);
    for (let c = 0; c < d; c += 16) {
      copyFloats(to + ((c * BLOCK) << 2), value + (c << 2), min(16, d - c));
    }
  } else if (kind == CACHE_BF16) {
    const to = block + (row << 5);
    for (let i = 0; i < d; i++) {
      const at = to + (((i & -16) * BLOCK) << 1) + halfOffset(i & 15);
      store<u16>(at, roundToHalf(load<u32>(value + (i << 2))));
    }
  } else {
    const scale = scaleOf(value, d);
    store<f32>(block + BLOCK * up16(d) + (row << 2), scale);
    const to = block + (row << 4);
    for (let i = 0; i < d; i++) {
      const at = to + (i & -16) * BLOCK + (i & 15);
      store<i8>(at, quantized(load<f32>(value + (i << 2)), scale));
    }
  }
}

function scaleOf(x: usize, n: i32): f32 {
  let largest: f32 = 0;
  for (let i = 0; i < n; i++) largest = max(largest, abs(load<f32>(x + (i << 2))));
  return largest / 127;
}

/** x / scale to the nearest integer, halves upwards. */
// @ts-ignore: decorator
@inline function quantized(x: f32, scale: f32): i8 {
  return scale == 0 ? 0 : <i8>floor<f64>(<f64>x / <f64>scale + 0.5);
}

/** A panel of keys as float32 [d][16]: in place, or a copy in `room`. */
// @ts-ignore: decorator
@inline export function readableKeys(kind: i32, panel: usize, d: i32, room: usize): usize {
  if (kind == CACHE_F32) return panel;
  if (kind == CACHE_BF16) unpackHalves(panel, 32, d, room);
  else widenKeys(panel, d, room);
  return room;
}

/** Columns [c, c + 16) of a block of values as float32 [n][16]: in place, or a copy in `room`. */
// @ts-ignore: decorator
@inline export function readableValues(kind: i32, block: usize, d: i32, c: i32, n: i32, room: usize): usize {
  const at = c * BLOCK;
  if (kind == CACHE_F32) return block + (at << 2);
  if (kind == CACHE_BF16) unpackHalves(block + (at << 1), 32, n, room);
  else widenValues(block + at, block + BLOCK * up16(d), n, room);
  return room;
}

/** The scales belong to the lanes. */
function widenKeys(panel: usize, d: i32, to: usize): void {
  const scales = panel + (d << 4);
  const s0 = v128.load(scales);
  const s1 = v128.load(scales, 16);
  const s2 = v128.load(scales, 32);
  const s3 = v128.load(scales, 48);
  for (let i = 0; i < d; i++) {
    widen(v128.load(panel), s0, s1, s2, s3, to);
    panel += 16;
    to += 64;
  }
}

/** The scales belong to the rows. */
function widenValues(rows: usize, scales: usize, n: i32, to: usize): void {
  for (let i = 0; i < n; i++) {
    const s = v128.load32_splat(scales);
    widen(v128.load(rows), s, s, s, s, to);
    rows += 16;
    scales += 4;
    to += 64;
  }
}

/** Sixteen int8 times their scales, as float32. */
// @ts-ignore: decorator
@inline function widen(q: v128, s0: v128, s1: v128, s2: v128, s3: v128, to: usize): void {
  const low = i16x8.extend_low_i8x16_s(q);
  const high = i16x8.extend_high_i8x16_s(q);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), s0));
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), s1), 16);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), s2), 32);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), s3), 48);
}
