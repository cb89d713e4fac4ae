/**
 * A panel of integer weights as the tiles of many rows read it (tile.as.ts): scales, minimums and starts as 32-bit
 * numbers, a head of 192 bytes a group,
 *   [start: 16 int32][d: 16 float32][m: 16 float32]
 * and nibbles as bytes. Bytes are read where they are. This is done once for all rows of a block.
 */
import { BYTES_HEAD, constants, HALF_HEAD, halves, highNibbles, HALF_MASK, HALF_FACTOR, NIBBLE_MASK } from "./dots.as";

/** Bytes of the head of a group. */
export const SPREAD_HEAD: usize = 192;
/** Bytes of the weights of a group. */
export const SPREAD_GROUP: usize = 512;

/** Working memory of one panel. */
export function spreadBytes(groups: i32): usize {
  return <usize>groups * (SPREAD_HEAD + SPREAD_GROUP);
}

/** The heads of a panel of int8 weights. */
export function spreadHeads(w: usize, groups: i32, to: usize): void {
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  for (; groups > 0; groups--) {
    for (let i: usize = 0; i < 64; i += 16) {
      v128.store(to + i, i32x4.shl(v128.load_ext<i16>(w + (i >> 1)), 6));
      v128.store(to + i, halves(w + 32 + (i >> 1), mask, factor), 64);
    }
    w += BYTES_HEAD + SPREAD_GROUP;
    to += SPREAD_HEAD;
  }
}

/** Heads and weights of a panel of int4 weights; `half`: d and m are float16. */
export function spreadNibbles(half: bool, w: usize, groups: i32, heads: usize, q: usize): void {
  const mask = v128.load(constants + HALF_MASK);
  const factor = v128.load(constants + HALF_FACTOR);
  const low = v128.load(constants + NIBBLE_MASK);
  for (; groups > 0; groups--) {
    if (half) {
      for (let i: usize = 0; i < 128; i += 16) v128.store(heads + i, halves(w + (i >> 1), mask, factor), 64);
      w += HALF_HEAD;
    } else {
      for (let i: usize = 0; i < 128; i += 16) v128.store(heads + i, v128.load(w + i), 64);
      w += 2 * HALF_HEAD;
    }
    for (const end = q + SPREAD_GROUP; q != end; q += 128) {
      for (let i: usize = 0; i < 64; i += 16) {
        const v = v128.load(w + i);
        v128.store(q + i, v128.and(v, low));
        v128.store(q + i, highNibbles(v, low), 64);
      }
      w += 64;
    }
    heads += SPREAD_HEAD;
  }
}
