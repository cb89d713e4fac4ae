/**
 * The product with int8 weights. Per row of W one scale, per row of x one scale:
 *   y[r, n] += s_n · t_r · Σ_k q[n, k] · u[r, k]       q int8, u int16 = round(x / t_r), t_r = max |x_r| / 32767
 * `dot` multiplies pairs of int16 and adds each pair into an int32 lane, so weights lie in pairs of k. 512 products of
 * at most 127 · 32767 stay below 2^31; after each 512 the integer sums are added to y as float32 and begin anew.
 * Integer sums are exact, the blocks of 512 are fixed: any number of rows gives the same bits.
 */
import { startRows } from "./products.as";
import { mac } from "../simd.as";
import { copyColumns, scratch } from "./tiles.as";

/** Pairs of k between two flushes. */
const FLUSH = 256;

/**
 * y [rows, n] = x [rows, k] · Wᵀ + bias + residual. `work` holds `workSize` bytes: rows are quantized in blocks as
 * large as fit.
 */
export function linearInt8(
  w: usize,
  scales: usize,
  x: usize,
  y: usize,
  bias: usize,
  residual: usize,
  rows: i32,
  n: i32,
  k: i32,
  work: usize,
  workSize: usize,
  begin: i32,
  end: i32,
): void {
  startRows(y, bias, residual, rows, n, begin, end);
  const pairs = (k + 1) >> 1;
  const row = <usize>(pairs << 2);
  const panel = (<usize>pairs) << 5;
  const yRow = (<usize>n) << 2;
  const block = <i32>max(1, workSize / (row + 32));
  const rowScales = work + <usize>block * row;
  for (let r0 = 0; r0 < rows; r0 += block) {
    const rn = min(block, rows - r0);
    for (let r = 0; r < rn; r++) {
      quantize(x + ((<usize>(r0 + r) * <usize>k) << 2), k, work + <usize>r * row, rowScales + ((<usize>r) << 2));
    }
    for (let p = begin; p < end; p++) {
      const columns = min(16, n - (p << 4));
      const at = w + <usize>p * panel;
      const s = scales + ((<usize>p) << 6);
      for (let k0 = 0; k0 < pairs; k0 += FLUSH) {
        byteRows(
          at + ((<usize>k0) << 5),
          s,
          work + ((<usize>k0) << 2),
          row,
          rowScales,
          y + <usize>r0 * yRow + ((<usize>p) << 6),
          yRow,
          rn,
          columns,
          min(FLUSH, pairs - k0),
        );
      }
    }
  }
}

/** One row of x as int16, and its scale. The partner of an odd last column is left as it is: its weight is zero. */
function quantize(x: usize, k: i32, to: usize, scale: usize): void {
  let top = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= k; i += 4) top = f32x4.max(top, f32x4.abs(v128.load(x + ((<usize>i) << 2))));
  let largest = max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
  );
  for (; i < k; i++) largest = max(largest, abs(load<f32>(x + ((<usize>i) << 2))));
  store<f32>(scale, largest / 32767);
  const factor: f32 = largest == 0 ? 0 : <f32>32767 / largest;
  const f = f32x4.splat(factor);
  for (i = 0; i + 4 <= k; i += 4) {
    const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + ((<usize>i) << 2)), f)));
    v128.store64_lane(to + ((<usize>i) << 1), i16x8.narrow_i32x4_s(q, q), 0);
  }
  for (; i < k; i++) {
    const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load32_splat(x + ((<usize>i) << 2)), f)));
    store<i16>(to + ((<usize>i) << 1), <i16>i32x4.extract_lane(q, 0));
  }
}

function byteRows(
  w: usize,
  s: usize,
  x: usize,
  xRow: usize,
  t: usize,
  y: usize,
  yRow: usize,
  rows: i32,
  columns: i32,
  pairs: i32,
): void {
  for (; rows > 0; rows -= 2) {
    const take = min(rows, 2);
    let at = y;
    let step = yRow;
    if (columns < 16) {
      at = scratch;
      step = 64;
      for (let r = 0; r < take; r++) copyColumns(at + ((<usize>r) << 6), y + <usize>r * yRow, columns);
    }
    if (take == 2) bytes2x16(w, s, x, xRow, t, at, step, pairs);
    else bytes1x16(w, s, x, t, at, pairs);
    if (columns < 16) {
      for (let r = 0; r < take; r++) copyColumns(y + <usize>r * yRow, at + ((<usize>r) << 6), columns);
    }
    x += xRow << 1;
    y += yRow << 1;
    t += 8;
  }
}

/**
 * Adds a pair of products to each lane: w holds the pairs of the columns, x the same pair of activations in each lane.
 */
// @ts-ignore: decorator
@inline function dot(w: v128, x: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(w, x));
}

/** y += sum · s · t */
// @ts-ignore: decorator
@inline function flush(y: usize, sum: v128, s: usize, t: v128): void {
  v128.store(y, mac(f32x4.convert_i32x4_s(sum), f32x4.mul(v128.load(s), t), v128.load(y)));
}

function bytes1x16(w: usize, s: usize, x: usize, t: usize, y: usize, pairs: i32): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (const end = x + ((<usize>pairs) << 2); x != end; x += 4) {
    const v = v128.load32_splat(x);
    a0 = dot(v128.load_ext<i8>(w), v, a0);
    a1 = dot(v128.load_ext<i8>(w, 8), v, a1);
    a2 = dot(v128.load_ext<i8>(w, 16), v, a2);
    a3 = dot(v128.load_ext<i8>(w, 24), v, a3);
    w += 32;
  }
  const f = v128.load32_splat(t);
  flush(y, a0, s, f);
  flush(y + 16, a1, s + 16, f);
  flush(y + 32, a2, s + 32, f);
  flush(y + 48, a3, s + 48, f);
}

function bytes2x16(w: usize, s: usize, x: usize, xRow: usize, t: usize, y: usize, yRow: usize, pairs: i32): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let u = x + xRow;
  for (const end = x + ((<usize>pairs) << 2); x != end; x += 4) {
    const v = v128.load32_splat(x);
    const z = v128.load32_splat(u);
    let c = v128.load_ext<i8>(w);
    a0 = dot(c, v, a0);
    b0 = dot(c, z, b0);
    c = v128.load_ext<i8>(w, 8);
    a1 = dot(c, v, a1);
    b1 = dot(c, z, b1);
    c = v128.load_ext<i8>(w, 16);
    a2 = dot(c, v, a2);
    b2 = dot(c, z, b2);
    c = v128.load_ext<i8>(w, 24);
    a3 = dot(c, v, a3);
    b3 = dot(c, z, b3);
    w += 32;
    u += 4;
  }
  let f = v128.load32_splat(t);
  flush(y, a0, s, f);
  flush(y + 16, a1, s + 16, f);
  flush(y + 32, a2, s + 32, f);
  flush(y + 48, a3, s + 48, f);
  f = v128.load32_splat(t, 4);
  y += yRow;
  flush(y, b0, s, f);
  flush(y + 16, b1, s + 16, f);
  flush(y + 32, b2, s + 32, f);
  flush(y + 48, b3, s + 48, f);
}
