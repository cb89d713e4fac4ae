/**
 * Naive loop: ggufIntegers in src/tensor/formats/gguf/decode.ts, equal bit for bit; for rounded rows, decodeGguf.
 * Stored rows on their way into panels. Without loss, sixteen rows of a group are unpacked to bytes, scales and
 * minimums, and packed at once. To be rounded, a panel's rows become float32 first.
 */
import { ACROSS_BF16, ACROSS_F32, ACROSS_INT8, BF16, F16, F32, Q4_0, Q4_1, Q4_K, Q5_0, Q6_K, Q8_0 } from "../constants";
import { packIntegers, roundBytes, roundNibbles } from "./integers/pack.as";
import { panelBytes } from "./layout.as";
import { packBfloat16, packFloat32 } from "./panels.as";
import { widen } from "../simd.as";

// Of the group that was unpacked last. Each thread has its own.
let scale: f32 = 0;
let minimum: f32 = 0;

/** Places in working memory, which begins with sixteen rows of a group as bytes. */
const SCALES: usize = 512;
const MINIMUMS: usize = 576;
/** Two rows of a group as float64. */
const ROW_PAIRS: usize = 640;
/** A panel's rows, and room for a group behind them. */
const FLOATS: usize = 1152;

/**
 * Rows [first, first + count) at `from`, rounded or, of types with integers, without loss. Item i: those in the i-th of
 * the panels that they touch.
 */
export function packBlocks(
  kind: i32,
  w: usize,
  k: i32,
  first: i32,
  count: i32,
  type: i32,
  from: usize,
  rowBytes: usize,
  rounds: bool,
  work: usize,
  begin: i32,
  end: i32,
): void {
  const perBlock = type == Q4_K ? 8 : 1;
  for (; begin < end; begin++) {
    const panel = (first >> 4) + begin;
    const row = max(first, panel << 4);
    const rows = min(first + count, (panel + 1) << 4) - row;
    const rowsAt = from + (row - first) * rowBytes;
    if (rounds) {
      unpackFloats(type, rowsAt, rows * k, work + FLOATS);
      packRounded(kind, w, k, row, rows, work);
      continue;
    }
    const blockBytes = (rowBytes * perBlock) / (k >> 5);
    let to = w + panel * panelBytes(kind, k);
    for (let g = 0; g < k >> 5; g++) {
      const at = rowsAt + (g / perBlock) * blockBytes;
      for (let r = 0; r < rows; r++) {
        unpack(type, at + r * rowBytes, g & 7, work + (r << 5));
        store<f32>(work + (r << 2), scale, SCALES);
        store<f32>(work + (r << 2), minimum, MINIMUMS);
      }
      // A group is a matrix of 32 columns: its panel is written while it is in the nearest cache.
      packIntegers(kind, to, 32, row & 15, rows, work, work + SCALES, work + MINIMUMS);
      to += panelBytes(kind, 32);
    }
  }
}

/** Rows of one panel, as float32 [rows, k] in working memory. */
function packRounded(kind: i32, w: usize, k: i32, row: i32, rows: i32, work: usize): void {
  const floats = work + FLOATS;
  if (kind == ACROSS_F32) packFloat32(w, k, row, rows, floats);
  else if (kind == ACROSS_BF16) packBfloat16(w, k, row, rows, floats);
  else {
    let to = w + (row >> 4) * panelBytes(kind, k);
    for (let g = 0; g < k; g += 32) {
      const left = min(32, k - g);
      for (let r = 0; r < rows; r++) {
        const x = floats + ((r * k + g) << 2);
        const q = work + r * left;
        const d = work + SCALES + (r << 2);
        if (kind == ACROSS_INT8) roundBytes(x, left, 1, q, d);
        else {
          const next = <i32>(r + 1 < rows); // a last row is its own neighbour
          roundNibbles(x, x + next * (k << 2), left, work + ROW_PAIRS, q, q + next * left, d, d + (next << 2));
          r++;
        }
      }
      packIntegers(kind, to, left, row & 15, rows, work, work + SCALES, work + MINIMUMS);
      to += panelBytes(kind, 32);
    }
  }
}

/** Group g of the block at `at`; integers to `q`. Minimums are those of four bits. */
function unpack(type: i32, at: usize, g: usize, q: usize): void {
  scale = halfAt(at);
  minimum = -8 * scale;
  if (type == Q8_0) {
    v128.store(q, v128.load(at, 2));
    v128.store(q, v128.load(at, 18), 16);
  } else if (type == Q4_K) {
    const low = load<u8>(at + (g & 3), 4);
    const middle = load<u8>(at + (g & 3), 8);
    const high = load<u8>(at + (g & 3), 12);
    scale *= <f32>(g < 4 ? low & 63 : (high & 15) | ((low >> 6) << 4));
    minimum = -halfAt(at + 2) * <f32>(g < 4 ? middle & 63 : (high >> 4) | ((middle >> 6) << 4));
    for (let h: usize = 0; h < 32; h += 16) {
      const pairs = v128.load(at + ((g >> 1) << 5) + h, 16);
      v128.store(q + h, v128.and(i8x16.shr_u(pairs, (g & 1) << 2), i8x16.splat(15)));
    }
  } else {
    if (type == Q4_1) minimum = halfAt(at + 2);
    const pairs = v128.load(at + (type == Q4_0 ? 2 : type == Q4_1 ? 4 : 6));
    const low = v128.and(pairs, i8x16.splat(15));
    const high = i8x16.shr_u(pairs, 4);
    v128.store(q, type == Q5_0 ? withFifths(low, at + 2) : low);
    v128.store(q, type == Q5_0 ? withFifths(high, at + 4) : high, 16);
  }
}

/** Adds sixteen fifth bits, and subtracts 16. */
// @ts-ignore: decorator
@inline function withFifths(q: v128, bits: usize): v128 {
  const each = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  const two = v128.load16_splat(bits);
  const spread = i8x16.shuffle(two, two, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const without = i8x16.ne(v128.and(spread, each), each);
  return i8x16.sub(q, v128.and(without, i8x16.splat(16)));
}

/** float16, infinities and NaN too. */
function halfAt(at: usize): f32 {
  const half = <u32>load<u16>(at);
  const size = (half & 0x7fff) << 13;
  const scaled = reinterpret<u32>(reinterpret<f32>(size) * 5.192296858534828e33); // 2^112
  return reinterpret<f32>(((half & 0x8000) << 16) | (size < 0x0f800000 ? scaled : size | 0x7f800000));
}

/** `count` values as float32. A group's bytes lie behind its place meanwhile. */
function unpackFloats(type: i32, from: usize, count: i32, to: usize): void {
  const end = to + (count << 2);
  if (type == F32) memory.copy(to, from, count << 2);
  else if (type == BF16) {
    for (; to < end; to += 4) {
      store<u32>(to, (<u32>load<u16>(from)) << 16);
      from += 2;
    }
  } else if (type == F16) {
    for (; to < end; to += 4) {
      store<f32>(to, halfAt(from));
      from += 2;
    }
  } else if (type == Q6_K) unpackSixths(from, count >> 8, to);
  else {
    const blockBytes = type == Q8_0 ? 34 : type == Q5_0 ? 22 : type == Q4_K ? 144 : type == Q4_1 ? 20 : 18;
    const own = type == Q4_1 || type == Q4_K;
    const less = i8x16.splat(type == Q4_0 ? 8 : 0);
    for (let g = 0; to != end; to += 128) {
      unpack(type, from, g & 7, to + 128);
      const low = i8x16.sub(v128.load(to, 128), less);
      const high = i8x16.sub(v128.load(to, 144), less);
      const d = f32x4.splat(scale);
      const m = f32x4.splat(own ? minimum : -0.0); // added, -0 leaves all values as they are, zeros too
      widen(low, d, d, d, d, to);
      widen(high, d, d, d, d, to + 64);
      for (let i = to; i != to + 128; i += 16) v128.store(i, f32x4.add(v128.load(i), m));
      g++;
      if (type != Q4_K || (g & 7) == 0) from += blockBytes;
    }
  }
}

/** Blocks of Q6_K: low nibbles [128], high bit pairs [64], signed scales [16] and d. */
function unpackSixths(from: usize, blocks: i32, to: usize): void {
  for (; blocks > 0; blocks--) {
    const d = halfAt(from + 208);
    for (let i = 0; i < 16; i++) {
      const low = v128.load(from + ((i >> 3) << 6) + ((i & 3) << 4));
      const high = v128.load(from + ((i >> 3) << 5) + ((i & 1) << 4), 128);
      const nibbles = v128.and(i8x16.shr_u(low, i & 4), i8x16.splat(15));
      const pairs = v128.and(i8x16.shr_u(high, i & 6), i8x16.splat(3));
      const q = i8x16.sub(v128.or(nibbles, i8x16.shl(pairs, 4)), i8x16.splat(32));
      const scale = f32x4.splat(d * <f32>load<i8>(from + i, 192));
      widen(q, scale, scale, scale, scale, to);
      to += 64;
    }
    from += 210;
  }
}
