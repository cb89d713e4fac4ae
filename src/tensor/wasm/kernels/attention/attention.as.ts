/**
 * Naive loop: cacheAttention in src/tensor/reference/attention.ts, which sums in float64.
 * Causal attention with grouped key/value heads, over a cache (decoding) and over whole sequences (training).
 *   y_t = Σ_{s <= t} p_s v_s,  p = softmax_s(q_t · k_s / √D)
 * With a `window` of w > 0 positions, s > t - w; 0 is none.
 * Query heads h with floor(h · G / H) = g read key/value head g. Both products are panel products; the layout of keys
 * and values is in cache.as.ts.
 *
 * Rows go in tiles. Rows and query heads of one group share the loads, each with its own visible positions: two rows
 * run together over those that both see, then the longer one alone. A row's bits never depend on its neighbours.
 *
 * Few rows read all heads of a block, then the next block. The weights have pushed the cache out to memory, where
 * starting at another place costs nearly a microsecond. Many rows go head by head instead: the keys and values of one
 * head stay in the processor's caches.
 */
import { CACHE_BF16, CACHE_F32 } from "../constants";
import {
  BLOCK,
  keyBytes,
  keyPanel,
  packOverColumns,
  packOverTime,
  readableKeys,
  readableValues,
  roomBytes,
  up16,
  valueBlock,
  valueBytes,
} from "./cache.as";
import { rotate } from "./rope.as";
import { pairRows, single, tileRows } from "../products/tiles.as";
import { expRow, rowMax, scaleRow } from "../rows.as";
import { zeroFloats } from "../simd.as";

/** The first query head that reads key/value head g, or one past the last that reads g - 1. */
// @ts-ignore: decorator
@inline export function firstHead(g: i32, heads: i32, groups: i32): i32 {
  return (g * heads + groups - 1) / groups;
}

/** Per query of a tile: visible positions (int32), 1 / Σ exp (float32). */
// @ts-ignore: decorator
@inline function headerBytes(queries: i32): usize {
  return ((queries << 3) + 63) & -64;
}

// @ts-ignore: decorator
@inline function positionOf(positions: usize, row: i32): i32 {
  return positions != 0 ? load<i32>(positions + (row << 2)) : row;
}

/** Most positions that a row in [r0, r1) sees. */
function longestOf(positions: usize, r0: i32, r1: i32): i32 {
  let longest = 0;
  for (let r = r0; r < r1; r++) longest = max(longest, positionOf(positions, r) + 1);
  return longest;
}

/** bfloat16 is widened on its way into the multiplication: bytes from one k to the next. */
const HALVES_STEP: usize = 32;

/** First position seen by a row with n positions up to its own. */
// @ts-ignore: decorator
@inline export function firstSeen(n: i32, window: i32): i32 {
  return window > 0 ? max(0, n - window) : 0;
}

// @ts-ignore: decorator
@inline export function headOffset(row: i32, heads: i32, head: i32, d: i32): usize {
  return ((row * heads + head) * d) << 2;
}

/**
 * Rows [r0, r1) and key/value heads [g0, g1). A group's queries lie together, row after row. `kind`: cache.as.ts;
 * `room`: for widened panels.
 */
function attendTile(
  q: usize,
  y: usize,
  keys: usize,
  values: usize,
  kind: i32,
  stride: i32,
  d: i32,
  heads: i32,
  groups: i32,
  r0: i32,
  r1: i32,
  positions: usize,
  cos: usize,
  sin: usize,
  half: i32,
  window: i32,
  room: usize,
  work: usize,
  g0: i32,
  g1: i32,
): void {
  const head0 = firstHead(g0, heads, groups);
  const queries = (r1 - r0) * (firstHead(g1, heads, groups) - head0);
  const size = up16(d) << 2;
  const halves = kind == CACHE_BF16;
  const longest = longestOf(positions, r0, r1);
  let from = longest; // the first position that any row sees
  for (let r = r0; r < r1; r++) from = min(from, firstSeen(positionOf(positions, r) + 1, window));
  const row: usize = up16(longest) << 2;
  const scaled = work + headerBytes(queries);
  const out = scaled + queries * size;
  const scores = out + queries * size;
  const factor: f32 = 1 / sqrt<f32>(<f32>d);
  let i = 0;
  for (let g = g0; g < g1; g++) {
    for (let r = r0; r < r1; r++) {
      const t = positionOf(positions, r);
      const table = (t * half) << 2;
      for (let h = firstHead(g, heads, groups); h < firstHead(g + 1, heads, groups); h++, i++) {
        rotate(q + headOffset(r, heads, h, d), scaled + i * size, d, cos + table, sin + table, half, factor, 0);
        store<i32>(work + (i << 2), t + 1);
      }
    }
  }
  zeroFloats(scores, queries * <i32>(row >> 2));
  for (let t = from & -16; t < longest; t += 16) {
    for (let g = g0; g < g1; g++) {
      const first = (r1 - r0) * (firstHead(g, heads, groups) - head0);
      const count = (r1 - r0) * (firstHead(g + 1, heads, groups) - head0) - first;
      const panel = keyPanel(keys, stride, g - g0, d, t, kind);
      tileRows(
        halves ? panel : readableKeys(kind, panel, d, room),
        halves ? HALVES_STEP : 64,
        scaled + first * size,
        size,
        4,
        scores + first * row + (t << 2),
        row,
        count,
        16,
        d,
        halves,
      );
    }
  }
  const inverse = work + (queries << 2);
  for (i = 0; i < queries; i++) {
    const s = scores + i * row;
    const n = load<i32>(work + (i << 2));
    const unseen = firstSeen(n, window);
    const seen = s + (unseen << 2);
    store<f32>(inverse + (i << 2), <f32>(1 / expRow(seen, seen, n - unseen, rowMax(seen, n - unseen))));
    zeroFloats(s, unseen);
  }
  zeroFloats(out, queries * up16(d));
  for (let t = from & -BLOCK; t < longest; t += BLOCK) {
    for (let g = g0; g < g1; g++) {
      const first = (r1 - r0) * (firstHead(g, heads, groups) - head0);
      const last = (r1 - r0) * (firstHead(g + 1, heads, groups) - head0);
      const block = valueBlock(values, stride, g - g0, d, t, kind);
      const seen = min(BLOCK, longest - t);
      for (let c = 0; c < d; c += 16) {
        const panel = halves ? block + c * BLOCK * 2 : readableValues(kind, block, d, c, seen, room);
        addValues(halves, panel, t, work, first, last, scores, row, out + (c << 2), size);
      }
    }
  }
  i = 0;
  for (let g = g0; g < g1; g++) {
    for (let r = r0; r < r1; r++) {
      for (let h = firstHead(g, heads, groups); h < firstHead(g + 1, heads, groups); h++, i++) {
        scaleRow(out + i * size, y + headOffset(r, heads, h, d), d, load<f32>(inverse + (i << 2)));
      }
    }
  }
}

/**
 * Adds a block's values, from position t on, times their scores, onto sixteen columns of the outputs of queries [first,
 * last), which read one head.
 */
function addValues(
  halves: bool,
  panel: usize,
  t: i32,
  counts: usize,
  first: i32,
  last: i32,
  scores: usize,
  row: usize,
  out: usize,
  size: usize,
): void {
  const step: usize = halves ? HALVES_STEP : 64;
  for (let i = first; i < last; i += 2) {
    const s = scores + i * row + (t << 2);
    const to = out + i * size;
    const n = visible(counts, i, t);
    if (i + 1 == last) {
      single(halves, panel, step, s, 4, to, n);
      continue;
    }
    const m = visible(counts, i + 1, t);
    const both = min(n, m);
    const skip = both << 2;
    const rest = panel + both * step;
    pairRows(halves, panel, step, s, row, 4, to, size, both);
    if (n > both) single(halves, rest, step, s + skip, 4, to, n - both);
    if (m > both) single(halves, rest, step, s + row + skip, 4, to + size, m - both);
  }
}

/** Positions of the block from t on that query i sees. */
// @ts-ignore: decorator
@inline function visible(counts: usize, i: i32, t: i32): i32 {
  return max(0, min(BLOCK, load<i32>(counts + (i << 2)) - t));
}

/** With up to this many rows, one tile takes all. */
const FEW_ROWS = 8;
/** With more, a tile takes rows that make about this many queries of one key/value head. */
const QUERIES = 24;
export const TILE_BACKWARD = 16;
/**
 * Heads that go together, and tiles of many rows, produce this many scores: one row of nine heads after 8,192 positions
 * goes once through the cache instead of jumping over the heads of another pass (on Zen 4, 2.1 times as fast).
 */
const SCORES = 1 << 18;

/** For `rows` that see up to `time` positions: tiles, and with `training` the packed keys and values of one head. */
export function attentionWorkBytes(rows: i32, time: i32, heads: i32, groups: i32, d: i32, training: i32): usize {
  const most = (heads + groups - 1) / groups;
  const tile = min(rows, FEW_ROWS);
  const queries = max(tile * heads, max(QUERIES, most));
  const forward =
    roomBytes(d) + headerBytes(queries) + ((2 * queries * up16(d)) << 2) + (max(SCORES, tile * most * up16(time)) << 2);
  if (!training) return forward;
  const backward = (TILE_BACKWARD * 2 * (up16(d) + up16(time))) << 2;
  return keyBytes(time, d, CACHE_F32) * 2 + valueBytes(time, d, CACHE_F32) + max(forward, backward);
}

/** Over whole sequences, q [B, T, H, d], k and v [B, T, G, d]; pairs (batch, key/value head) [begin, end). */
export function attention(
  q: usize,
  k: usize,
  v: usize,
  y: usize,
  time: i32,
  heads: i32,
  groups: i32,
  d: i32,
  window: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const keys = work;
  const values = keys + keyBytes(time, d, CACHE_F32);
  const rest = values + valueBytes(time, d, CACHE_F32);
  for (let pair = begin; pair < end; pair++) {
    const b = pair / groups;
    const g = pair % groups;
    const kv = ((b * time * groups + g) * d) << 2;
    const query = (b * time * heads * d) << 2;
    packOverTime(k + kv, groups, d, time, keys);
    packOverColumns(v + kv, groups, d, time, values);
    cacheAttention(
      q + query,
      y + query,
      keys,
      values,
      1,
      CACHE_F32,
      d,
      heads,
      groups,
      time,
      0,
      0,
      0,
      0,
      window,
      rest,
      g,
      g + 1,
    );
  }
}

/**
 * Rows of q that read key/value heads [begin, end). Keys and values begin at head `begin` of `stride` heads side by
 * side. `positions` = 0: row r is at position r.
 */
export function cacheAttention(
  q: usize,
  y: usize,
  keys: usize,
  values: usize,
  stride: i32,
  kind: i32,
  d: i32,
  heads: i32,
  groups: i32,
  rows: i32,
  positions: usize,
  cos: usize,
  sin: usize,
  half: i32,
  window: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const most = (heads + groups - 1) / groups;
  const few = rows <= FEW_ROWS;
  const row = up16(longestOf(positions, 0, rows));
  const tile = few ? rows : max(1, min(QUERIES, SCORES / row) / most);
  const together = few ? max(1, SCORES / max(1, rows * most * row)) : 1;
  for (let g = begin; g < end; g += together) {
    const keyFrom = keyPanel(keys, stride, g % stride, d, 0, kind);
    const valueFrom = valueBlock(values, stride, g % stride, d, 0, kind);
    for (let r = 0; r < rows; r += tile) {
      attendTile(
        q,
        y,
        keyFrom,
        valueFrom,
        kind,
        stride,
        d,
        heads,
        groups,
        r,
        min(rows, r + tile),
        positions,
        cos,
        sin,
        half,
        window,
        work,
        work + roomBytes(d),
        g,
        min(end, g + together),
      );
    }
  }
}
