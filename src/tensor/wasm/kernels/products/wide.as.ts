/**
 * Tiles for engines that compute two neighbouring vectors as one of 256 bits: four rows by sixteen columns make sixteen
 * sums, eight registers then, and two multiply-adds of four cycles' latency each cycle. Three rows take as long: less
 * than three by twelve columns, and the rest. Elsewhere so many sums do not fit the registers. Additions have the order
 * of tiles.as.ts. An engine finds the pairs by their stores, which stand side by side for that reason.
 */
import { mac } from "../simd.as";

/**
 * Whether such tiles are faster in this instance. Only one build has them: where WIDE_TILES, which build-wasm.mjs
 * defines, is 0, code that asks for it is left out.
 */
export let wide: bool = false;

/** Chooses them, or not: the bits are the same. */
export function setWide(chosen: i32): void {
  wide = chosen != 0;
}

/** 4 x 16; arguments as in `tile2x16`. */
export function tile4x16(
  w: usize,
  wStep: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  yRow: usize,
  k: i32,
): void {
  const y1 = y + yRow;
  const y2 = y1 + yRow;
  const y3 = y2 + yRow;
  let a0 = v128.load(y);
  let a1 = v128.load(y, 16);
  let a2 = v128.load(y, 32);
  let a3 = v128.load(y, 48);
  let b0 = v128.load(y1);
  let b1 = v128.load(y1, 16);
  let b2 = v128.load(y1, 32);
  let b3 = v128.load(y1, 48);
  let c0 = v128.load(y2);
  let c1 = v128.load(y2, 16);
  let c2 = v128.load(y2, 32);
  let c3 = v128.load(y2, 48);
  let d0 = v128.load(y3);
  let d1 = v128.load(y3, 16);
  let d2 = v128.load(y3, 32);
  let d3 = v128.load(y3, 48);
  let x1 = x + xRow;
  let x2 = x1 + xRow;
  let x3 = x2 + xRow;
  for (const end = x + <usize>k * xStep; x != end; x += xStep) {
    const v0 = v128.load(w);
    const v1 = v128.load(w, 16);
    const v2 = v128.load(w, 32);
    const v3 = v128.load(w, 48);
    let s = v128.load32_splat(x);
    a0 = mac(v0, s, a0);
    a1 = mac(v1, s, a1);
    a2 = mac(v2, s, a2);
    a3 = mac(v3, s, a3);
    s = v128.load32_splat(x1);
    b0 = mac(v0, s, b0);
    b1 = mac(v1, s, b1);
    b2 = mac(v2, s, b2);
    b3 = mac(v3, s, b3);
    s = v128.load32_splat(x2);
    c0 = mac(v0, s, c0);
    c1 = mac(v1, s, c1);
    c2 = mac(v2, s, c2);
    c3 = mac(v3, s, c3);
    s = v128.load32_splat(x3);
    d0 = mac(v0, s, d0);
    d1 = mac(v1, s, d1);
    d2 = mac(v2, s, d2);
    d3 = mac(v3, s, d3);
    w += wStep;
    x1 += xStep;
    x2 += xStep;
    x3 += xStep;
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  v128.store(y1, b0);
  v128.store(y1, b1, 16);
  v128.store(y1, b2, 32);
  v128.store(y1, b3, 48);
  v128.store(y2, c0);
  v128.store(y2, c1, 16);
  v128.store(y2, c2, 32);
  v128.store(y2, c3, 48);
  v128.store(y3, d0);
  v128.store(y3, d1, 16);
  v128.store(y3, d2, 32);
  v128.store(y3, d3, 48);
}

/** 3 x 16; arguments as in `tile2x16`. */
export function tile3x16(
  w: usize,
  wStep: usize,
  x: usize,
  xRow: usize,
  xStep: usize,
  y: usize,
  yRow: usize,
  k: i32,
): void {
  const y1 = y + yRow;
  const y2 = y1 + yRow;
  let a0 = v128.load(y);
  let a1 = v128.load(y, 16);
  let a2 = v128.load(y, 32);
  let a3 = v128.load(y, 48);
  let b0 = v128.load(y1);
  let b1 = v128.load(y1, 16);
  let b2 = v128.load(y1, 32);
  let b3 = v128.load(y1, 48);
  let c0 = v128.load(y2);
  let c1 = v128.load(y2, 16);
  let c2 = v128.load(y2, 32);
  let c3 = v128.load(y2, 48);
  let x1 = x + xRow;
  let x2 = x1 + xRow;
  for (const end = x + <usize>k * xStep; x != end; x += xStep) {
    const v0 = v128.load(w);
    const v1 = v128.load(w, 16);
    const v2 = v128.load(w, 32);
    const v3 = v128.load(w, 48);
    let s = v128.load32_splat(x);
    a0 = mac(v0, s, a0);
    a1 = mac(v1, s, a1);
    a2 = mac(v2, s, a2);
    a3 = mac(v3, s, a3);
    s = v128.load32_splat(x1);
    b0 = mac(v0, s, b0);
    b1 = mac(v1, s, b1);
    b2 = mac(v2, s, b2);
    b3 = mac(v3, s, b3);
    s = v128.load32_splat(x2);
    c0 = mac(v0, s, c0);
    c1 = mac(v1, s, c1);
    c2 = mac(v2, s, c2);
    c3 = mac(v3, s, c3);
    w += wStep;
    x1 += xStep;
    x2 += xStep;
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  v128.store(y1, b0);
  v128.store(y1, b1, 16);
  v128.store(y1, b2, 32);
  v128.store(y1, b3, 48);
  v128.store(y2, c0);
  v128.store(y2, c1, 16);
  v128.store(y2, c2, 32);
  v128.store(y2, c3, 48);
}
