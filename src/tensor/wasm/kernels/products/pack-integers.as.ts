/**
 * Integer weights into panels, and back. Rows arrive as float32 (int8 with one scale per row: w ≈ q · s, s = max |w| /
 * 127), or as integers [count][k], a byte each, with a scale and a minimum per group of 32. The layouts are in
 * bytes.as.ts and nibbles.as.ts. Memory of a new matrix is zero, and so is all padding.
 */
import { groupsOf } from "./activations.as";
import { GROUP_HEAD, ROW_HEAD } from "./bytes.as";
import { floatOf, halfOf } from "./integer-dots.as";
import { FLOAT_HEAD, HALF_HEAD } from "./nibbles.as";
import { ACROSS_INT8, BYTE_GROUPS, NIBBLE_HALVES, panelBytes } from "./panels.as";

/** Bytes of the weights of a group of int8; half as many of int4. */
const BYTES: usize = 512;

/** Stores rows [first, first + count) of W, float32 [count, k] at `from`, as int8; scales of rows at `scales`. */
export function packInt8(w: usize, scales: usize, k: i32, first: i32, count: i32, from: usize): void {
  const panel = panelBytes(ACROSS_INT8, k);
  for (let row = first; row < first + count; row++) {
    let largest: f32 = 0;
    for (let i = 0; i < k; i++) largest = max(largest, abs(load<f32>(from + ((<usize>i) << 2))));
    const scale = largest / 127;
    store<f32>(scales + ((<usize>row) << 2), scale);
    let to = w + <usize>(row >> 4) * panel;
    for (let g = 0; g < k; g += 32) {
      const lane = to + ROW_HEAD + ((<usize>(row & 15)) << 2);
      let sum = 0;
      for (let i = g; i < min(g + 32, k); i++) {
        const q = scale == 0 ? 0 : <i32>floor<f64>(<f64>load<f32>(from) / <f64>scale + 0.5);
        store<i8>(lane + ((<usize>((i - g) >> 2)) << 6) + <usize>(i & 3), <i8>q);
        sum += q;
        from += 4;
      }
      store<i16>(to + ((<usize>(row & 15)) << 1), <i16>-sum);
      to += ROW_HEAD + BYTES;
    }
  }
}

/**
 * Stores rows of integers: q [count][k] bytes at `from`, scales and, of int4, minimums [count][k / 32] float32 at `d`
 * and `m`.
 */
export function packIntegers(
  kind: i32,
  w: usize,
  k: i32,
  first: i32,
  count: i32,
  from: usize,
  d: usize,
  m: usize,
): void {
  const panel = panelBytes(kind, k);
  const groups = groupsOf(k);
  const size = panel / <usize>groups;
  for (let row = first; row < first + count; row++) {
    const lane = <usize>(row & 15);
    let to = w + <usize>(row >> 4) * panel;
    for (let g = 0; g < groups; g++) {
      const left = min(32, k - (g << 5));
      if (kind == BYTE_GROUPS) packBytes(to, lane, left, from, load<f32>(d));
      else packNibbles(kind == NIBBLE_HALVES, to, lane, left, from, load<f32>(d), load<f32>(m));
      to += size;
      from += left;
      d += 4;
      m += 4;
    }
  }
}

function packBytes(to: usize, lane: usize, count: i32, from: usize, d: f32): void {
  let sum = 0;
  const at = to + GROUP_HEAD + (lane << 2);
  for (let i = 0; i < count; i++) {
    const q = load<i8>(from + i);
    sum += q;
    store<i8>(at + ((<usize>(i >> 2)) << 6) + (i & 3), q);
  }
  store<i16>(to + (lane << 1), <i16>-sum);
  store<u16>(to + 32 + (lane << 1), halfOf(d));
}

function packNibbles(half: bool, to: usize, lane: usize, count: i32, from: usize, d: f32, m: f32): void {
  if (half) {
    store<u16>(to + (lane << 1), halfOf(d));
    store<u16>(to + 32 + (lane << 1), halfOf(m));
  } else {
    store<f32>(to + (lane << 2), d);
    store<f32>(to + 64 + (lane << 2), m);
  }
  const at = to + (half ? HALF_HEAD : FLOAT_HEAD) + (lane << 2);
  for (let i = 0; i < count; i++) {
    const byte = at + ((<usize>(i >> 3)) << 6) + (i & 3);
    const q = load<u8>(from + i);
    store<u8>(byte, (i & 4) == 0 ? q | (load<u8>(byte) & 0xf0) : (q << 4) | (load<u8>(byte) & 15));
  }
}

/** Element k of lane `lane` of the panel at w, as float32; `scale` is that of its row, for int8 with one per row. */
export function integerValue(kind: i32, w: usize, size: usize, k: i32, lane: i32, scale: f32): f32 {
  const group = w + <usize>(k >> 5) * size;
  const i = k & 31;
  if (kind == ACROSS_INT8 || kind == BYTE_GROUPS) {
    const head = kind == ACROSS_INT8 ? ROW_HEAD : GROUP_HEAD;
    const q = <f32>load<i8>(group + head + ((<usize>(i >> 2)) << 6) + ((<usize>lane) << 2) + (i & 3));
    return q * (kind == ACROSS_INT8 ? scale : floatOf(load<u16>(group + 32 + ((<usize>lane) << 1))));
  }
  const half = kind == NIBBLE_HALVES;
  const d = half ? floatOf(load<u16>(group + ((<usize>lane) << 1))) : load<f32>(group + ((<usize>lane) << 2));
  const m = half ? floatOf(load<u16>(group + 32 + ((<usize>lane) << 1))) : load<f32>(group + 64 + ((<usize>lane) << 2));
  const head = half ? HALF_HEAD : FLOAT_HEAD;
  const byte = load<u8>(group + head + ((<usize>(i >> 3)) << 6) + ((<usize>lane) << 2) + (i & 3));
  return <f32>(<f64>d * <f64>((i & 4) == 0 ? byte & 15 : byte >> 4) + <f64>m);
}
