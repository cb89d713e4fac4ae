/**
 * The layout of keys and values, and the kernels that bring them into it and read them back. Positions lie in blocks,
 * each with all heads:
 *   keys    [T/16][G][D][16]         a lane owns a position and adds over the head size: no sums across lanes, any D
 *   values  [T/64][G][D/16][64][16]  a lane owns an output column and adds over positions
 * All that is written lies in one piece, so a pass over few rows reads it front to back: all heads of a block, then the
 * next block.
 *
 * Panels of int8 are widened into working memory just before use, those of bfloat16 on their way into the
 * multiplication (products/tiles.as.ts), so results are those of a float32 cache of the rounded values.
 *   float32   as it is
 *   bfloat16  to nearest, ties to even; sixteen lanes as in a weight panel (panels.as.ts)
 *   int8      x ≈ q · s, s = max |x| / 127 over the D values of one head at one position. The scales, float32, follow
 *             the sixteen positions of a panel of keys, and the sixty-four of a block of values.
 */
import { CACHE_BF16, CACHE_F32 } from "../constants";
import { rotate } from "./rope.as";
import { halfOffset } from "../products/layout.as";
import { packMatrix, packTransposed, roundToHalf, unpackHalves } from "../products/panels.as";
import { copyFloats, widen } from "../simd.as";

/** Positions per block of values. */
export const BLOCK = 64;

// @ts-ignore: decorator
@inline export function up16(n: i32): i32 {
  return (n + 15) & -16;
}

// @ts-ignore: decorator
@inline function keyPanelBytes(kind: i32, d: i32): usize {
  return kind == CACHE_F32 ? d << 6 : kind == CACHE_BF16 ? d << 5 : (d << 4) + 64;
}

// @ts-ignore: decorator
@inline function valueBlockBytes(kind: i32, d: i32): usize {
  const size = BLOCK * up16(d);
  return kind == CACHE_F32 ? size << 2 : kind == CACHE_BF16 ? size << 1 : size + (BLOCK << 2);
}

/** For one widened panel of keys, or sixteen columns of a block of values. */
export function roomBytes(d: i32): usize {
  return max(d, BLOCK) << 6;
}

/** Stores a head's key, d floats, as position `lane` of a panel. */
function writeKey(kind: i32, key: usize, panel: usize, d: i32, lane: i32): void {
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
function writeValue(kind: i32, value: usize, block: usize, d: i32, row: i32): void {
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

export function keyBytes(capacity: i32, d: i32, kind: i32): usize {
  return ((capacity + 15) >> 4) * keyPanelBytes(kind, d);
}

export function valueBytes(capacity: i32, d: i32, kind: i32): usize {
  return ((capacity + BLOCK - 1) / BLOCK) * valueBlockBytes(kind, d);
}

/** Keys of head g for the sixteen positions around t; `groups` heads lie side by side. */
// @ts-ignore: decorator
@inline export function keyPanel(keys: usize, groups: i32, g: i32, d: i32, t: i32, kind: i32 = CACHE_F32): usize {
  return keys + ((t >> 4) * groups + g) * keyPanelBytes(kind, d);
}

/** Values of head g for the block of positions around t. */
// @ts-ignore: decorator
@inline export function valueBlock(values: usize, groups: i32, g: i32, d: i32, t: i32, kind: i32): usize {
  return values + ((t / BLOCK) * groups + g) * valueBlockBytes(kind, d);
}

/** float32 values of head g at position t; the next sixteen columns begin BLOCK · 64 bytes later. */
// @ts-ignore: decorator
@inline export function valueAt(values: usize, groups: i32, g: i32, d: i32, t: i32): usize {
  return valueBlock(values, groups, g, d, t, CACHE_F32) + ((t % BLOCK) << 6);
}

/** Stores kv [rows, 2·G·D], keys (rotated) then values, at `positions` of the cache. `work` holds d floats. */
export function cacheWrite(
  kv: usize,
  keys: usize,
  values: usize,
  kind: i32,
  d: i32,
  groups: i32,
  rows: i32,
  positions: usize,
  cos: usize,
  sin: usize,
  half: i32,
  work: usize,
): void {
  const head = d << 2;
  for (let r = 0; r < rows; r++) {
    const t = load<i32>(positions + (r << 2));
    const table = (t * half) << 2;
    for (let g = 0; g < groups; g++) {
      rotate(kv, work, d, cos + table, sin + table, half, 1, 0);
      writeKey(kind, work, keyPanel(keys, groups, g, d, t, kind), d, t & 15);
      writeValue(kind, kv + groups * head, valueBlock(values, groups, g, d, t, kind), d, t % BLOCK);
      kv += head;
    }
    kv += groups * head;
  }
}

/** Keys and values of positions [begin, end) as rows [G·d]. `work` holds `roomBytes`. */
export function cacheRead(
  keys: usize,
  values: usize,
  kind: i32,
  d: i32,
  groups: i32,
  begin: i32,
  end: i32,
  toKeys: usize,
  toValues: usize,
  work: usize,
): void {
  for (let t = begin; t < end; t++) {
    for (let g = 0; g < groups; g++) {
      const panel = readableKeys(kind, keyPanel(keys, groups, g, d, t, kind), d, work);
      for (let i = 0; i < d; i++) {
        store<f32>(toKeys, load<f32>(panel + (i << 6) + ((t & 15) << 2)));
        toKeys += 4;
      }
      const block = valueBlock(values, groups, g, d, t, kind);
      for (let c = 0; c < d; c += 16) {
        const columns = min(16, d - c);
        const from = readableValues(kind, block, d, c, BLOCK, work) + ((t % BLOCK) << 6);
        for (let i = 0; i < columns; i++) {
          store<f32>(toValues, load<f32>(from + (i << 2)));
          toValues += 4;
        }
      }
    }
  }
}

/** One head of [T, G, d] -> [T/16][d][16]. */
export function packOverTime(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  const row = (groups * d) << 2;
  for (let t = 0; t < time; t += 16) {
    packTransposed(x + t * row, row, min(16, time - t), d, to + ((t * d) << 2));
  }
}

/** One head of [T, G, d] -> [T/64][d/16][64][16]. */
export function packOverColumns(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  for (let t = 0; t < time; t += BLOCK) {
    for (let c = 0; c < d; c += 16) {
      packMatrix(x, groups * d, c, t, min(BLOCK, time - t), valueAt(to, 1, 0, d, t) + ((c * BLOCK) << 2));
    }
  }
}
