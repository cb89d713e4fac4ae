/**
 * Panels: how a matrix W [N, K] lies in memory so that products read it front to back. Panel p holds rows 16p .. 16p+15
 * of W as [K][16]: for each k, the weights of sixteen output columns side by side. One layout serves the product with
 * one row (decoding) and with many (prefill); the last panel is padded with zeros.
 *   float32   [K][16] floats, 64 bytes per k
 *   bfloat16  [K][16] halves; two panels lie side by side, [K][2][16], so that a product with one row reads one place
 *             for both: 64 bytes per k; columns c and c + 8 of a panel share a 32-bit word, low and high
 *   int8      groups of 32 k, see integers/bytes.as.ts
 *   int4      groups of 32 k, see integers/nibbles.as.ts
 * `packBlock` brings a block of 16 columns by a few k of any operand into the float32 form, so that one blocked product
 * serves them all.
 */
import { ACROSS_BF16, ACROSS_F32, MATRIX, MATRIX_TRANSPOSED, PANELS_BF16 } from "../constants";
import { integerValue, integerValues } from "./integers/pack.as";
import { halfOffset, panelAt, panelBytes } from "./layout.as";
import { storeFour, transpose4 } from "../simd.as";

/**
 * Packs columns [16p, 16p + 16) and inner indices [k0, k0 + kn) of an operand, n x k as the product sees it, into `to`,
 * [kn][16]. Columns beyond n are zero, or copies of a neighbour: they are never stored.
 */
export function packBlock(kind: i32, w: usize, n: i32, k: i32, p: i32, k0: i32, kn: i32, to: usize): void {
  if (kind == MATRIX) packMatrix(w, n, p << 4, k0, kn, to);
  else if (kind == MATRIX_TRANSPOSED) {
    packTransposed(w + (((p << 4) * k + k0) << 2), k << 2, min(16, n - (p << 4)), kn, to);
  } else if (kind == PANELS_BF16) unpackHalves(panelAt(kind, w, p, k) + (k0 << 6), 64, kn, to);
  else packAcross(kind, w, n, k, p << 4, k0, kn, to);
}

/** Rows k of a [K, N] matrix, sixteen columns of each. */
export function packMatrix(w: usize, n: i32, column: i32, k0: i32, kn: i32, to: usize): void {
  const row = n << 2;
  w += k0 * row + (column << 2);
  for (let i = 0; i < kn; i++) {
    // the last panel reads into the next row: those lanes are not stored
    storeFour(to, v128.load(w), v128.load(w, 16), v128.load(w, 32), v128.load(w, 48));
    w += row;
    to += 64;
  }
}

/**
 * `columns` <= 16 rows of a matrix, `row` bytes apart, kn values each -> [kn][16], four by four, a cache line of every
 * row at a time.
 */
export function packTransposed(w: usize, row: usize, columns: i32, kn: i32, to: usize): void {
  for (let k0 = 0; k0 < kn; k0 += 16) {
    const deep = min(16, kn - k0);
    for (let c = 0; c < 16; c += 4) {
      const w0 = w + min(c, columns - 1) * row;
      const w1 = w + min(c + 1, columns - 1) * row;
      const w2 = w + min(c + 2, columns - 1) * row;
      const w3 = w + min(c + 3, columns - 1) * row;
      let out = to + (c << 2);
      let at: usize = 0;
      let k = deep;
      for (; k >= 4; k -= 4) {
        transpose4(v128.load(w0 + at), v128.load(w1 + at), v128.load(w2 + at), v128.load(w3 + at), out, 64);
        at += 16;
        out += 256;
      }
      for (; k > 0; k--) {
        store<f32>(out, load<f32>(w0 + at));
        store<f32>(out, load<f32>(w1 + at), 4);
        store<f32>(out, load<f32>(w2 + at), 8);
        store<f32>(out, load<f32>(w3 + at), 12);
        at += 4;
        out += 64;
      }
    }
    w += 64;
    to += 1024;
  }
}

/**
 * Words with only the upper halves set, loaded before loops: V8 keeps what was loaded in a register, but (V8 13.6, Node
 * 24) makes a constant anew at each use, by three instructions.
 */
export const UPPER_HALVES: usize = memory.data<u32>([0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000], 16);

/**
 * bfloat16 to float32, exactly: the upper half. A word holds columns c (low) and c + 8 (high); from one k to the next
 * it is `wStep` bytes.
 */
export function unpackHalves(w: usize, wStep: usize, kn: i32, to: usize): void {
  const upper = v128.load(UPPER_HALVES);
  for (let i = 0; i < kn; i++) {
    const a = v128.load(w);
    const b = v128.load(w, 16);
    storeFour(to, i32x4.shl(a, 16), i32x4.shl(b, 16), v128.and(a, upper), v128.and(b, upper));
    w += wStep;
    to += 64;
  }
}

/**
 * Columns [column, column + 16) of the packed W [K, N], whose panels run along K here, 16 of its rows each; rows [k0,
 * k0 + kn). A square of 16 x 16 lies in one piece, [column][row], and is transposed.
 */
function packAcross(kind: i32, w: usize, n: i32, k: i32, column: i32, k0: i32, kn: i32, to: usize): void {
  const panel = panelBytes(kind, n);
  const size = panel / max(1, (n + 31) >> 5);
  const columns = min(16, n - column);
  for (let i = 0; i < kn; i++) {
    const row = k0 + i;
    const lane = row & 15;
    const at = panelAt(kind, w, row >> 4, n);
    if (kind <= ACROSS_BF16 && lane == 0 && i + 16 <= kn && columns == 16) {
      if (kind == ACROSS_F32) transposeSquare(at + (column << 6), to);
      else transposeHalves(at + (column << 6), to);
      i += 15;
      to += 1024;
      continue;
    }
    if (kind > ACROSS_BF16 && columns == 16) {
      integerValues(kind, at, size, column, 16, lane, to);
      to += 64;
      continue;
    }
    for (let c = 0; c < columns; c++) {
      store<f32>(to + (c << 2), packedValue(kind, at, size, column + c, lane));
    }
    to += 64;
  }
}

function transposeSquare(w: usize, to: usize): void {
  for (let c = 0; c < 16; c += 4) {
    for (let r: usize = 0; r < 64; r += 16) {
      const from = w + (c << 6) + r;
      transpose4(
        v128.load(from),
        v128.load(from, 64),
        v128.load(from, 128),
        v128.load(from, 192),
        to + (r << 4) + (c << 2),
        64,
      );
    }
  }
}

/** The same for sixteen k of a panel of bfloat16. */
function transposeHalves(w: usize, to: usize): void {
  const upper = v128.load(UPPER_HALVES);
  for (let c = 0; c < 16; c += 4) {
    const a0 = v128.load(w);
    const a1 = v128.load(w, 64);
    const a2 = v128.load(w, 128);
    const a3 = v128.load(w, 192);
    transpose4(i32x4.shl(a0, 16), i32x4.shl(a1, 16), i32x4.shl(a2, 16), i32x4.shl(a3, 16), to, 64);
    transpose4(v128.and(a0, upper), v128.and(a1, upper), v128.and(a2, upper), v128.and(a3, upper), to + 512, 64);
    const b0 = v128.load(w, 16);
    const b1 = v128.load(w, 80);
    const b2 = v128.load(w, 144);
    const b3 = v128.load(w, 208);
    transpose4(i32x4.shl(b0, 16), i32x4.shl(b1, 16), i32x4.shl(b2, 16), i32x4.shl(b3, 16), to + 256, 64);
    transpose4(v128.and(b0, upper), v128.and(b1, upper), v128.and(b2, upper), v128.and(b3, upper), to + 768, 64);
    w += 256;
    to += 16;
  }
}

/** Element k of lane `lane` of the panel at w; `size`: bytes of a group of integers. */
// @ts-ignore: decorator
@inline function packedValue(kind: i32, w: usize, size: usize, k: i32, lane: i32): f32 {
  if (kind == ACROSS_F32) return load<f32>(w + (k << 6) + (lane << 2));
  if (kind == ACROSS_BF16) return reinterpret<f32>((<u32>load<u16>(w + (k << 6) + halfOffset(lane))) << 16);
  return integerValue(kind, w, size, k, lane);
}

/** Stores rows [first, first + count) of W, float32 [count, k] at `from`. */
export function packFloat32(w: usize, k: i32, first: i32, count: i32, from: usize): void {
  for (let row = first; row < first + count; row++) {
    const panel = w + (((row >> 4) * k) << 6);
    if ((row & 15) == 0 && row + 16 <= first + count) {
      packTransposed(from, k << 2, 16, k, panel);
      row += 15;
      from += k << 6;
      continue;
    }
    let to = panel + ((row & 15) << 2);
    for (const end = from + (k << 2); from != end; from += 4) {
      store<f32>(to, load<f32>(from));
      to += 64;
    }
  }
}

/** The bits of a float32 as bfloat16: to nearest, ties to even. */
// @ts-ignore: decorator
@inline export function roundToHalf(bits: u32): u16 {
  const nan = (bits & 0x7fffffff) > 0x7f800000; // rounding up could carry a NaN into an infinity
  return <u16>((nan ? bits | 0x400000 : bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

export function packBfloat16(w: usize, k: i32, first: i32, count: i32, from: usize): void {
  for (let row = first; row < first + count; row++) {
    let to = panelAt(ACROSS_BF16, w, row >> 4, k) + halfOffset(row & 15);
    for (const end = from + (k << 2); from != end; from += 4) {
      store<u16>(to, roundToHalf(load<u32>(from)));
      to += 64;
    }
  }
}

/** Writes `count` rows `ids` as float32 [count, k]; `kind` is one of ACROSS_*. */
export function unpackRows(kind: i32, w: usize, k: i32, ids: usize, count: i32, to: usize): void {
  const panel = panelBytes(kind, k);
  const size = panel / max(1, (k + 31) >> 5);
  for (let i = 0; i < count; i++) {
    const row = load<i32>(ids + (i << 2));
    const at = panelAt(kind, w, row >> 4, k);
    const even = kind > ACROSS_BF16 ? k & ~7 : 0;
    integerValues(kind, at, size, 0, even, row & 15, to);
    to += even << 2;
    for (let c = even; c < k; c++) {
      store<f32>(to, packedValue(kind, at, size, c, row & 15));
      to += 4;
    }
  }
}
