/**
 * Naive loop: integerValues in src/tensor/integer-rows.ts, equal bit for bit.
 * Reads packed integer weights as float32. The layouts are in bytes.as.ts and nibbles.as.ts.
 */
import { ACROSS_INT8, NIBBLE_HALVES } from "../../constants";
import { BYTES_HEAD, FLOAT_HEAD, floatOf, HALF_HEAD } from "./dots.as";

/** Element k of lane `lane` of the panel at w, with groups of `size` bytes. */
export function integerValue(kind: i32, w: usize, size: usize, k: i32, lane: i32): f32 {
  const group = w + (k >> 5) * size;
  const i = k & 31;
  if (kind == ACROSS_INT8) {
    const q = load<i8>(group + BYTES_HEAD + ((i >> 2) << 6) + (lane << 2) + (i & 3));
    return <f32>q * floatOf(load<u16>(group + (lane << 2), 2));
  }
  const half = kind == NIBBLE_HALVES;
  const facts = group + (lane << 2);
  const d = half ? floatOf(load<u16>(facts)) : load<f32>(facts);
  const m = half ? floatOf(load<u16>(facts, 2)) : load<f32>(facts, 64);
  const head = half ? HALF_HEAD : FLOAT_HEAD;
  const byte = load<u8>(group + head + ((i >> 3) << 6) + (lane << 2) + (i & 3));
  return <f32>(<f64>d * <f64>((i & 4) == 0 ? byte & 15 : byte >> 4) + <f64>m);
}

/** Elements [k, k + count) of a lane; k and count are multiples of eight. */
export function integerValues(kind: i32, w: usize, size: usize, k: i32, count: i32, lane: i32, to: usize): void {
  const at = lane << 2;
  for (const end = k + count; k < end; k += 8) {
    const group = w + (k >> 5) * size;
    const eight = (k & 31) >> 3;
    if (kind == ACROSS_INT8) {
      const d = f32x4.splat(floatOf(load<u16>(group + at, 2)));
      const q = group + BYTES_HEAD + (eight << 7) + at;
      v128.store(to, f32x4.mul(fourBytes(v128.load32_zero(q)), d));
      v128.store(to, f32x4.mul(fourBytes(v128.load32_zero(q, 64)), d), 16);
    } else {
      const half = kind == NIBBLE_HALVES;
      const d = half ? floatOf(load<u16>(group + at)) : load<f32>(group + at);
      const m = half ? floatOf(load<u16>(group + at, 2)) : load<f32>(group + at, 64);
      const word = load<u32>(group + (half ? HALF_HEAD : FLOAT_HEAD) + (eight << 6) + at);
      storeNibbles(to, word & 0x0f0f0f0f, d, m);
      storeNibbles(to + 16, (word >> 4) & 0x0f0f0f0f, d, m);
    }
    to += 32;
  }
}

// @ts-ignore: decorator
@inline function fourBytes(q: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(q)));
}

/** d·q + m of four bytes, rounded once. */
// @ts-ignore: decorator
@inline function storeNibbles(to: usize, q: u32, d: f32, m: f32): void {
  const four = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(i32x4.splat(q)));
  const scale = f64x2.splat(d);
  const least = f64x2.splat(m);
  const low = f64x2.add(f64x2.mul(f64x2.convert_low_i32x4_s(four), scale), least);
  const rest = i8x16.shuffle(four, four, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
  const high = f64x2.add(f64x2.mul(f64x2.convert_low_i32x4_s(rest), scale), least);
  v128.store64_lane(to, f32x4.demote_f64x2_zero(low), 0);
  v128.store64_lane(to, f32x4.demote_f64x2_zero(high), 0, 8);
}
