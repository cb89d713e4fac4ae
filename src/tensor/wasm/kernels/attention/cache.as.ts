/**
 * The layout of keys and values, and the kernels that bring them into it and read them back. Positions lie in blocks,
 * each with all heads:
 *   keys    [T/16][G][D][16]         a lane owns a position and adds over the head size: no sums across lanes, any D
 *   values  [T/64][G][D/16][64][16]  a lane owns an output column and adds over positions
 * All that is written lies in one piece, so a pass over few rows reads it front to back: all heads of a block, then the
 * next block. bfloat16 and int8 in these blocks: stored.as.ts.
 */
import { CACHE_F32 } from "../constants";
import { rotate } from "./rope.as";
import { packMatrix, packTransposed } from "../products/panels.as";
import { BLOCK, keyPanelBytes, readableKeys, readableValues, valueBlockBytes, writeKey, writeValue } from "./stored.as";

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
