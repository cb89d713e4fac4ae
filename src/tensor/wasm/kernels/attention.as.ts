/**
 * Causal attention with grouped key/value heads, over a cache (decoding) and over whole sequences (training).
 *   y_t = Σ_{s <= t} p_s v_s,  p = softmax_s(q_t · k_s / √D); query heads h with floor(h · G / H) = g read key/value head g
 * Both products are panel products. A cache holds the positions in blocks, each with all heads:
 *   keys    [T/16][G][D][16]: a lane owns a position and adds over the head size, so scores need no sums across lanes and any D works
 *   values  [T/64][G][D/16][64][16]: a lane owns an output column and adds over positions
 * What was written so far lies in one piece whatever the capacity, and few rows read it front to back: all heads of a
 * block, then the next block. A cache comes from memory, where the weights have pushed it since the last token, and
 * beginning to read somewhere else costs nearly a microsecond there. Many rows go head by head instead: one head's keys
 * and values stay in the caches. Rows go in tiles of eight (rows and query heads of one group share the loads), each
 * with its own number of visible positions: two rows run together over the positions both see, then the longer goes on
 * alone. A row's bits never depend on its neighbours.
 */
import { packMatrix, packTransposed, tile1x16, tile2x16, tileRows } from "./products/index.as";
import { copyFloats, storeTail, zeroFloats } from "./simd.as";
import { dotRow, expRow, rowMax, scaleRow } from "./rows.as";

/** Positions per block of values. */
const BLOCK = 64;
/** Rows per tile, forward and backward. */
const TILE = 8;
const TILE_BACKWARD = 16;
/** As many heads go together as keep this many scores: they shall stay in the second-level cache. */
const SCORES = 1 << 16;

// @ts-ignore: decorator
@inline function up16(n: i32): i32 {
  return (n + 15) & -16;
}

/** Bytes of keys, and of values, of one head for `capacity` positions. */
export function keyBytes(capacity: i32, d: i32): usize {
  return (<usize>up16(capacity) * <usize>d) << 2;
}

export function valueBytes(capacity: i32, d: i32): usize {
  return <usize>((capacity + BLOCK - 1) / BLOCK) * blockBytes(d);
}

// @ts-ignore: decorator
@inline function blockBytes(d: i32): usize {
  return (<usize>(BLOCK * up16(d))) << 2;
}

/** Where the keys of head g begin for the sixteen positions around t; `groups` heads lie side by side. */
// @ts-ignore: decorator
@inline function keyPanel(keys: usize, groups: i32, g: i32, d: i32, t: i32): usize {
  return keys + ((<usize>((t >> 4) * groups + g) * <usize>d) << 6);
}

/** Where the values of head g begin at position t; sixteen columns on they go on BLOCK · 64 bytes on. */
// @ts-ignore: decorator
@inline function valueAt(values: usize, groups: i32, g: i32, d: i32, t: i32): usize {
  return values + <usize>((t / BLOCK) * groups + g) * blockBytes(d) + ((<usize>(t % BLOCK)) << 6);
}

/** The first query head that reads key/value head g, or one past the last that reads g - 1. */
// @ts-ignore: decorator
@inline function firstHead(g: i32, heads: i32, groups: i32): i32 {
  return (g * heads + groups - 1) / groups;
}

/**
 * Working memory for `rows` that see up to `time` positions: tiles, and with `training` the packed keys and values of
 * one head.
 */
export function attentionWorkBytes(rows: i32, time: i32, heads: i32, groups: i32, d: i32, training: i32): usize {
  const tile = min(rows, TILE);
  const queries = tile * heads;
  const group = tile * ((heads + groups - 1) / groups);
  const forward =
    headerBytes(queries) +
    ((<usize>(2 * queries) * <usize>up16(d)) << 2) +
    ((<usize>max(SCORES, group * up16(time))) << 2);
  if (!training) return forward;
  const backward = (<usize>(TILE_BACKWARD * 2) * <usize>(up16(d) + up16(time))) << 2;
  return keyBytes(time, d) * 2 + valueBytes(time, d) + max(forward, backward);
}

/** Per query of a tile: how many positions it sees (int32), 1 / Σ exp (float32). */
// @ts-ignore: decorator
@inline function headerBytes(queries: i32): usize {
  return (<usize>(queries << 3) + 63) & -64;
}

/**
 * to = rotated x · factor for one head: pairs (i, i + half) turn by the angle of this position; half = 0 rotates
 * nothing.
 */
function rotate(x: usize, to: usize, d: i32, cos: usize, sin: usize, half: i32, factor: f32, inverse: i32): void {
  const f = f32x4.splat(factor);
  const far = (<usize>half) << 2;
  for (let i = 0; i < half; i += 4) {
    const at = (<usize>i) << 2;
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

/** Rotates x [rows, heads, d] by positions[row]. */
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
    const table = (<usize>load<i32>(positions + ((<usize>r) << 2)) * <usize>half) << 2;
    for (let h = 0; h < heads; h++) {
      rotate(x, y, d, cos + table, sin + table, half, 1, inverse);
      x += (<usize>d) << 2;
      y += (<usize>d) << 2;
    }
  }
}

/** Stores kv [rows, 2·G·d], keys (rotated) then values, at `positions` of the cache. `work` holds d floats. */
export function cacheWrite(
  kv: usize,
  keys: usize,
  values: usize,
  d: i32,
  groups: i32,
  rows: i32,
  positions: usize,
  cos: usize,
  sin: usize,
  half: i32,
  work: usize,
): void {
  const head = (<usize>d) << 2;
  for (let r = 0; r < rows; r++) {
    const t = load<i32>(positions + ((<usize>r) << 2));
    const table = (<usize>t * <usize>half) << 2;
    for (let g = 0; g < groups; g++) {
      rotate(kv, work, d, cos + table, sin + table, half, 1, 0);
      let to = keyPanel(keys, groups, g, d, t) + ((<usize>(t & 15)) << 2);
      for (let i = 0; i < d; i++) {
        store<f32>(to, load<f32>(work + ((<usize>i) << 2)));
        to += 64;
      }
      const value = kv + <usize>groups * head;
      to = valueAt(values, groups, g, d, t);
      for (let c = 0; c < d; c += 16) {
        copyFloats(to, value + ((<usize>c) << 2), min(16, d - c));
        to += BLOCK << 6;
      }
      kv += head;
    }
    kv += <usize>groups * head;
  }
}

/** Keys and values of positions [begin, end) as rows [G·d]. */
export function cacheRead(
  keys: usize,
  values: usize,
  d: i32,
  groups: i32,
  begin: i32,
  end: i32,
  toKeys: usize,
  toValues: usize,
): void {
  for (let t = begin; t < end; t++) {
    for (let g = 0; g < groups; g++) {
      const key = keyPanel(keys, groups, g, d, t) + ((<usize>(t & 15)) << 2);
      const value = valueAt(values, groups, g, d, t);
      for (let i = 0; i < d; i++) {
        store<f32>(toKeys, load<f32>(key + ((<usize>i) << 6)));
        store<f32>(toValues, load<f32>(value + <usize>(((i >> 4) * BLOCK) << 6) + ((<usize>(i & 15)) << 2)));
        toKeys += 4;
        toValues += 4;
      }
    }
  }
}

/** Rotates q [rows, H·d] and attends, each row to cached positions 0..positions[row]; key/value heads [begin, end). */
export function cacheAttention(
  q: usize,
  y: usize,
  keys: usize,
  values: usize,
  d: i32,
  heads: i32,
  groups: i32,
  rows: i32,
  positions: usize,
  cos: usize,
  sin: usize,
  half: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  attend(
    q,
    y,
    keyPanel(keys, groups, begin, d, 0),
    valueAt(values, groups, begin, d, 0),
    groups,
    d,
    heads,
    groups,
    rows,
    positions,
    cos,
    sin,
    half,
    work,
    begin,
    end,
  );
}

/**
 * Causal attention over whole sequences, q [B, T, H, d], k and v [B, T, G, d]; pairs (batch, key/value head) [begin,
 * end).
 */
export function attention(
  q: usize,
  k: usize,
  v: usize,
  y: usize,
  time: i32,
  heads: i32,
  groups: i32,
  d: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const keys = work;
  const values = keys + keyBytes(time, d);
  const rest = values + valueBytes(time, d);
  for (let pair = begin; pair < end; pair++) {
    const b = pair / groups;
    const g = pair % groups;
    const kv = ((<usize>b * <usize>time * <usize>groups + <usize>g) * <usize>d) << 2;
    const query = (<usize>b * <usize>time * <usize>heads * <usize>d) << 2;
    packOverTime(k + kv, groups, d, time, keys);
    packOverColumns(v + kv, groups, d, time, values);
    attend(q + query, y + query, keys, values, 1, d, heads, groups, time, 0, 0, 0, 0, rest, g, g + 1);
  }
}

/** One head of [T, G, d] -> [T/16][d][16]. */
function packOverTime(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  const row = (<usize>groups * <usize>d) << 2;
  for (let t = 0; t < time; t += 16)
    packTransposed(x + <usize>t * row, row, min(16, time - t), d, to + ((<usize>t * <usize>d) << 2));
}

/** One head of [T, G, d] -> [T/64][d/16][64][16]. */
function packOverColumns(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  for (let t = 0; t < time; t += BLOCK) {
    for (let c = 0; c < d; c += 16)
      packMatrix(x, groups * d, c, t, min(BLOCK, time - t), valueAt(to, 1, 0, d, t) + <usize>((c * BLOCK) << 2));
  }
}

/**
 * The rows of q that read key/value heads [begin, end). Keys and values are those of head `begin` on, among `stride`
 * heads that lie side by side. `positions` = 0 stands for row r at position r.
 */
function attend(
  q: usize,
  y: usize,
  keys: usize,
  values: usize,
  stride: i32,
  d: i32,
  heads: i32,
  groups: i32,
  rows: i32,
  positions: usize,
  cos: usize,
  sin: usize,
  half: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const most = (heads + groups - 1) / groups;
  const few = rows <= TILE;
  const tile = few ? rows : max(1, TILE / most);
  const together = few ? max(1, SCORES / max(1, rows * most * up16(longestOf(positions, 0, rows)))) : 1;
  for (let g = begin; g < end; g += together) {
    const keyFrom = keyPanel(keys, stride, g - begin, d, 0);
    const valueFrom = valueAt(values, stride, g - begin, d, 0);
    for (let r = 0; r < rows; r += tile) {
      attendTile(
        q,
        y,
        keyFrom,
        valueFrom,
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
        work,
        g,
        min(end, g + together),
      );
    }
  }
}

// @ts-ignore: decorator
@inline function positionOf(positions: usize, row: i32): i32 {
  return positions != 0 ? load<i32>(positions + ((<usize>row) << 2)) : row;
}

/** How many positions the row among [r0, r1) that sees most of them sees. */
function longestOf(positions: usize, r0: i32, r1: i32): i32 {
  let longest = 0;
  for (let r = r0; r < r1; r++) longest = max(longest, positionOf(positions, r) + 1);
  return longest;
}

// @ts-ignore: decorator
@inline function headOffset(row: i32, heads: i32, head: i32, d: i32): usize {
  return ((<usize>row * <usize>heads + <usize>head) * <usize>d) << 2;
}

/** Rows [r0, r1) and heads [g0, g1) of the above. The queries of a group lie together, row after row. */
function attendTile(
  q: usize,
  y: usize,
  keys: usize,
  values: usize,
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
  work: usize,
  g0: i32,
  g1: i32,
): void {
  const head0 = firstHead(g0, heads, groups);
  const queries = (r1 - r0) * (firstHead(g1, heads, groups) - head0);
  const wide = (<usize>up16(d)) << 2;
  const longest = longestOf(positions, r0, r1);
  const row = (<usize>up16(longest)) << 2;
  const scaled = work + headerBytes(queries);
  const out = scaled + <usize>queries * wide;
  const scores = out + <usize>queries * wide;
  const factor: f32 = 1 / sqrt<f32>(<f32>d);
  let i = 0;
  for (let g = g0; g < g1; g++) {
    for (let r = r0; r < r1; r++) {
      const t = positionOf(positions, r);
      const table = (<usize>t * <usize>half) << 2;
      for (let h = firstHead(g, heads, groups); h < firstHead(g + 1, heads, groups); h++, i++) {
        rotate(q + headOffset(r, heads, h, d), scaled + <usize>i * wide, d, cos + table, sin + table, half, factor, 0);
        store<i32>(work + ((<usize>i) << 2), t + 1);
      }
    }
  }
  zeroFloats(scores, queries * <i32>(row >> 2));
  for (let t = 0; t < longest; t += 16) {
    for (let g = g0; g < g1; g++) {
      const first = (r1 - r0) * (firstHead(g, heads, groups) - head0);
      const count = (r1 - r0) * (firstHead(g + 1, heads, groups) - head0) - first;
      tileRows(
        keyPanel(keys, stride, g - g0, d, t),
        64,
        scaled + <usize>first * wide,
        wide,
        4,
        scores + <usize>first * row + ((<usize>t) << 2),
        row,
        count,
        16,
        d,
      );
    }
  }
  const inverse = work + ((<usize>queries) << 2);
  for (i = 0; i < queries; i++) {
    const s = scores + <usize>i * row;
    const n = load<i32>(work + ((<usize>i) << 2));
    store<f32>(inverse + ((<usize>i) << 2), <f32>(1 / expRow(s, s, n, rowMax(s, n))));
  }
  zeroFloats(out, queries * up16(d));
  for (let t = 0; t < longest; t += BLOCK) {
    for (let g = g0; g < g1; g++) {
      const first = (r1 - r0) * (firstHead(g, heads, groups) - head0);
      const last = (r1 - r0) * (firstHead(g + 1, heads, groups) - head0);
      addValues(valueAt(values, stride, g - g0, d, t), d, t, work, first, last, scores, row, out, wide);
    }
  }
  i = 0;
  for (let g = g0; g < g1; g++) {
    for (let r = r0; r < r1; r++) {
      for (let h = firstHead(g, heads, groups); h < firstHead(g + 1, heads, groups); h++, i++) {
        scaleRow(out + <usize>i * wide, y + headOffset(r, heads, h, d), d, load<f32>(inverse + ((<usize>i) << 2)));
      }
    }
  }
}

/**
 * Onto the outputs of queries [first, last), which read one head: the values of a block of positions, from t on, times
 * their scores.
 */
function addValues(
  values: usize,
  d: i32,
  t: i32,
  counts: usize,
  first: i32,
  last: i32,
  scores: usize,
  row: usize,
  out: usize,
  wide: usize,
): void {
  for (let c = 0; c < d; c += 16) {
    const panel = values + <usize>((c * BLOCK) << 2);
    for (let i = first; i < last; i += 2) {
      const s = scores + <usize>i * row + ((<usize>t) << 2);
      const to = out + <usize>i * wide + ((<usize>c) << 2);
      const n = visible(counts, i, t);
      if (i + 1 == last) {
        tile1x16(panel, 64, s, 4, to, n);
        continue;
      }
      const m = visible(counts, i + 1, t);
      const both = min(n, m);
      const skip = (<usize>both) << 2;
      tile2x16(panel, 64, s, row, 4, to, wide, both);
      if (n > both) tile1x16(panel + (skip << 4), 64, s + skip, 4, to, n - both);
      if (m > both) tile1x16(panel + (skip << 4), 64, s + row + skip, 4, to + wide, m - both);
    }
  }
}

/** How many positions of the block from t on query i sees. */
// @ts-ignore: decorator
@inline function visible(counts: usize, i: i32, t: i32): i32 {
  return max(0, min(BLOCK, load<i32>(counts + ((<usize>i) << 2)) - t));
}

/** scores [rows, longest] = q · k for one head; lanes past the last position hold garbage. */
function scoreTile(
  keys: usize,
  d: i32,
  q: usize,
  qRow: usize,
  rows: i32,
  longest: i32,
  scores: usize,
  row: usize,
): void {
  zeroFloats(scores, rows * <i32>(row >> 2));
  for (let t = 0; t < longest; t += 16)
    tileRows(keyPanel(keys, 1, 0, d, t), 64, q, qRow, 4, scores + ((<usize>t) << 2), row, rows, 16, d);
}

/**
 * dq, and onto dk and dv (zeros before). With p = softmax(s), dp = dy · v:
 *   ds = p · (dp - Σ p dp) / √D,  dq = ds · k,  dk = dsᵀ · q,  dv = pᵀ · dy
 * Probabilities are computed again, sixteen queries at a time.
 */
export function attentionBackward(
  q: usize,
  k: usize,
  v: usize,
  dy: usize,
  dq: usize,
  dk: usize,
  dv: usize,
  time: i32,
  heads: i32,
  groups: i32,
  d: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const wide = (<usize>up16(d)) << 2;
  const keys = work;
  const values = keys + keyBytes(time, d);
  const keyColumns = values + keyBytes(time, d);
  const scaled = keyColumns + valueBytes(time, d);
  const out = scaled + <usize>TILE_BACKWARD * wide;
  const p = out + <usize>TILE_BACKWARD * wide;
  const ds = p + ((<usize>TILE_BACKWARD * <usize>up16(time)) << 2);
  const qRow = (<usize>heads * <usize>d) << 2;
  const kvRow = (<usize>groups * <usize>d) << 2;
  const factor: f32 = 1 / sqrt<f32>(<f32>d);
  for (let pair = begin; pair < end; pair++) {
    const b = pair / groups;
    const g = pair % groups;
    const kv = ((<usize>b * <usize>time * <usize>groups + <usize>g) * <usize>d) << 2;
    packOverTime(k + kv, groups, d, time, keys);
    packOverTime(v + kv, groups, d, time, values);
    packOverColumns(k + kv, groups, d, time, keyColumns);
    const last = firstHead(g + 1, heads, groups);
    for (let h = firstHead(g, heads, groups); h < last; h++) {
      for (let r = 0; r < time; r += TILE_BACKWARD) {
        const rows = min(TILE_BACKWARD, time - r);
        const longest = r + rows;
        const row = (<usize>up16(longest)) << 2;
        const query = <usize>b * <usize>time * qRow + headOffset(r, heads, h, d);
        for (let i = 0; i < rows; i++) scaleRow(q + query + <usize>i * qRow, scaled + <usize>i * wide, d, factor);
        scoreTile(keys, d, scaled, wide, rows, longest, p, row);
        scoreTile(values, d, dy + query, qRow, rows, longest, ds, row);
        for (let i = 0; i < rows; i++)
          softmaxGradient(p + <usize>i * row, ds + <usize>i * row, r + i + 1, longest, factor);
        zeroFloats(out, rows * up16(d));
        for (let c = 0; c < d; c += 16) {
          const at = (<usize>c) << 2;
          const columns = min(16, d - c);
          for (let t = 0; t < longest; t += BLOCK)
            tileRows(
              valueAt(keyColumns, 1, 0, d, t) + <usize>((c * BLOCK) << 2),
              64,
              ds + ((<usize>t) << 2),
              row,
              4,
              out + at,
              wide,
              rows,
              16,
              min(BLOCK, longest - t),
            );
          tileRows(q + query + at, qRow, ds, 4, row, dk + kv + at, kvRow, longest, columns, rows);
          tileRows(dy + query + at, qRow, p, 4, row, dv + kv + at, kvRow, longest, columns, rows);
        }
        for (let i = 0; i < rows; i++) copyFloats(dq + query + <usize>i * qRow, out + <usize>i * wide, d);
      }
    }
  }
}

/** Scores become probabilities, dp becomes ds; both are zero from n (the visible positions) to `longest`. */
function softmaxGradient(p: usize, ds: usize, n: i32, longest: i32, factor: f32): void {
  scaleRow(p, p, n, <f32>(1 / expRow(p, p, n, rowMax(p, n))));
  const dot = f32x4.splat(<f32>dotRow(p, ds, n));
  const f = f32x4.splat(factor);
  const whole = (<usize>(n >> 2)) << 4;
  for (let at: usize = 0; at != whole; at += 16)
    v128.store(ds + at, f32x4.mul(f32x4.mul(v128.load(p + at), f32x4.sub(v128.load(ds + at), dot)), f));
  if ((n & 3) != 0)
    storeTail(ds + whole, f32x4.mul(f32x4.mul(v128.load(p + whole), f32x4.sub(v128.load(ds + whole), dot)), f), n & 3);
  zeroFloats(p + ((<usize>n) << 2), longest - n);
  zeroFloats(ds + ((<usize>n) << 2), longest - n);
}
