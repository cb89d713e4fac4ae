/**
 * Naive loop: attentionBackward in src/tensor/reference/attention.ts, which sums in float64.
 * The gradient of causal attention over whole sequences. With p = softmax(s) and dp = dy · v:
 *   ds = p · (dp - Σ p dp) / √D,  dq = ds · k,  dk = dsᵀ · q,  dv = pᵀ · dy
 * Probabilities are computed again, sixteen queries at a time.
 */
import { CACHE_F32 } from "../constants";
import { firstHead, firstSeen, headOffset, TILE_BACKWARD } from "./attention.as";
import { BLOCK, keyBytes, keyPanel, packOverColumns, packOverTime, up16, valueAt, valueBytes } from "./cache.as";
import { tileRows } from "../products/tiles.as";
import { dotRow, expRow, rowMax, scaleRow } from "../rows.as";
import { copyFloats, storeTail, zeroFloats } from "../simd.as";

/** Writes dq, and adds onto dk and dv, which must be zero at first; pairs (batch, key/value head) [begin, end). */
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
  window: i32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const wide = up16(d) << 2;
  const keys = work;
  const values = keys + keyBytes(time, d, CACHE_F32);
  const keyColumns = values + keyBytes(time, d, CACHE_F32);
  const scaled = keyColumns + valueBytes(time, d, CACHE_F32);
  const out = scaled + TILE_BACKWARD * wide;
  const p = out + TILE_BACKWARD * wide;
  const ds = p + ((TILE_BACKWARD * up16(time)) << 2);
  const qRow = (heads * d) << 2;
  const kvRow = (groups * d) << 2;
  const factor: f32 = 1 / sqrt<f32>(<f32>d);
  for (let pair = begin; pair < end; pair++) {
    const b = pair / groups;
    const g = pair % groups;
    const kv = ((b * time * groups + g) * d) << 2;
    packOverTime(k + kv, groups, d, time, keys);
    packOverTime(v + kv, groups, d, time, values);
    packOverColumns(k + kv, groups, d, time, keyColumns);
    const last = firstHead(g + 1, heads, groups);
    for (let h = firstHead(g, heads, groups); h < last; h++) {
      for (let r = 0; r < time; r += TILE_BACKWARD) {
        const rows = min(TILE_BACKWARD, time - r);
        const longest = r + rows;
        const row = up16(longest) << 2;
        const query = b * time * qRow + headOffset(r, heads, h, d);
        for (let i = 0; i < rows; i++) scaleRow(q + query + i * qRow, scaled + i * wide, d, factor);
        scoreTile(keys, d, scaled, wide, rows, longest, p, row);
        scoreTile(values, d, dy + query, qRow, rows, longest, ds, row);
        for (let i = 0; i < rows; i++) {
          const unseen = firstSeen(r + i + 1, window);
          const at = i * row + (unseen << 2);
          softmaxGradient(p + at, ds + at, r + i + 1 - unseen, longest - unseen, factor);
          zeroFloats(p + i * row, unseen);
          zeroFloats(ds + i * row, unseen);
        }
        zeroFloats(out, rows * up16(d));
        for (let c = 0; c < d; c += 16) {
          const at = c << 2;
          const columns = min(16, d - c);
          for (let t = 0; t < longest; t += BLOCK) {
            tileRows(
              valueAt(keyColumns, 1, 0, d, t) + ((c * BLOCK) << 2),
              64,
              ds + (t << 2),
              row,
              4,
              out + at,
              wide,
              rows,
              16,
              min(BLOCK, longest - t),
            );
          }
          tileRows(q + query + at, qRow, ds, 4, row, dk + kv + at, kvRow, longest, columns, rows);
          tileRows(dy + query + at, qRow, p, 4, row, dv + kv + at, kvRow, longest, columns, rows);
        }
        for (let i = 0; i < rows; i++) copyFloats(dq + query + i * qRow, out + i * wide, d);
      }
    }
  }
}

/** Scores become probabilities, dp becomes ds; both are zero from n (the visible positions) to `longest`. */
function softmaxGradient(p: usize, ds: usize, n: i32, longest: i32, factor: f32): void {
  scaleRow(p, p, n, <f32>(1 / expRow(p, p, n, rowMax(p, n))));
  const dot = f32x4.splat(<f32>dotRow(p, ds, n));
  const f = f32x4.splat(factor);
  const whole = (n >> 2) << 4;
  for (let at: usize = 0; at != whole; at += 16) {
    v128.store(ds + at, f32x4.mul(f32x4.mul(v128.load(p + at), f32x4.sub(v128.load(ds + at), dot)), f));
  }
  if ((n & 3) != 0) {
    storeTail(ds + whole, f32x4.mul(f32x4.mul(v128.load(p + whole), f32x4.sub(v128.load(ds + whole), dot)), f), n & 3);
  }
  zeroFloats(p + (n << 2), longest - n);
  zeroFloats(ds + (n << 2), longest - n);
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
  for (let t = 0; t < longest; t += 16) {
    tileRows(keyPanel(keys, 1, 0, d, t), 64, q, qRow, 4, scores + (t << 2), row, rows, 16, d);
  }
}
