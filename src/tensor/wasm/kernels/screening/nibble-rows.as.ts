/**
 * Naive loop: plainProduct in test/tensor/nibble-rows.test.ts, equal bit for bit.
 * Some rows of a matrix, each in one piece, times one vector of int16.
 */

import { sumLanes } from "../products/integers/activations.as";
import { dotPair } from "../products/integers/dots.as";

/** Rows of which every line is loaded, and a sum stored, before they are multiplied: products wait for one or two. */
const TOGETHER = 64;

/**
 * y_i = coarse_id + d_id · s · (Σ q_id a - 8 Σ a) for `count` ids. A row of W is [d: float32][q: k nibbles]; of 32
 * nibbles, sixteen bytes hold the first sixteen in their low halves. x is [s: float32][8 Σ a: int32][unused: 8 bytes]
 * [a: k int16]. k is a multiple of 32.
 */
export function addNibbleRows(w: usize, k: i32, x: usize, coarse: usize, ids: usize, count: i32, y: usize): void {
  const low = i8x16.splat(15);
  const bytes: usize = 4 + (k >> 1);
  const factor = load<f32>(x);
  const start = load<i32>(x, 4);
  const end = ids + (count << 2);
  let touched = ids;
  for (; ids != end; ids += 4) {
    if (ids == touched) {
      touched = min(end, ids + (TOGETHER << 2));
      let sum = 0;
      for (let next = ids; next != touched; next += 4) {
        const row = w + load<i32>(next) * bytes;
        for (let p = row; p < row + bytes; p += 64) sum += load<i32>(p);
        sum += load<u8>(row + bytes - 1);
      }
      store<i32>(x, sum, 8);
    }
    const id = load<i32>(ids);
    const row = w + id * bytes;
    let p = row + 4;
    let at = x + 16;
    let a = i32x4.splat(0);
    let b = a;
    for (const last = row + bytes; p != last; p += 16) {
      const v = v128.load(p);
      const u = v128.and(v, low);
      const t = i8x16.shr_u(v, 4);
      a = dotPair(i16x8.extend_low_i8x16_u(u), v128.load(at), a);
      b = dotPair(i16x8.extend_high_i8x16_u(u), v128.load(at, 16), b);
      a = dotPair(i16x8.extend_low_i8x16_u(t), v128.load(at, 32), a);
      b = dotPair(i16x8.extend_high_i8x16_u(t), v128.load(at, 48), b);
      at += 64;
    }
    store<f32>(y, load<f32>(coarse + (id << 2)) + <f32>(sumLanes(i32x4.add(a, b)) - start) * (load<f32>(row) * factor));
    y += 4;
  }
}
