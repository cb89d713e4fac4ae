/**
 * Naive loop: movementKernels in src/tensor/reference/movement.ts, which sums in float64.
 * Kernels that move floats or add them up: columns, gathers, their transposes, and sums over axes. Indices are int32 in
 * memory.
 */
import { addWide, copyFloats, lanesBelow, storeTail, sumWide } from "./simd.as";
import { sumRow } from "./rows.as";

/** `fromRow` and `toRow` are the distances between rows, in floats. */
export function copyRows(from: usize, fromRow: i32, to: usize, toRow: i32, rows: i32, n: i32): void {
  for (let r = 0; r < rows; r++) {
    copyFloats(to + ((r * toRow) << 2), from + ((r * fromRow) << 2), n);
  }
}

/** y [count, n] = rows ids of table [.., n]. */
export function gather(table: usize, ids: usize, y: usize, count: i32, n: i32): void {
  for (let i = 0; i < count; i++) {
    copyFloats(y + ((i * n) << 2), table + ((load<i32>(ids + (i << 2)) * n) << 2), n);
  }
}

/** Adds row i of dy [count, n] to row ids[i] of y, in the order of i. */
export function scatterAdd(dy: usize, ids: usize, y: usize, count: i32, n: i32): void {
  for (let i = 0; i < count; i++) {
    addFloats(y + ((load<i32>(ids + (i << 2)) * n) << 2), dy + ((i * n) << 2), n);
  }
}

function addFloats(to: usize, from: usize, n: i32): void {
  for (; n >= 4; n -= 4) {
    v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
    to += 16;
    from += 16;
  }
  if (n > 0) storeTail(to, f32x4.add(v128.load(to), v128.load(from)), n);
}

/** y[r, i] = x[r, ids[r, i]] */
export function takeAlongRows(x: usize, ids: usize, y: usize, rows: i32, n: i32, k: i32): void {
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < k; i++) {
      store<f32>(y, load<f32>(x + (load<i32>(ids) << 2)));
      ids += 4;
      y += 4;
    }
    x += n << 2;
  }
}

/** x[r, ids[r, i]] += dy[r, i] */
export function takeAlongRowsBackward(dy: usize, ids: usize, x: usize, rows: i32, n: i32, k: i32): void {
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < k; i++) {
      const at = x + (load<i32>(ids) << 2);
      store<f32>(at, load<f32>(at) + load<f32>(dy));
      ids += 4;
      dy += 4;
    }
    x += n << 2;
  }
}

/**
 * Adds x onto y: `axes` holds sizes of x, strides of y (0 on summed axes) and a counter, rank int32 each; the last axis
 * has stride 0 (a row is summed) or 1 (added).
 */
export function sumTo(x: usize, y: usize, rank: i32, axes: usize, rows: i32): void {
  const last = axes + ((rank - 1) << 2);
  const axis = rank << 2;
  const n = load<i32>(last);
  const step = load<i32>(last + axis);
  memory.fill(axes + 2 * axis, 0, axis);
  for (let row = 0; row < rows; row++) {
    if (step == 0) store<f32>(y, <f32>(<f64>load<f32>(y) + sumRow(x, n)));
    else addFloats(y, x, n);
    x += n << 2;
    for (let at = last - 4; at >= axes; at -= 4) {
      const count = load<i32>(at + 2 * axis) + 1;
      const stride = load<i32>(at + axis);
      y += stride << 2;
      if (count < load<i32>(at)) {
        store<i32>(at + 2 * axis, count);
        break;
      }
      y -= (stride * count) << 2;
      store<i32>(at + 2 * axis, 0);
    }
  }
}

/** Σ x_i² in float64, rounded once. */
export function sumSquares(x: usize, n: i32, y: usize): void {
  let sums = f32x4.splat(0);
  for (; n >= 4; n -= 4) {
    const v = v128.load(x);
    sums = addWide(sums, f32x4.mul(v, v));
    x += 16;
  }
  if (n > 0) sums = addWide(sums, v128.and(f32x4.mul(v128.load(x), v128.load(x)), lanesBelow(n)));
  store<f32>(y, <f32>sumWide(sums));
}
