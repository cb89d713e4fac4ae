/**
 * Naive loop: linear in src/tensor/reference/products.ts, which sums in float64.
 * Products: y = x·Wᵀ + bias + residual for packed weights, and the general matrix product, both on the tiles of
 * tiles.as.ts. Two ways, by the number of rows:
 *   up to sixteen   W is read once, at some places in turns: with few rows the speed of memory is the limit
 *   more            blocked: a block of x stays in the second-level cache while every panel passes by (blocked.as.ts)
 * Sums of floats begin with bias and residual. Blocks of k continue from the sums so far, so the order of addition, and
 * every bit, is that of the plain loop. `begin` and `end` bound the panels (columns / 16) that are computed: the unit
 * of work for threads.
 */
import { PANELS_BF16, PANELS_F32 } from "../constants";
import { multiply } from "./blocked.as";
import { KEPT_SUMS, panelAt } from "./layout.as";
import { startRows } from "./start-rows.as";
import { copyFloats } from "../simd.as";
import { halves1x32, oneRow, single, tile1x32, twoRows } from "./tiles.as";

/** With up to this many rows, W is streamed; with more, arithmetic limits. */
const STREAM_ROWS = 16;
/**
 * Inner indices of a turn: 2 KiB of a panel, from a multiple of that on, as REGION in integers/linear.as.ts.
 * Prefetchers run ahead at each place, and processors differ in how many they follow best, so `places` is 1 to 4, and
 * src/tensor/wasm/places.ts chooses by the clock.
 */
const TURN = 32;

/** For inner size k: the sums, then x. */
export function streamBytes(k: i32): usize {
  return ((KEPT_SUMS << 4) + STREAM_ROWS * k) << 2;
}

/** Smaller matrices, read at one place, belong to models that fit the caches: pieces as long as panels. */
const STREAM_WEIGHTS = 1 << 18;

/**
 * y [rows, n] = x [rows, k] · Wᵀ + bias [n] + residual [rows, n]. `kind` is PANELS_F32 or PANELS_BF16; an address of 0
 * means no bias or no residual.
 *
 * Up to STREAM_ROWS rows read W at places a part of the range apart, in pieces that all use in turn: the first two wait
 * for memory, the others find the piece in the first-level cache. A place is a pair of panels, which keeps the
 * multiplier busy with one row as well, or, of several places, one panel of float32: pairs are slower to read from
 * memory.
 *
 * Rows of x are copied side by side: distances between rows of a matrix are often multiples of 4096, and such rows
 * compete for the same few places of that cache. Sums of some panels, [places][rows][columns], are kept and written out
 * together: each row of y at each place would be a stream of memory among those of W.
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
  places: i32,
  begin: i32,
  end: i32,
): void {
  if (rows == 0 || rows > STREAM_ROWS) {
    startRows(y + (begin << 6), n << 2, bias, residual, rows, n, begin << 4, (end - begin) << 4);
    multiply(kind, w, x, k << 2, 4, y, rows, n, k, work, begin, end);
    return;
  }
  const halves = kind == PANELS_BF16;
  const pair = <i32>(halves || places == 1);
  if (halves && (begin & 1) != 0 && end > begin + 1) {
    linear(kind, w, x, y, bias, residual, rows, n, k, work, 1, begin, begin + 1); // half a pair
    begin++;
  }
  const part = ((((end - begin + pair) >> pair) + places - 1) / places) << pair;
  const most = (KEPT_SUMS / (places * rows) - 1) & ~1;
  const yRow: usize = (most + 1) << 6; // an odd number of cache lines: rows do not compete
  const turn = places == 1 && n * k < STREAM_WEIGHTS ? k : TURN;
  const pieces = turn == k ? x : packPieces(x, rows, k, turn, work + (KEPT_SUMS << 6));
  const last = begin + part;
  for (; begin < last; begin += most) {
    const some = min(most, last - begin);
    let to = work;
    for (let p = begin; p < end; p += part) {
      startRows(to, yRow, bias, residual, rows, n, p << 4, min(some, end - p) << 4);
      to += rows * yRow;
    }
    for (let i = 0; i < some; i += 1 << pair) {
      let from = pieces;
      for (let k0 = 0; k0 < k; k0 += turn) {
        const kn = min(turn, k - k0);
        to = work + (i << 6);
        for (let p = begin + i; p < end; p += part) {
          const at = panelAt(kind, w, p, k) + (k0 << 6);
          const both = pair != 0 && p + 1 < end;
          if (halves) pieceRows(true, at, at + 32, both, from, to, yRow, rows, kn);
          else pieceRows(false, at, at + (k << 6), both, from, to, yRow, rows, kn);
          to += rows * yRow;
        }
        from += (rows * kn) << 2;
      }
    }
    to = work;
    for (let p = begin; p < end; p += part) {
      const columns = min(min(some, end - p) << 4, n - (p << 4));
      let own = y + (p << 6);
      for (let r = 0; r < rows; r++) {
        copyFloats(own, to, columns);
        own += n << 2;
        to += yRow;
      }
    }
  }
}

/** A piece of a panel, or of `both` of a pair, for rows [rows][k]; the sums [rows] are `yRow` bytes apart. */
// @ts-ignore: decorator
@inline function pieceRows(
  halves: bool,
  w: usize,
  next: usize,
  both: bool,
  x: usize,
  y: usize,
  yRow: usize,
  rows: i32,
  k: i32,
): void {
  for (; rows >= 2; rows -= 2) {
    let panel = w;
    let to = y;
    for (let left = both ? 2 : 1; left > 0; left--) {
      twoRows(halves, panel, 64, x, k << 2, 4, to, yRow, k);
      panel = next;
      to += 64;
    }
    x += k << 3;
    y += yRow << 1;
  }
  if (rows == 0) return;
  if (!both) oneRow(halves, w, 64, x, 4, y, k);
  else if (halves) halves1x32(w, x, y, k);
  else tile1x32(w, next, x, y, k);
}

/** x [rows, k] -> [k / turn][rows][turn]; the last piece may be shorter. */
function packPieces(x: usize, rows: i32, k: i32, turn: i32, pieces: usize): usize {
  let to = pieces;
  for (let k0 = 0; k0 < k; k0 += turn) {
    const kn = min(turn, k - k0);
    for (let r = 0; r < rows; r++) {
      copyFloats(to, x + ((r * k + k0) << 2), kn);
      to += kn << 2;
    }
  }
  return pieces;
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
      startRows(work, 64, bias, 0, 1, n, open << 4, 16);
      single(kind == PANELS_BF16, panelAt(kind, w, open, k), 64, x, 4, work, k);
    }
    store<f32>(y + (i << 2), load<f32>(work + ((id & 15) << 2)));
  }
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
  startRows(y + (begin << 6), n << 2, 0, 0, m, n, begin << 4, (end - begin) << 4);
  if (transposed) multiply(kind, b, a, 4, m << 2, y, m, n, k, work, begin, end);
  else multiply(kind, b, a, k << 2, 4, y, m, n, k, work, begin, end);
}
