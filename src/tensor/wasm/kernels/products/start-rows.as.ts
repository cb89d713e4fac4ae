/** The start of every sum of a product: bias + residual. */
import { copyFloats, storeTail, zeroFloats } from "../simd.as";

/** Columns [16 · begin, 16 · end) of y = bias [n] + residual [rows, n]; an address of 0: there is none. */
export function startRows(y: usize, bias: usize, residual: usize, rows: i32, n: i32, begin: i32, end: i32): void {
  const first = begin << 4;
  const count = min(n, end << 4) - first;
  if (count <= 0) return;
  const row = n << 2;
  const offset = first << 2;
  for (let r = 0; r < rows; r++) {
    const to = y + r * row + offset;
    const from = residual + r * row + offset;
    if (bias != 0 && residual != 0) addRow(to, bias + offset, from, count);
    else if (bias != 0) copyFloats(to, bias + offset, count);
    else if (residual != 0) copyFloats(to, from, count);
    else zeroFloats(to, count);
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
