/**
 * Packs integer weights into panels (bytes.as.ts, nibbles.as.ts). Rows arrive as integers [count][k], a byte each, with
 * a scale and a minimum per group of 32. Memory of a new matrix is zero, and so is padding.
 */
import { ACROSS_INT8, NIBBLE_HALVES } from "../../constants";
import { groupsOf } from "./activations.as";
import { BYTES_HEAD, FLOAT_HEAD, HALF_HEAD, halfOf } from "./dots.as";
import { panelBytes } from "../layout.as";

/** q [count][k] bytes at `from`, scales and, of int4, minimums [count][k / 32] float32 at `d` and `m`. */
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
  const size = panel / groups;
  for (let row = first; row < first + count; row++) {
    const lane = row & 15;
    let to = w + (row >> 4) * panel;
    for (let g = 0; g < groups; g++) {
      const left = min(32, k - (g << 5));
      if (kind == ACROSS_INT8) packBytes(to, lane, left, from, load<f32>(d));
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
  const at = to + BYTES_HEAD + (lane << 2);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const four = load<u32>(from + i);
    store<u32>(at + (i << 4), four);
    sum += <i32>(<i8>four) + <i32>(<i8>(four >> 8)) + <i32>(<i8>(four >> 16)) + ((<i32>four) >> 24);
  }
  for (; i < count; i++) {
    const q = load<i8>(from + i);
    sum += q;
    store<i8>(at + ((i >> 2) << 6) + (i & 3), q);
  }
  store<i16>(to + (lane << 2), <i16>-sum);
  store<u16>(to + (lane << 2), halfOf(d), 2);
}

function packNibbles(half: bool, to: usize, lane: usize, count: i32, from: usize, d: f32, m: f32): void {
  if (half) {
    store<u16>(to + (lane << 2), halfOf(d));
    store<u16>(to + (lane << 2), halfOf(m), 2);
  } else {
    store<f32>(to + (lane << 2), d);
    store<f32>(to + 64 + (lane << 2), m);
  }
  const at = to + (half ? HALF_HEAD : FLOAT_HEAD) + (lane << 2);
  let i = 0;
  for (; i + 8 <= count; i += 8) {
    store<u32>(at + (i << 3), load<u32>(from + i) | (load<u32>(from + i, 4) << 4));
  }
  for (; i < count; i++) {
    const byte = at + ((i >> 3) << 6) + (i & 3);
    const q = load<u8>(from + i);
    store<u8>(byte, (i & 4) == 0 ? q | (load<u8>(byte) & 0xf0) : (q << 4) | (load<u8>(byte) & 15));
  }
}
