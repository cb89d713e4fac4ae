/**
 * Products with integer weights, from float32 to float32: rows are quantized in blocks (activations.as.ts), every panel
 * multiplies a block (bytes.as.ts, nibbles.as.ts), and the sums are added onto y:
 *   y [rows, n] = (bias + residual) + (x · Wᵀ)
 */
import { GROUP, groupsOf, integerRowBytes, quantizeRows } from "./activations.as";
import { integerPanel, paddedRows } from "./panel.as";
import { NIBBLE_HALVES, panelBytes } from "../panels.as";
import { startRows } from "../products.as";
import { loadTail, storeTail } from "../../simd.as";

/** Rows of a block: its quantized rows stay in the second-level cache while panels pass by. */
const BLOCK = 128;

/** Working memory of a product: a padded group, sums with a panel, and quantized rows. */
export function integerWorkBytes(rows: i32, k: i32): usize {
  const groups = groupsOf(k);
  return <usize>paddedRows(min(rows, BLOCK)) * (integerRowBytes(groups) + 64) + (GROUP << 2);
}

/** Arguments as in `linear`; `kind` is ACROSS_INT8, NIBBLE_HALVES or NIBBLE_FLOATS. */
export function linearIntegers(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  bias: usize,
  residual: usize,
  rows: i32,
  n: i32,
  k: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  startRows(y, bias, residual, rows, n, begin, end);
  const groups = groupsOf(k);
  const panel = panelBytes(kind, k);
  const out = work + (GROUP << 2);
  const padded = <usize>paddedRows(min(rows, BLOCK));
  const rowBytes = integerRowBytes(groups);
  const quantized = out + (padded << 6);
  for (let r0 = 0; r0 < rows; r0 += BLOCK) {
    const rn = min(BLOCK, rows - r0);
    quantizeRows(x + ((<usize>r0 * <usize>k) << 2), rn, k, kind >= NIBBLE_HALVES, quantized, work);
    for (let r = rn; r < paddedRows(rn); r++) {
      memory.copy(quantized + <usize>r * rowBytes, quantized + <usize>(rn - 1) * rowBytes, rowBytes);
    }
    for (let p = begin; p < end; p++) {
      integerPanel(kind, w + <usize>p * panel, quantized, rn, groups, out);
      const columns = min(16, n - (p << 4));
      const to = y + ((<usize>r0 * <usize>n + <usize>(p << 4)) << 2);
      addSums(to, n, out, rn, columns);
    }
  }
}

/**
 * Entries `ids` of the row that `linearIntegers` computes from one row of x, ascending, with its bits. The row is
 * quantized once; panels that hold none of the entries are not read.
 */
export function integersAt(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  bias: usize,
  ids: usize,
  count: i32,
  k: i32,
  work: usize,
): void {
  const groups = groupsOf(k);
  const panel = panelBytes(kind, k);
  const out = work + (GROUP << 2);
  const quantized = out + 64;
  quantizeRows(x, 1, k, kind >= NIBBLE_HALVES, quantized, work);
  let open = -1;
  for (let i = 0; i < count; i++) {
    const id = load<i32>(ids + ((<usize>i) << 2));
    if (id >> 4 != open) {
      open = id >> 4;
      integerPanel(kind, w + <usize>open * panel, quantized, 1, groups, out);
    }
    const start: f32 = bias == 0 ? 0 : load<f32>(bias + ((<usize>id) << 2));
    store<f32>(y + ((<usize>i) << 2), start + load<f32>(out + ((<usize>(id & 15)) << 2)));
  }
}

/** y += sums. */
function addSums(y: usize, n: i32, out: usize, rows: i32, columns: i32): void {
  for (let r = 0; r < rows; r++) {
    let c = 0;
    for (; c + 4 <= columns; c += 4) {
      const at = (<usize>c) << 2;
      v128.store(y + at, f32x4.add(v128.load(y + at), v128.load(out + at)));
    }
    if (c < columns) {
      const at = (<usize>c) << 2;
      const rest = columns - c;
      storeTail(y + at, f32x4.add(loadRest(y + at, rest), v128.load(out + at)), rest);
    }
    y += (<usize>n) << 2;
    out += 64;
  }
}

// @ts-ignore: decorator
@inline function loadRest(p: usize, n: i32): v128 {
  return loadTail(p, n, f32x4.splat(0));
}
