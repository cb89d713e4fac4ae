/** The start of every sum of a product: bias + residual. */
import { copyFloats, storeTail, zeroFloats } from "../simd.as";

/**
 * Columns [first, first + count) of bias [n] + residual [rows, n], those below n, to rows `yRow` bytes apart. An
 * address of 0: there is none.
 */
export function startRows(
  y: usize,
  yRow: usize,
  bias: usize,
  residual: usize,
  rows: i32,
  n: i32,
  first: i32,
  count: i32,
): void {
  count = min(count, n - first);
  if (count <= 0) return;
  const own = bias + (first << 2);
  let from = residual + (first << 2);
  for (; rows > 0; rows--) {
    if (bias != 0 && residual != 0) addRow(y, own, from, count);
    else if (bias != 0) copyFloats(y, own, count);
    else if (residual != 0) copyFloats(y, from, count);
    else zeroFloats(y, count);
    y += yRow;
    from += n << 2;
  }
}

function addRow(to: usize, a: usize, b: usize, n: i32): void {
  for (; n >= 4; n -= 4) {
    v128.store(to, f32x4.add(v128.load(a), v128.load(b)));
    to += 16;
    a += 16;
    b += 16;
  }
  if (n > 0) storeTail(to, f32x4.add(v128.load(a), v128.load(b)), n);
}
