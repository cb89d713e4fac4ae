/**
 * Bounds on a product y = U·x + b from a coarse copy of U with eight bits a weight, Û[n, k] = s_n · q[n, k].
 * The state comes as integers, x̂[k] = t · u[k], with one scale t for each segment of 2048 k. So
 *   a_n = b_n + s_n · Σ_segments t · Σ_k q[n, k] · u[k]
 *   lower, upper = a_n ∓ (alpha · E_n + rho · |Û_n|₂ + delta)
 * with E_n >= |U_n - Û_n|₂ and the norm stored beside each row; screening.ts of the device derives E, alpha, rho
 * and delta. The integers have seven bits, -64 to 63, but for those of a few quads of k, which have fourteen: a state
 * has few large values, and a step that is small enough for all others makes narrow bounds.
 *
 * A panel holds sixteen rows: [K/4][16][4] bytes, then 16 scales, 16 errors, 16 norms, and for each segment 16 sums of
 * its bytes. The inner sums are integers, hence exact: 2048 products of at most 127 · 8191 stay below 2^31. Two ways
 * lead to them:
 *   pairs   i32x4.dot_i16x8_s, where the way of products is EXACT
 *   dots    a relaxed dot of int8 and seven unsigned bits, whichever of dots.as.ts is the fastest: one dot a vector for
 *           u + 64, of which 64 · Σ q is taken off again, and pairs for the few quads of fourteen bits. No pair of
 *           products reaches 2^15, so every engine gives the same integers.
 */
import { EXACT, PAIRS, SEGMENT_QUADS } from "../constants";
import { isYes, mac, No, storeFour, Yes } from "../simd.as";
import { constants, dot, dotPair, joinPairs, ONES, way } from "../products/integers/dots.as";
import { copyColumns, scratch } from "../products/tiles.as";

/** The smallest positive float32, 2^-149. */
const SMALLEST: f64 = 1.401298464324817e-45;
/** Quads of k read at one place before the other: three kilobytes. */
const PIECE = 48;

// @ts-ignore: decorator
@inline function segmentsOf(quads: i32): i32 {
  return (quads + SEGMENT_QUADS - 1) / SEGMENT_QUADS;
}

/** Bytes of a panel of inner size k, as in ../../../coarse-bytes.ts. */
function coarsePanelBytes(k: i32): usize {
  const quads = (k + 3) >> 2;
  return (quads + 3 + segmentsOf(quads)) << 6;
}

/**
 * A quantized state: alpha, rho, delta and nothing, in 16 bytes; a byte u + 64 for every k, of wide quads 64; then for
 * each segment its scale and how many wide quads it has, in 16 bytes; then the wide quads, of segment s behind place
 * SEGMENT_QUADS · s: four int16, where the quad begins in a panel, and nothing, in 16 bytes. By pairs all quads are
 * wide.
 */
const LIMITS: usize = 16;
const SEGMENT_BYTES: usize = 16;
const WIDE_BYTES: usize = 16;

// @ts-ignore: decorator
@inline function integerBytes(quads: i32): usize {
  return LIMITS + (((quads + 3) >> 2) << 4);
}

export function coarseStateBytes(k: i32): usize {
  const quads = (k + 3) >> 2;
  return integerBytes(quads) + SEGMENT_BYTES * segmentsOf(quads) + WIDE_BYTES * quads;
}

/**
 * Stores rows [first, first + count) of U, float32 [count, k] at `from`. E = e + ofError · e + ofNorm · |Û| for
 * e = |U - Û|₂ is stored beside |Û|. Returns the largest |Û| + e; Infinity if a weight is not
 * finite or reaches 1e30.
 */
export function packCoarse(w: usize, k: i32, first: i32, count: i32, from: usize, ofError: f64, ofNorm: f64): f64 {
  const quads = (k + 3) >> 2;
  const panel = coarsePanelBytes(k);
  let most: f64 = 0;
  for (let row = first; row < first + count; row++) {
    const at = w + (row >> 4) * panel;
    const lane = row & 15;
    const meta = at + (quads << 6) + (lane << 2);
    let largest: f32 = 0;
    for (let i = 0; i < k; i++) largest = max(largest, abs(load<f32>(from + (i << 2))));
    if (!(largest < <f32>1e30)) return Infinity; // NaN too
    const scale = largest / 127;
    let norm: f64 = 0;
    let error: f64 = 0;
    let total: i32 = 0;
    for (let i = 0; i < k; i++) {
      const value = <f64>load<f32>(from + (i << 2));
      const q = scale == 0 ? 0 : min(max(nearest<f64>(value / <f64>scale), -127), 127);
      store<i8>(at + ((i >> 2) << 6) + (lane << 2) + (i & 3), <i8>q);
      const own = q * <f64>scale;
      norm += own * own;
      error += (value - own) * (value - own);
      total += <i32>q;
      if (((i + 1) & (4 * SEGMENT_QUADS - 1)) == 0 || i + 1 == k) {
        store<i32>(meta + 192 + ((i / (4 * SEGMENT_QUADS)) << 6), total);
        total = 0;
      }
    }
    norm = sqrt(norm);
    error = sqrt(error);
    store<f32>(meta, scale);
    // rounded up: a float32 loses less than this factor, or, if denormal, than the smallest one
    store<f32>(meta, <f32>((error + ofError * error + ofNorm * norm) * 1.000001 + SMALLEST), 64);
    store<f32>(meta, <f32>(norm * 1.000001 + SMALLEST), 128);
    most = max(most, norm + error);
    from += k << 2;
  }
  return most;
}

/**
 * Lower and upper bounds [rows, n], for panels [begin, end), of U·x + bias for `rows` quantized states at x. A bias of
 * 0 means none. Two panels half of the range apart are read in turn, by pieces:
 * memory is faster at two places than at one. Two states share each piece.
 */
export function coarseBounds(
  w: usize,
  x: usize,
  bias: usize,
  lower: usize,
  upper: usize,
  rows: i32,
  n: i32,
  k: i32,
  begin: i32,
  end: i32,
): void {
  const quads = (k + 3) >> 2;
  const panel = coarsePanelBytes(k);
  const state = coarseStateBytes(k);
  const half = (end - begin + 1) >> 1;
  for (let p = begin; p < begin + half; p++) {
    const q = p + half;
    const at = w + p * panel;
    const far: usize = q < end ? w + q * panel : 0;
    for (let r = 0; r < rows; r += 2) {
      const two = r + 1 < rows;
      const from = x + r * state;
      memory.fill(scratch + FLOATS, 0, 256);
      if (two && way == PAIRS) panelSums<Yes, Yes>(at, far, from, state, quads);
      else if (two) panelSums<Yes, No>(at, far, from, state, quads);
      else if (way == PAIRS) panelSums<No, Yes>(at, far, from, state, quads);
      else panelSums<No, No>(at, far, from, state, quads);
      for (let i = 0; i < 1 + <i32>two; i++) {
        const row = ((r + i) * n) << 2;
        const own = from + i * state;
        const floats = FLOATS + (i << 7);
        storeBounds(floats, at, own, bias, lower + row, upper + row, p, n, quads);
        if (far != 0) storeBounds(floats + 64, far, own, bias, lower + row, upper + row, q, n, quads);
      }
    }
  }
}

/**
 * Places in scratch, of the first state and then of the second: integer sums of two panels, narrow and wide; behind
 * them their float sums, then a tile of bounds.
 */
const WIDE = 64;
const INTEGERS = 192;
const FLOATS = 4 * INTEGERS;
const EDGE = FLOATS + 256;

/**
 * Σ_segments t · Σ q · u of panel `at`, and of panel `far` if not 0, added to scratch + FLOATS; of one state or two,
 * `state` bytes apart.
 */
function panelSums<Two, Pairs>(at: usize, far: usize, x: usize, state: usize, quads: i32): void {
  const segments = segmentsOf(quads);
  const sums = (quads + 3) << 6;
  let facts = x + integerBytes(quads);
  let entries = facts + SEGMENT_BYTES * segments;
  for (let s = 0; s < segments; s++) {
    memory.fill(scratch, 0, FLOATS);
    const last = min(quads, (s + 1) * SEGMENT_QUADS);
    for (let first = way == EXACT ? last : s * SEGMENT_QUADS; first < last; first += PIECE) {
      const count = min(PIECE, last - first);
      const from = x + LIMITS + (first << 2);
      const offset = first << 6;
      addNarrow<Two, Pairs>(at + offset, from, state, count, scratch);
      if (far != 0) addNarrow<Two, Pairs>(far + offset, from, state, count, scratch + INTEGERS);
    }
    const own = sums + (s << 6);
    for (let i = 0; i < 1 + <i32>isYes<Two>(); i++) {
      const integers = scratch + i * 2 * INTEGERS;
      const floats = scratch + FLOATS + (i << 7);
      const scale = facts + i * state;
      const wide = load<i32>(scale, 4);
      for (let first = 0; first < wide; first += PIECE) {
        const count = min(PIECE, wide - first);
        const from = entries + i * state + WIDE_BYTES * first;
        addWide(at, from, count, integers + WIDE);
        if (far != 0) addWide(far, from, count, integers + INTEGERS + WIDE);
      }
      const t = v128.load32_splat(scale);
      addSegment(integers, at + own, t, floats);
      if (far != 0) addSegment(integers + INTEGERS, far + own, t, floats + 64);
    }
    facts += SEGMENT_BYTES;
    entries += WIDE_BYTES * SEGMENT_QUADS;
  }
}

/** Adds t times a segment's integer sums to the float sums `to` of its sixteen rows. */
function addSegment(integers: usize, sums: usize, t: v128, to: usize): void {
  for (let c: usize = 0; c < 64; c += 16) {
    const pairs = integers + WIDE + (c << 1);
    let sum = joinPairs(v128.load(pairs), v128.load(pairs, 16));
    if (way != EXACT) sum = i32x4.add(sum, i32x4.sub(v128.load(integers + c), i32x4.shl(v128.load(sums + c), 6)));
    v128.store(to + c, mac(f32x4.convert_i32x4_s(sum), t, v128.load(to + c)));
  }
}

/** Of panel p, from its float sums at scratch + `floats`. */
function storeBounds(
  floats: usize,
  at: usize,
  x: usize,
  bias: usize,
  lower: usize,
  upper: usize,
  p: i32,
  n: i32,
  quads: i32,
): void {
  const meta = at + (quads << 6);
  const alpha = v128.load32_splat(x);
  const rho = v128.load32_splat(x, 4);
  const delta = v128.load32_splat(x, 8);
  const columns = min(16, n - (p << 4));
  const to = p << 6;
  const below = columns == 16 ? lower + to : scratch + EDGE;
  const above = columns == 16 ? upper + to : scratch + EDGE + 64;
  for (let c: usize = 0; c < 64; c += 16) {
    const start = bias == 0 ? f32x4.splat(0) : v128.load(bias + to + c);
    const a = mac(v128.load(scratch + floats + c), v128.load(meta + c), start);
    const width = mac(v128.load(meta + c, 64), alpha, mac(v128.load(meta + c, 128), rho, delta));
    v128.store(below + c, f32x4.sub(a, width));
    v128.store(above + c, f32x4.add(a, width));
  }
  if (columns == 16) return;
  copyColumns(lower + to, below, columns);
  copyColumns(upper + to, above, columns);
}

/**
 * Adds Σ q · (u + 64) over `quads` quads of seven bits to four vectors of four rows at `to`; of a second state, `state`
 * bytes on, to those behind two panels' sums.
 */
function addNarrow<Two, Pairs>(w: usize, x: usize, state: usize, quads: i32, to: usize): void {
  const two = isYes<Two>();
  const pairs = isYes<Pairs>();
  const ones = v128.load(constants + ONES);
  const other = to + 2 * INTEGERS;
  let a0 = v128.load(to);
  let a1 = v128.load(to, 16);
  let a2 = v128.load(to, 32);
  let a3 = v128.load(to, 48);
  let b0 = v128.load(other);
  let b1 = v128.load(other, 16);
  let b2 = v128.load(other, 32);
  let b3 = v128.load(other, 48);
  for (const end = x + (quads << 2); x != end; x += 4) {
    const u = v128.load32_splat(x);
    const z = two ? v128.load32_splat(x + state) : u;
    let v = v128.load(w);
    a0 = dot(pairs, v, u, a0, ones);
    if (two) b0 = dot(pairs, v, z, b0, ones);
    v = v128.load(w, 16);
    a1 = dot(pairs, v, u, a1, ones);
    if (two) b1 = dot(pairs, v, z, b1, ones);
    v = v128.load(w, 32);
    a2 = dot(pairs, v, u, a2, ones);
    if (two) b2 = dot(pairs, v, z, b2, ones);
    v = v128.load(w, 48);
    a3 = dot(pairs, v, u, a3, ones);
    if (two) b3 = dot(pairs, v, z, b3, ones);
    w += 64;
  }
  storeFour(to, a0, a1, a2, a3);
  if (two) storeFour(other, b0, b1, b2, b3);
}

/**
 * Adds Σ q · u over `count` wide quads of a panel to eight vectors at `to`, each of two rows, the even and the odd
 * pairs of both.
 */
function addWide(panel: usize, entries: usize, count: i32, to: usize): void {
  let a0 = v128.load(to);
  let a1 = v128.load(to, 16);
  let a2 = v128.load(to, 32);
  let a3 = v128.load(to, 48);
  let a4 = v128.load(to, 64);
  let a5 = v128.load(to, 80);
  let a6 = v128.load(to, 96);
  let a7 = v128.load(to, 112);
  for (const end = entries + WIDE_BYTES * count; entries != end; entries += WIDE_BYTES) {
    const u = v128.load64_splat(entries);
    const w = panel + load<u32>(entries, 8);
    a0 = dotPair(v128.load_ext<i8>(w), u, a0);
    a1 = dotPair(v128.load_ext<i8>(w, 8), u, a1);
    a2 = dotPair(v128.load_ext<i8>(w, 16), u, a2);
    a3 = dotPair(v128.load_ext<i8>(w, 24), u, a3);
    a4 = dotPair(v128.load_ext<i8>(w, 32), u, a4);
    a5 = dotPair(v128.load_ext<i8>(w, 40), u, a5);
    a6 = dotPair(v128.load_ext<i8>(w, 48), u, a6);
    a7 = dotPair(v128.load_ext<i8>(w, 56), u, a7);
  }
  storeFour(to, a0, a1, a2, a3);
  storeFour(to + 64, a4, a5, a6, a7);
}
