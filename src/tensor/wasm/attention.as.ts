/**
 * Causal attention with grouped key/value heads, over a cache (decoding) and over whole sequences (training).
 *   y_t = Σ_{s <= t} p_s v_s,  p = softmax_s(q_t · k_s / √D); query heads h with floor(h · G / H) = g read key/value head g
 * Both products are panel products. Per head
 *   keys    [T/16][D][16]: a lane owns a position and adds over the head size, so scores need no sums across lanes and any D works
 *   values  [T/64][D/16][64][16]: a lane owns an output column and adds over positions; in blocks of 64 positions, so that those
 *           written so far lie in one piece whatever the capacity, and come quickly from memory
 * Queries go in tiles of eight (rows and query heads of one group share the loads), each with its own number of visible positions:
 * two rows run together over the positions both see, then the longer goes on alone. A row's bits never depend on its neighbours.
 */
import { packMatrix, packTransposed } from "./panels.as";
import { copyFloats, storeTail, zeroFloats } from "./simd.as";
import { dotRow, expRow, rowMax, scaleRow } from "./rows.as";
import { tile1x16, tile2x16, tileRows } from "./tiles.as";

/** Positions per block of values. */
const BLOCK = 64;
/** Queries per tile, forward and backward. */
const TILE = 8;
const TILE_BACKWARD = 16;

// @ts-ignore: decorator
@inline function up16(n: i32): i32 {
  return (n + 15) & -16;
}

/** Bytes of keys, and of values, of one head for `capacity` positions. */
export function keyBytes(capacity: i32, d: i32): usize {
  return <usize>up16(capacity) * <usize>d << 2;
}

export function valueBytes(capacity: i32, d: i32): usize {
  return <usize>((capacity + BLOCK - 1) / BLOCK) * blockBytes(d);
}

// @ts-ignore: decorator
@inline function blockBytes(d: i32): usize {
  return <usize>(BLOCK * up16(d)) << 2;
}

/** Where the values of position t begin; sixteen columns on they go on BLOCK · 64 bytes on. */
// @ts-ignore: decorator
@inline function valueAt(values: usize, d: i32, t: i32): usize {
  return values + <usize>(t / BLOCK) * blockBytes(d) + (<usize>(t % BLOCK) << 6);
}

/** Working memory for `time` positions: tiles, and with `training` the packed keys and values of one head. */
export function attentionWorkBytes(time: i32, d: i32, training: i32): usize {
  const tile = <usize>256 + (<usize>TILE_BACKWARD * <usize>(2 * up16(d) + 2 * up16(time)) << 2);
  return training ? tile + keyBytes(time, d) * 2 + valueBytes(time, d) : tile;
}

/** to = rotated x · factor for one head: pairs (i, i + half) turn by the angle of this position; half = 0 rotates nothing. */
function rotate(x: usize, to: usize, d: i32, cos: usize, sin: usize, half: i32, factor: f32, inverse: i32): void {
  const f = f32x4.splat(factor), far = <usize>half << 2;
  for (let i = 0; i < half; i += 4) {
    const at = <usize>i << 2;
    const a = v128.load(x + at), b = v128.load(x + far + at), c = v128.load(cos + at);
    let s = v128.load(sin + at);
    if (inverse) s = f32x4.neg(s);
    const left = f32x4.mul(f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), f), right = f32x4.mul(f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), f);
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
export function rope(x: usize, positions: usize, y: usize, cos: usize, sin: usize, half: i32, heads: i32, d: i32, rows: i32, inverse: i32): void {
  for (let r = 0; r < rows; r++) {
    const table = <usize>load<i32>(positions + (<usize>r << 2)) * <usize>half << 2;
    for (let h = 0; h < heads; h++) {
      rotate(x, y, d, cos + table, sin + table, half, 1, inverse);
      x += <usize>d << 2;
      y += <usize>d << 2;
    }
  }
}

/** Stores kv [rows, 2·G·d], keys (rotated) then values, at `positions` of the cache. `work` holds d floats. */
export function cacheWrite(kv: usize, keys: usize, values: usize, capacity: i32, d: i32, groups: i32, rows: i32, positions: usize, cos: usize, sin: usize, half: i32, work: usize): void {
  const head = <usize>d << 2;
  for (let r = 0; r < rows; r++) {
    const t = load<i32>(positions + (<usize>r << 2)), table = <usize>t * <usize>half << 2;
    for (let g = 0; g < groups; g++) {
      rotate(kv, work, d, cos + table, sin + table, half, 1, 0);
      let to = keys + <usize>g * keyBytes(capacity, d) + (<usize>(t >> 4) * <usize>d << 6) + (<usize>(t & 15) << 2);
      for (let i = 0; i < d; i++) {
        store<f32>(to, load<f32>(work + (<usize>i << 2)));
        to += 64;
      }
      const value = kv + <usize>groups * head;
      to = valueAt(values + <usize>g * valueBytes(capacity, d), d, t);
      for (let c = 0; c < d; c += 16) {
        copyFloats(to, value + (<usize>c << 2), min(16, d - c));
        to += BLOCK << 6;
      }
      kv += head;
    }
    kv += <usize>groups * head;
  }
}

/** Keys and values of positions [begin, end) as rows [G·d]. */
export function cacheRead(keys: usize, values: usize, capacity: i32, d: i32, groups: i32, begin: i32, end: i32, toKeys: usize, toValues: usize): void {
  for (let t = begin; t < end; t++) {
    for (let g = 0; g < groups; g++) {
      const key = keys + <usize>g * keyBytes(capacity, d) + (<usize>(t >> 4) * <usize>d << 6) + (<usize>(t & 15) << 2);
      const value = valueAt(values + <usize>g * valueBytes(capacity, d), d, t);
      for (let i = 0; i < d; i++) {
        store<f32>(toKeys, load<f32>(key + (<usize>i << 6)));
        store<f32>(toValues, load<f32>(value + <usize>((i >> 4) * BLOCK << 6) + (<usize>(i & 15) << 2)));
        toKeys += 4;
        toValues += 4;
      }
    }
  }
}

/** Rotates q [rows, H·d] and attends, each row to cached positions 0..positions[row]; key/value heads [begin, end). */
export function cacheAttention(q: usize, y: usize, keys: usize, values: usize, capacity: i32, d: i32, heads: i32, groups: i32, rows: i32, positions: usize, cos: usize, sin: usize, half: i32, work: usize, begin: i32, end: i32): void {
  for (let g = begin; g < end; g++) {
    attendGroup(q, y, keys + <usize>g * keyBytes(capacity, d), values + <usize>g * valueBytes(capacity, d), d, heads, groups, g, rows, positions, cos, sin, half, work);
  }
}

/** Causal attention over whole sequences, q [B, T, H, d], k and v [B, T, G, d]; pairs (batch, key/value head) [begin, end). */
export function attention(q: usize, k: usize, v: usize, y: usize, time: i32, heads: i32, groups: i32, d: i32, work: usize, begin: i32, end: i32): void {
  const keys = work, values = keys + keyBytes(time, d), rest = values + valueBytes(time, d);
  for (let pair = begin; pair < end; pair++) {
    const b = pair / groups, g = pair % groups;
    const kv = (<usize>b * <usize>time * <usize>groups + <usize>g) * <usize>d << 2, query = <usize>b * <usize>time * <usize>heads * <usize>d << 2;
    packOverTime(k + kv, groups, d, time, keys);
    packOverColumns(v + kv, groups, d, time, values);
    attendGroup(q + query, y + query, keys, values, d, heads, groups, g, time, 0, 0, 0, 0, rest);
  }
}

/** One head of [T, G, d] -> [T/16][d][16]. */
function packOverTime(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  const row = <usize>groups * <usize>d << 2;
  for (let t = 0; t < time; t += 16) packTransposed(x + <usize>t * row, row, min(16, time - t), d, to + (<usize>t * <usize>d << 2));
}

/** One head of [T, G, d] -> [T/64][d/16][64][16]. */
function packOverColumns(x: usize, groups: i32, d: i32, time: i32, to: usize): void {
  for (let t = 0; t < time; t += BLOCK) {
    for (let c = 0; c < d; c += 16) packMatrix(x, groups * d, c, t, min(BLOCK, time - t), valueAt(to, d, t) + <usize>(c * BLOCK << 2));
  }
}

/** Everything that reads one key/value head. `positions` = 0 stands for row r at position r. */
function attendGroup(q: usize, y: usize, keys: usize, values: usize, d: i32, heads: i32, groups: i32, g: i32, rows: i32, positions: usize, cos: usize, sin: usize, half: i32, work: usize): void {
  const first = (g * heads + groups - 1) / groups, count = ((g + 1) * heads + groups - 1) / groups - first;
  const queries = rows * count, wide = <usize>up16(d) << 2;
  const scaled = work + 256, out = scaled + <usize>TILE * wide, scores = out + <usize>TILE * wide;
  const factor: f32 = 1 / sqrt<f32>(<f32>d);
  for (let i0 = 0; i0 < queries; i0 += TILE) {
    const tile = min(TILE, queries - i0);
    let longest = 0;
    for (let i = 0; i < tile; i++) {
      const r = (i0 + i) / count, t = positions != 0 ? load<i32>(positions + (<usize>r << 2)) : r;
      const table = <usize>t * <usize>half << 2;
      rotate(q + headOffset(r, heads, first + (i0 + i) % count, d), scaled + <usize>i * wide, d, cos + table, sin + table, half, factor, 0);
      store<i32>(work + (<usize>i << 2), t + 1);
      longest = max(longest, t + 1);
    }
    attendTile(keys, values, d, tile, longest, work, scaled, out, scores);
    for (let i = 0; i < tile; i++) {
      scaleRow(out + <usize>i * wide, y + headOffset((i0 + i) / count, heads, first + (i0 + i) % count, d), d, load<f32>(work + 128 + (<usize>i << 2)));
    }
  }
}

// @ts-ignore: decorator
@inline function headOffset(row: i32, heads: i32, head: i32, d: i32): usize {
  return (<usize>row * <usize>heads + <usize>head) * <usize>d << 2;
}

/** Unnormalised outputs of a tile; `work` holds the visible counts (int32) and takes 1 / Σ exp (float32, 128 bytes on). */
function attendTile(keys: usize, values: usize, d: i32, rows: i32, longest: i32, work: usize, q: usize, out: usize, scores: usize): void {
  const wide = <usize>up16(d) << 2, row = <usize>up16(longest) << 2;
  scoreTile(keys, d, q, wide, rows, longest, scores, row);
  for (let i = 0; i < rows; i++) {
    const s = scores + <usize>i * row, n = load<i32>(work + (<usize>i << 2));
    store<f32>(work + 128 + (<usize>i << 2), <f32>(1 / expRow(s, s, n, rowMax(s, n))));
  }
  zeroFloats(out, rows * up16(d));
  for (let t = 0; t < longest; t += BLOCK) {
    for (let c = 0; c < d; c += 16) {
      const panel = valueAt(values, d, t) + <usize>(c * BLOCK << 2);
      for (let i = 0; i < rows; i += 2) {
        const s = scores + <usize>i * row + (<usize>t << 2), to = out + <usize>i * wide + (<usize>c << 2), n = visible(work, i, t);
        if (i + 1 == rows) {
          tile1x16(panel, 64, s, 4, to, n);
          continue;
        }
        const m = visible(work, i + 1, t), both = min(n, m), skip = <usize>both << 2;
        tile2x16(panel, 64, s, row, 4, to, wide, both);
        if (n > both) tile1x16(panel + (skip << 4), 64, s + skip, 4, to, n - both);
        if (m > both) tile1x16(panel + (skip << 4), 64, s + row + skip, 4, to + wide, m - both);
      }
    }
  }
}

/** How many positions of the block from t on query i sees. */
// @ts-ignore: decorator
@inline function visible(work: usize, i: i32, t: i32): i32 {
  return max(0, min(BLOCK, load<i32>(work + (<usize>i << 2)) - t));
}

/** scores [rows, longest] = q · k; lanes past the last position hold garbage. */
function scoreTile(keys: usize, d: i32, q: usize, qRow: usize, rows: i32, longest: i32, scores: usize, row: usize): void {
  zeroFloats(scores, rows * <i32>(row >> 2));
  for (let t = 0; t < longest; t += 16) tileRows(keys + (<usize>t * <usize>d << 2), 64, q, qRow, 4, scores + (<usize>t << 2), row, rows, 16, d);
}

/**
 * dq, and onto dk and dv (zeros before). With p = softmax(s), dp = dy · v:
 *   ds = p · (dp - Σ p dp) / √D,  dq = ds · k,  dk = dsᵀ · q,  dv = pᵀ · dy
 * Probabilities are computed again, sixteen queries at a time.
 */
export function attentionBackward(q: usize, k: usize, v: usize, dy: usize, dq: usize, dk: usize, dv: usize, time: i32, heads: i32, groups: i32, d: i32, work: usize, begin: i32, end: i32): void {
  const wide = <usize>up16(d) << 2;
  const keys = work, values = keys + keyBytes(time, d), keyColumns = values + keyBytes(time, d);
  const scaled = keyColumns + valueBytes(time, d), out = scaled + <usize>TILE_BACKWARD * wide, p = out + <usize>TILE_BACKWARD * wide;
  const ds = p + (<usize>TILE_BACKWARD * <usize>up16(time) << 2);
  const qRow = <usize>heads * <usize>d << 2, kvRow = <usize>groups * <usize>d << 2;
  const factor: f32 = 1 / sqrt<f32>(<f32>d);
  for (let pair = begin; pair < end; pair++) {
    const b = pair / groups, g = pair % groups, kv = (<usize>b * <usize>time * <usize>groups + <usize>g) * <usize>d << 2;
    packOverTime(k + kv, groups, d, time, keys);
    packOverTime(v + kv, groups, d, time, values);
    packOverColumns(k + kv, groups, d, time, keyColumns);
    const last = ((g + 1) * heads + groups - 1) / groups;
    for (let h = (g * heads + groups - 1) / groups; h < last; h++) {
      for (let r = 0; r < time; r += TILE_BACKWARD) {
        const rows = min(TILE_BACKWARD, time - r), longest = r + rows, row = <usize>up16(longest) << 2;
        const query = <usize>b * <usize>time * qRow + headOffset(r, heads, h, d);
        for (let i = 0; i < rows; i++) scaleRow(q + query + <usize>i * qRow, scaled + <usize>i * wide, d, factor);
        scoreTile(keys, d, scaled, wide, rows, longest, p, row);
        scoreTile(values, d, dy + query, qRow, rows, longest, ds, row);
        for (let i = 0; i < rows; i++) softmaxGradient(p + <usize>i * row, ds + <usize>i * row, r + i + 1, longest, factor);
        zeroFloats(out, rows * up16(d));
        for (let c = 0; c < d; c += 16) {
          const at = <usize>c << 2, columns = min(16, d - c);
          for (let t = 0; t < longest; t += BLOCK) tileRows(valueAt(keyColumns, d, t) + <usize>(c * BLOCK << 2), 64, ds + (<usize>t << 2), row, 4, out + at, wide, rows, 16, min(BLOCK, longest - t));
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
  const dot = f32x4.splat(<f32>dotRow(p, ds, n)), f = f32x4.splat(factor);
  const whole = <usize>(n >> 2) << 4;
  for (let at: usize = 0; at != whole; at += 16) v128.store(ds + at, f32x4.mul(f32x4.mul(v128.load(p + at), f32x4.sub(v128.load(ds + at), dot)), f));
  if ((n & 3) != 0) storeTail(ds + whole, f32x4.mul(f32x4.mul(v128.load(p + whole), f32x4.sub(v128.load(ds + whole), dot)), f), n & 3);
  zeroFloats(p + (<usize>n << 2), longest - n);
  zeroFloats(ds + (<usize>n << 2), longest - n);
}
