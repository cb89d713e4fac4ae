/**
 * Naive loop: linear in src/tensor/reference/products.ts, which sums in float64.
 * Products: y = x·Wᵀ + bias + residual for packed weights, and the general matrix product, both on the tiles of
 * tiles.as.ts. Three ways, by the number of rows:
 *   one row       W is read once, at some places in turns: the speed of memory is the limit, but not in the caches
 *   a few rows    share a panel; of a W larger than the caches, pieces, while the next pieces are on their way
 *   many rows     blocked: a block of x stays in the second-level cache while every panel passes by (blocked.as.ts)
 * Bias and residual are written first and the sums added onto them. Blocks of k continue from the sums so far, so the
 * order of addition, and every bit, is that of the plain loop. `begin` and `end` bound the panels (columns / 16) that
 * are computed: the unit of work for threads.
 */
import { MOST_PLACES, PANELS_BF16, PANELS_F32 } from "../constants";
import { multiply } from "./blocked.as";
import { panelAt } from "./layout.as";
import { startRows } from "./start-rows.as";
import { copyFloats } from "../simd.as";
import { halves1x32, halves2x16, pairRows, single, tile1x16, tile1x32, tileRows } from "./tiles.as";

/** With two to this many rows, W is streamed; with more, arithmetic limits. */
const STREAM_ROWS = 8;
/**
 * Inner indices of a turn: 2 KiB of a panel, from a multiple of that on, as REGION in integers/linear.as.ts.
 * Prefetchers run ahead at each place, and processors differ in how many they follow best, so `places` is 1 to 4, and
 * src/tensor/wasm/places.ts chooses by the clock.
 */
const TURN = 32;

const SUMS: i32 = STREAM_ROWS << 6;

/** For inner size k: the sums of panels, then x. */
export function streamBytes(k: i32): usize {
  return 2 * MOST_PLACES * SUMS + ((STREAM_ROWS * k) << 2);
}

/**
 * One row, at places a part of the range apart, in turns. A place is a panel of float32, or a pair of bfloat16, which
 * keeps the multiplier busy as well. Pairs of float32, as one place has them (`wholePanels`), do so in the caches, but
 * are slower to read from memory.
 */
function spreadPanels(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  n: i32,
  k: i32,
  turn: i32,
  places: i32,
  begin: i32,
  end: i32,
): void {
  const pair = <i32>(kind == PANELS_BF16);
  if ((begin & pair) != 0) {
    wholePanels(kind, w, x, y, 1, n, k, begin, min(end, begin + 1));
    begin++;
  }
  const part = (max(0, min(end, n >> 4) - begin) >> pair) / places;
  const bytes = k << 6;
  let at = panelAt(kind, w, begin, k);
  let to = y + (begin << 6);
  for (let i = 0; i < part; i++) {
    for (let k0 = 0; k0 < k; k0 += turn) {
      const kn = min(turn, k - k0);
      const from = x + (k0 << 2);
      let piece = at + (k0 << 6);
      let into = to;
      for (let place = 0; place < places; place++) {
        if (pair) halves1x32(piece, from, into, kn);
        else tile1x16(piece, 64, from, 4, into, kn);
        piece += part * bytes;
        into += part << (6 + pair);
      }
    }
    at += bytes;
    to += 64 << pair;
  }
  wholePanels(kind, w, x, y, 1, n, k, begin + ((places * part) << pair), end);
}

/**
 * Reads every panel once, its whole length for each pair of rows; the last row of an odd number takes two panels at a
 * time.
 */
function wholePanels(kind: i32, w: usize, x: usize, y: usize, rows: i32, n: i32, k: i32, begin: i32, end: i32): void {
  const xRow = k << 2;
  const yRow = n << 2;
  const odd = kind == PANELS_F32 && (rows & 1) != 0;
  const paired = rows - 1;
  for (let p = begin; p < end; p++) {
    const at = panelAt(kind, w, p, k);
    const to = y + (p << 6);
    if (odd && p + 1 < end && (p + 2) << 4 <= n) {
      const next = at + (k << 6);
      tileRows(at, 64, x, xRow, 4, to, yRow, paired, 16, k);
      tileRows(next, 64, x, xRow, 4, to + 64, yRow, paired, 16, k);
      tile1x32(at, next, x + paired * xRow, to + paired * yRow, k);
      p++;
    } else tileRows(at, 64, x, xRow, 4, to, yRow, rows, min(16, n - (p << 4)), k, kind == PANELS_BF16);
  }
}

/**
 * Reads panels (or pairs, of bfloat16), a part of the range apart, in pieces that all rows use in turn. The first two
 * rows wait for memory; the others find the piece in the first-level cache. Rows of x and sums are copied side by side:
 * distances between rows of a matrix are often multiples of 4096, and such rows compete for the same few places of
 * that cache.
 */
function streamPanels(
  kind: i32,
  w: usize,
  x: usize,
  y: usize,
  rows: i32,
  n: i32,
  k: i32,
  sums: usize,
  places: i32,
  begin: i32,
  end: i32,
): void {
  const pair = <i32>(kind == PANELS_BF16);
  if ((begin & pair) != 0) {
    wholePanels(kind, w, x, y, rows, n, k, begin, min(end, begin + 1));
    begin++;
  }
  const part = (((max(0, end - begin) + pair) >> pair) + places - 1) / places;
  const packed = sums + 2 * MOST_PLACES * SUMS;
  packPieces(x, rows, k, packed);
  for (let u = 0; u < part; u++) {
    const first = begin + (u << pair);
    copySums(true, sums, y, rows, n, first, end, part, places, pair);
    let from = packed;
    for (let k0 = 0; k0 < k; k0 += TURN) {
      const kn = min(TURN, k - k0);
      let p = first;
      let to = sums;
      for (let i = 0; i < places && p < end; i++) {
        pieceRows(pair != 0, panelAt(kind, w, p, k) + (k0 << 6), from, to, rows, pair != 0 && p + 1 < end, kn);
        p += part << pair;
        to += SUMS << pair;
      }
      from += (rows * kn) << 2;
    }
    copySums(false, sums, y, rows, n, first, end, part, places, pair);
  }
}

/** Sums of panels, or pairs, at several places, side by side: [places][rows][16 or 32]. */
function copySums(
  read: bool,
  sums: usize,
  y: usize,
  rows: i32,
  n: i32,
  p: i32,
  end: i32,
  part: i32,
  places: i32,
  pair: i32,
): void {
  for (; places > 0 && p < end; places--) {
    const columns = min(min(1 << pair, end - p) << 4, n - (p << 4));
    for (let r = 0; r < rows; r++) {
      const own = sums + (r << (6 + pair));
      const at = y + ((r * n + (p << 4)) << 2);
      copyFloats(read ? own : at, read ? at : own, columns);
    }
    sums += SUMS << pair;
    p += part << pair;
  }
}

/** A piece of a panel, or of a pair: of rows [rows][k], the sums [rows][16 or 32]. */
function pieceRows(halves: bool, w: usize, x: usize, y: usize, rows: i32, both: bool, k: i32): void {
  const yRow: usize = halves ? 128 : 64;
  for (; rows >= 2; rows -= 2) {
    pairRows(halves, w, 64, x, k << 2, 4, y, yRow, k);
    if (both) halves2x16(w + 32, 64, x, k << 2, y + 64, yRow, k);
    x += k << 3;
    y += yRow << 1;
  }
  if (rows == 0) return;
  if (both) halves1x32(w, x, y, k);
  else single(halves, w, 64, x, 4, y, k);
}

/** x [rows, k] -> [k / TURN][rows][TURN]; the last piece may be shorter. */
function packPieces(x: usize, rows: i32, k: i32, to: usize): void {
  for (let k0 = 0; k0 < k; k0 += TURN) {
    const kn = min(TURN, k - k0);
    for (let r = 0; r < rows; r++) {
      copyFloats(to, x + ((r * k + k0) << 2), kn);
      to += kn << 2;
    }
  }
}

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
  places: i32,
  begin: i32,
  end: i32,
): void {
  startRows(y, bias, residual, rows, n, begin, end);
  const cached = small(n, k);
  if (rows > FEW_ROWS) multiply(kind, w, x, k << 2, 4, y, rows, n, k, work, begin, end);
  else if (rows > 1 && rows <= STREAM_ROWS && !cached)
    streamPanels(kind, w, x, y, rows, n, k, work, places, begin, end);
  else if (rows == 1 && (kind == PANELS_BF16 || places > 1)) {
    spreadPanels(kind, w, x, y, n, k, cached ? k : TURN, places, begin, end);
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
