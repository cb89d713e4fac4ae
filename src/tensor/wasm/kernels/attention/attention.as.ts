/**
 * Naive loop: cacheAttention in src/tensor/reference/attention.ts, which sums in float64.
 * Causal attention with grouped key/value heads, over a cache (decoding) and over whole sequences (training).
 *   y_t = Σ_{s <= t} p_s v_s,  p = softmax_s(q_t · k_s / √D)
 * With a `window` of w > 0 positions, s > t - w; 0 is none.
 * Query heads h with floor(h · G / H) = g read key/value head g. Both products are panel products; the layout of keys
 * and values is in cache.as.ts.
 *
 * Few rows read all heads of a block, then the next block. The weights have pushed the cache out to memory, where
 * starting at another place costs nearly a microsecond. Many rows go head by head instead: the keys and values of one
 * head stay in the processor's caches. Rows go in tiles (tile.as.ts).
 */
import { CACHE_F32 } from "../constants";
import { keyBytes, keyPanel, packOverColumns, packOverTime, valueBlock, valueBytes } from "./cache.as";
import { roomBytes, up16 } from "./stored.as";
import { attendTile, headerBytes, longestOf } from "./tile.as";

/** With up to this many rows, one tile takes all. */
const FEW_ROWS = 8;
/** With more, a tile takes rows that make about this many queries of one key/value head. */
const QUERIES = 24;
export const TILE_BACKWARD = 16;
/** Heads that go together produce this many scores, which stay in the second-level cache. */
const SCORES = 1 << 16;

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

/**
 * Rotates q [rows, H·d] and attends, each row to cached positions 0..positions[row]; key/value heads [begin, end).
 * `kind`: of the cache.
 */
export function cacheAttention(
  q: usize,
  y: usize,
  keys: usize,
  values: usize,
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
  attend(
    q,
    y,
    keyPanel(keys, groups, begin, d, 0, kind),
    valueBlock(values, groups, begin, d, 0, kind),
    kind,
    groups,
    d,
    heads,
    groups,
    rows,
    positions,
    cos,
    sin,
    half,
    window,
    work,
    begin,
    end,
  );
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
    attend(
      q + query,
      y + query,
      keys,
      values,
      CACHE_F32,
      1,
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
function attend(
  q: usize,
  y: usize,
  keys: usize,
  values: usize,
  kind: i32,
  stride: i32,
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
    const keyFrom = keyPanel(keys, stride, g - begin, d, 0, kind);
    const valueFrom = valueBlock(values, stride, g - begin, d, 0, kind);
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
