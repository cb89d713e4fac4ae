/**
 * Naive loop: rope in src/tensor/reference/attention.ts, which computes in float64.
 * Rotary positions: pairs (i, i + half) of a head turn by the angle of their position, from tables of cos and sin.
 */
import { scaleRow } from "../rows.as";
import { storeTail } from "../simd.as";

/** to = rotated x · factor for one head; `cos` and `sin` are the rows of this position, half = 0 rotates nothing. */
export function rotate(
  x: usize,
  to: usize,
  d: i32,
  cos: usize,
  sin: usize,
  half: i32,
  factor: f32,
  inverse: i32,
): void {
  const f = f32x4.splat(factor);
  const far = half << 2;
  for (let i = 0; i < half; i += 4) {
    const at = i << 2;
    const a = v128.load(x + at);
    const b = v128.load(x + far + at);
    const c = v128.load(cos + at);
    let s = v128.load(sin + at);
    if (inverse) s = f32x4.neg(s);
    const left = f32x4.mul(f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), f);
    const right = f32x4.mul(f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), f);
    if (i + 4 <= half) {
      v128.store(to + at, left);
      v128.store(to + far + at, right);
    } else {
      storeTail(to + at, left, half - i);
      storeTail(to + far + at, right, half - i);
    }
  }
  if (2 * half < d) scaleRow(x + 2 * far, to + 2 * far, d - 2 * half, factor);
}

export function rope(
  x: usize,
  positions: usize,
  y: usize,
  cos: usize,
  sin: usize,
  half: i32,
  heads: i32,
  d: i32,
  rows: i32,
  inverse: i32,
): void {
  for (let r = 0; r < rows; r++) {
    const table = (load<i32>(positions + (r << 2)) * half) << 2;
    for (let h = 0; h < heads; h++) {
      rotate(x, y, d, cos + table, sin + table, half, 1, inverse);
      x += d << 2;
      y += d << 2;
    }
  }
}
