/**
 * The layout of keys and values, and the kernels that bring them into it and read them back. Positions lie in blocks,
 * each with all heads:
 *   keys    [T/16][G][D][16]         a lane owns a position and adds over the head size: no sums across lanes, any D
 *   values  [T/64][G][D/16][64][16]  a lane owns an output column and adds over positions
 * What has been written lies in one piece whatever the capacity, so a pass over few rows reads it front to back: all
 * heads of a block, then the next block.
 */
import { rotate } from "./rope.as";
import { packMatrix, packTransposed } from "../products/index.as";
import { copyFloats } from "../simd.as";

/** Positions per block of values. */
export const BLOCK = 64;

// @ts-ignore: decorator
@inline export function up16(n: i32): i32 {
  return (n + 15) & -16;
}

/** Bytes of the keys of one head for `capacity` positions. */
export function keyBytes(capacity: i32, d: i32): usize {
  return (<usize>up16(capacity) * <usize>d) << 2;
}

/** Bytes of the values of one head for `capacity` positions. */
export function valueBytes(capacity: i32, d: i32): usize {
  return <usize>((capacity + BLOCK - 1) / BLOCK) * blockBytes(d);
}

// @ts-ignore: decorator
@inline function blockBytes(d: i32): usize {
  return (<usize>(BLOCK * up16(d))) << 2;
}

/** Where the keys of head g begin for the sixteen positions around t; `groups` heads lie side by side. */
// @ts-ignore: decorator
@inline export function keyPanel(keys: usize, groups: i32, g: i32, d: i32, t: i32): usize {
  return keys + ((<usize>((t >> 4) * groups + g) * <usize>d) << 6);
}

/** Where the values of head g begin at position t; the next sixteen columns begin BLOCK · 64 bytes later. */
// @ts-ignore: decorator
@inline export function valueAt(values: usize, groups: i32, g: i32, d: i32, t: i32): usize {
  return values + <usize>((t / BLOCK) * groups + g) * blockBytes(d) + ((<usize>(t % BLOCK)) << 6);
}

/** Stores kv [rows, 2·G·d], keys (rotated) then values, at `positions` of the cache. `work` holds d floats. */
export function cacheWrite(
  kv: usize,
  keys: usize,
  values: usize,
  d: i32,
  groups: i32,
  rows: i32,
  positions: usize,
  cos: usize,
  sin: usize,
  half: i32,
  work: usize,
): void {
  const head = (<usize>d) << 2;
  for (let r = 0; r < rows; r++) {
    const t = load<i32>(positions + ((<usize>r) << 2));
    const table = (<usize>t * <usize>half) << 2;
    for (let g = 0; g < groups; g++) {
      rotate(kv, work, d, cos + table, sin + table, half, 1, 0);
      let to = keyPanel(keys, groups, g, d, t) + ((<usize>(t & 15)) << 2);
      for (let i = 0; i < d; i++) {
        store<f32>(to, load<f32>(work + ((<usize>i) << 2)));
        to += 64;
      }
      const value = kv + <usize>groups * head;
      to = valueAt(values, groups, g, d, t);
      for (let c = 0; c < d; c += 16) {
        copyFloats(to, value + ((<usize>c) << 2), min(16, d - c));
        to += BLOCK << 6;
      }
      kv += head;
    }
    kv += <usize>groups * head;
  }
}

/** Keys and values of positions [begin, end) as rows [G·d]. */
export function cacheRead(
  keys: usize,
  values: usize,
  d: i32,
  groups: i32,
  begin: i32,
  end: i32,
  toKeys: usize,
  toValues: usize,
): void {
  for (let t = begin; t < end; t++) {
    for (let g = 0; g < groups; g++) {
      const key = keyPanel(keys, groups, g, d, t) + ((<usize>(t & 15)) << 2);
      const value = valueAt(values, groups, g, d, t);
      for (let i = 0; i < d; i++) {
        store<f32>(toKeys, load<f32>(key + ((<usize>i) << 6)));
        store<f32>(toValues, load<f32>(value + <usize>(((i >> 4) * BLOCK) << 6) + ((<usize>(i & 15)) << 2)));
        toKeys += 4;
        toValues += 4;
      }
    }
  }
}

/** One head of [T, G, d] -> [T/16][d][16]. */
export function packOverTime(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  const row = (<usize>groups * <usize>d) << 2;
  for (let t = 0; t < time; t += 16) {
    packTransposed(x + <usize>t * row, row, min(16, time - t), d, to + ((<usize>t * <usize>d) << 2));
  }
}

/** One head of [T, G, d] -> [T/64][d/16][64][16]. */
export function packOverColumns(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  for (let t = 0; t < time; t += BLOCK) {
    for (let c = 0; c < d; c += 16) {
      packMatrix(x, groups * d, c, t, min(BLOCK, time - t), valueAt(to, 1, 0, d, t) + <usize>((c * BLOCK) << 2));
    }
  }
}
