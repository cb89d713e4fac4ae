/**
 * Rotary positions and causal attention with grouped key/value heads, over whole sequences (training) and over a cache
 * (decoding).
 *   rope       (a, b) = (x_i, x_{i+h})  ->  (a cos - b sin, b cos + a sin), h = rotaryDim / 2     (Su et al. 2021)
 *   attention  y_t = Σ_{s<=t} softmax_s(q_t · k_s / √D) v_s, with a window of w over t-w < s <= t only
 * Pairs are half-split. Query head h reads key/value head floor(h · G / H).
 */
import type { AttentionDims, AttentionKernels, CacheDtype, CacheStorage, Rope } from "../device.js";
import { roundRow } from "../round-row.js";
import { type Allocate, copyInto, type Floats, floats, type OnFloats } from "./floats.js";

/** [capacity, G, D]. */
export interface ReferenceCache extends CacheStorage {
  readonly keys: Floats;
  readonly values: Floats;
}

/** One head's query, and the keys that it sees, as offsets into their arrays. */
interface Query {
  readonly queryAt: number;
  readonly keyAt: number;
  readonly keyStride: number;
  readonly visible: number;
  readonly headDim: number;
}

export function attentionKernels(allocate: Allocate): OnFloats<AttentionKernels> {
  return {
    rope(x, positions, rope, heads, headDim, inverse) {
      const out = x.slice();
      rotate(out, positions, rope, heads, headDim, inverse);
      return out;
    },

    attention(q, k, v, dims) {
      const out = allocate(q.length);
      forEachQuery(dims, (query) => attend({ q, k, v, out }, query));
      return out;
    },

    attentionBackward(q, k, v, dy, dims) {
      const dq = new Float64Array(q.length);
      const dk = new Float64Array(k.length);
      const dv = new Float64Array(v.length);
      const { headDim } = dims;
      const scale = 1 / Math.sqrt(headDim);
      forEachQuery(dims, (query) => {
        const { queryAt, keyAt, keyStride, visible } = query;
        const p = probabilities(q, k, query);
        const dp = new Float64Array(visible);
        let dot = 0;
        for (let s = 0; s < visible; s++) {
          for (let i = 0; i < headDim; i++) dp[s]! += dy[queryAt + i]! * v[keyAt + s * keyStride + i]!;
          dot += p[s]! * dp[s]!;
        }
        for (let s = 0; s < visible; s++) {
          const dScore = p[s]! * (dp[s]! - dot) * scale; // through softmax, then the 1/√D
          for (let i = 0; i < headDim; i++) {
            const at = keyAt + s * keyStride + i;
            dv[at]! += p[s]! * dy[queryAt + i]!;
            dq[queryAt + i]! += dScore * k[at]!;
            dk[at]! += dScore * q[queryAt + i]!;
          }
        }
      });
      return { dq: copyInto(allocate, dq), dk: copyInto(allocate, dk), dv: copyInto(allocate, dv) };
    },

    cacheWrite(segments, kv, rope) {
      let row = 0;
      for (const { cache, positions } of segments) {
        const { keys, values, kvHeads, headDim, dtype } = cache as ReferenceCache;
        const width = kvHeads * headDim;
        for (const position of positions) {
          const key = kv.slice(2 * row * width, (2 * row + 1) * width);
          const value = kv.slice((2 * row + 1) * width, (2 * row + 2) * width);
          if (rope) rotate(key, [position], rope, kvHeads, headDim, false);
          keys.set(rounded(key, headDim, dtype), position * width);
          values.set(rounded(value, headDim, dtype), position * width);
          row++;
        }
      }
    },

    cacheAttention(segments, unturned, heads, rope, window) {
      const q = unturned.slice();
      const out = allocate(q.length);
      let row = 0;
      for (const { cache, positions } of segments) {
        const { keys, values, kvHeads, headDim } = cache as ReferenceCache;
        for (const position of positions) {
          const begin = row * heads * headDim;
          if (rope) rotate(q.subarray(begin, begin + heads * headDim), [position], rope, heads, headDim, false);
          const first = firstSeen(position, window);
          for (let h = 0; h < heads; h++) {
            attend(
              { q, k: keys, v: values, out },
              {
                queryAt: begin + h * headDim,
                keyAt: (first * kvHeads + Math.floor((h * kvHeads) / heads)) * headDim,
                keyStride: kvHeads * headDim,
                visible: position + 1 - first,
                headDim,
              },
            );
          }
          row++;
        }
      }
      return out;
    },
  };
}

/** Keys or values of one position, [G·D], as a cache of this type holds them; int8 has a scale per head. */
function rounded(x: Floats, headDim: number, dtype: CacheDtype): Floats {
  switch (dtype) {
    case "float32":
      return x;
    case "bfloat16":
      return roundRow(Float32Array.from(x), dtype);
    case "int8": {
      const out = Float32Array.from(x);
      for (let at = 0; at < out.length; at += headDim) roundHead(out.subarray(at, at + headDim));
      return out;
    }
  }
}

/** x ≈ q · s in place, with int8 q and s = max |x| / 127. */
function roundHead(x: Float32Array): void {
  const scale = Math.fround(x.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / 127);
  x.forEach((value, i) => {
    x[i] = scale === 0 ? 0 : Math.round(value / scale) * scale;
  });
}

function firstSeen(position: number, window = Infinity): number {
  return Math.max(0, position + 1 - window);
}

function forEachQuery(dims: AttentionDims, visit: (query: Query) => void): void {
  const { batch, time, heads, kvHeads, headDim, window } = dims;
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < time; t++) {
      const first = firstSeen(t, window);
      for (let h = 0; h < heads; h++) {
        const keyHead = Math.floor((h * kvHeads) / heads);
        visit({
          queryAt: ((b * time + t) * heads + h) * headDim,
          keyAt: ((b * time + first) * kvHeads + keyHead) * headDim,
          keyStride: kvHeads * headDim,
          visible: t + 1 - first,
          headDim,
        });
      }
    }
  }
}

/** out[queryAt ..] = Σ_s p_s v_s. */
function attend({ q, k, v, out }: Readonly<Record<"q" | "k" | "v" | "out", Floats>>, query: Query): void {
  const { queryAt, keyAt, keyStride, visible, headDim } = query;
  const p = probabilities(q, k, query);
  for (let i = 0; i < headDim; i++) {
    let sum = 0;
    for (let s = 0; s < visible; s++) sum += p[s]! * v[keyAt + s * keyStride + i]!;
    out[queryAt + i] = sum;
  }
}

/** softmax over s < visible of q · k_s / √D. */
function probabilities(q: Floats, k: Floats, { queryAt, keyAt, keyStride, visible, headDim }: Query): Float64Array {
  const p = new Float64Array(visible);
  let max = -Infinity;
  for (let s = 0; s < visible; s++) {
    let dot = 0;
    for (let i = 0; i < headDim; i++) dot += q[queryAt + i]! * k[keyAt + s * keyStride + i]!;
    p[s] = dot / Math.sqrt(headDim);
    max = Math.max(max, p[s]!);
  }
  let sum = 0;
  for (let s = 0; s < visible; s++) sum += p[s] = Math.exp(p[s]! - max);
  for (let s = 0; s < visible; s++) p[s]! /= sum;
  return p;
}

function rotate(
  x: Floats,
  positions: ArrayLike<number>,
  { cos, sin, rotaryDim }: Rope,
  heads: number,
  headDim: number,
  inverse: boolean,
): void {
  const cosines = floats(cos);
  const sines = floats(sin);
  const half = rotaryDim / 2;
  for (let r = 0; r < positions.length; r++) {
    for (let h = 0; h < heads; h++) {
      const begin = (r * heads + h) * headDim;
      for (let i = 0; i < half; i++) {
        const c = cosines[positions[r]! * half + i]!;
        const s = inverse ? -sines[positions[r]! * half + i]! : sines[positions[r]! * half + i]!;
        const a = x[begin + i]!;
        const b = x[begin + half + i]!;
        x[begin + i] = a * c - b * s;
        x[begin + half + i] = b * c + a * s;
      }
    }
  }
}
