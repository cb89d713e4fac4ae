/**
 * Naive loop: linear in src/tensor/reference/products.ts, which sums in float64.
 * Products: y = x·Wᵀ + bias + residual for packed weights, and the general matrix product, both on the tiles of
 * tiles.as.ts. Three ways, by the number of rows:
 *   one row       W is read once, at two places: the speed of memory is the limit (few-rows.as.ts)
 *   a few rows    the same; a large W in pieces that all rows use while the next pieces are on their way
 *   many rows     blocked: a block of x stays in the second-level cache while every panel passes by (blocked.as.ts)
 * Bias and residual are written first and the sums added onto them. Blocks of k continue from the sums so far, so the
 * order of addition, and every bit, is that of the plain loop. `begin` and `end` bound the panels (columns / 16) that
 * are computed: the unit of work for threads.
 */
import { PANELS_BF16 } from "../constants";
import { multiply } from "./blocked.as";
import { pairedPanels, STREAM_ROWS, streamPanels, TURN, wholePanels } from "./few-rows.as";
import { panelAt } from "./layout.as";
import { startRows } from "./start-rows.as";

/** With up to this many rows, x is read where it lies. */
const FEW_ROWS = 16;
/** Matrices with fewer weights belong to models that fit the caches. */
const STREAM_WEIGHTS = 1 << 18;

/**
 * y [rows, n] = x [rows, k] · Wᵀ + bias [n] + residual [rows, n]. `kind` is PANELS_F32 or PANELS_BF16; an address of 0
 * means no bias or no residual.
 */
export function linear(
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
  const cached = small(n, k);
  if (rows > FEW_ROWS) multiply(kind, w, x, k << 2, 4, y, rows, n, k, work, begin, end);
  else if (rows > 1 && rows <= STREAM_ROWS && !cached) streamPanels(kind, w, x, y, rows, n, k, work, begin, end);
  else if (rows == 1 && (kind == PANELS_BF16 || !cached)) {
    pairedPanels(kind, w, x, y, n, k, cached ? k : TURN, begin, end);
  } else wholePanels(kind, w, x, y, rows, n, k, begin, end);
}

/**
 * Entries `ids`, ascending, of the row that `linear` computes from one row of x, with its bits: panels without entries
 * are not read. `n`: all entries of the row; `work` holds sixteen floats.
 */
export function linearAt(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  bias: usize,
  ids: usize,
  count: i32,
  n: i32,
  k: i32,
  work: usize,
): void {
  let open = -1;
  for (let i = 0; i < count; i++) {
    const id = load<i32>(ids + (i << 2));
    if (id >> 4 != open) {
      open = id >> 4;
      const columns = min(16, n - (open << 4));
      startRows(work, bias == 0 ? 0 : bias + (open << 6), 0, 1, columns, 0, 1);
      wholePanels(kind, panelAt(kind, w, open, k), x, work, 1, columns, k, 0, 1);
    }
    store<f32>(y + (i << 2), load<f32>(work + ((id & 15) << 2)));
  }
}

// @ts-ignore: decorator
@inline function small(n: i32, k: i32): bool {
  return <i64>n * <i64>k < STREAM_WEIGHTS;
}

/** y [m, n] = op(a) · b for one matrix; `kind` says how b lies. op(a) is [m, k], stored [k, m] if `transposed`. */
export function matmul(
  kind: i32,
  a: usize,
  b: usize,
  y: usize,
  m: i32,
  n: i32,
  k: i32,
  transposed: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  startRows(y, 0, 0, m, n, begin, end);
  if (transposed) multiply(kind, b, a, 4, m << 2, y, m, n, k, work, begin, end);
  else multiply(kind, b, a, k << 2, 4, y, m, n, k, work, begin, end);
}
