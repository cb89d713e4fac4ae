/**
 * Naive loop: layerNorm in src/tensor/reference/rows.ts, which computes in float64.
 * Norms over the rows of x [rows, n] and their gradients, rows [begin, end), with n̂ = (x - μ) · ι and g = dy · gain:
 *   layerNorm  ι = 1/√(σ² + ε)        y = n̂ · gain + bias     dx = ι · (g - mean(g) - n̂ · mean(g · n̂))
 *   rmsNorm    ι = 1/√(mean x² + ε)   y = n̂ · gain, μ = 0     dx = ι · (g - n̂ · mean(g · n̂))
 * Both are one kernel: `centered` says whether the mean is subtracted. dGain += dy · n̂ and dBias += dy, row by row.
 */
import { addWide, lanesBelow, mac, storeTail, sumWide } from "./simd.as";
import { sumRow, zero } from "./rows.as";

/** Σ (x_i - μ)² */
function squares(x: usize, n: i32, mean: f32): f64 {
  const m = f32x4.splat(mean);
  let sums = zero();
  for (; n >= 4; n -= 4) {
    const d = f32x4.sub(v128.load(x), m);
    sums = addWide(sums, f32x4.mul(d, d));
    x += 16;
  }
  if (n > 0) {
    const d = f32x4.sub(v128.load(x), m);
    sums = addWide(sums, v128.and(f32x4.mul(d, d), lanesBelow(n)));
  }
  return sumWide(sums);
}

// @ts-ignore: decorator
@inline function normed(x: usize, gain: usize, bias: usize, at: usize, mean: v128, inverse: v128): v128 {
  const v = f32x4.mul(f32x4.sub(v128.load(x), mean), inverse);
  return bias != 0 ? mac(v, v128.load(gain), v128.load(bias + at)) : f32x4.mul(v, v128.load(gain));
}

/** y = (x - μ) · ι · gain + bias; `bias` is 0 for none. */
export function norm(
  x: usize,
  gain: usize,
  bias: usize,
  y: usize,
  n: i32,
  epsilon: f64,
  centered: i32,
  begin: i32,
  end: i32,
): void {
  for (let r = begin; r < end; r++) {
    const from = x + ((r * n) << 2);
    const to = y + ((r * n) << 2);
    const mean: f32 = centered ? <f32>(sumRow(from, n) / n) : 0;
    const m = f32x4.splat(mean);
    const inverse = f32x4.splat(<f32>(1 / sqrt(squares(from, n, mean) / n + epsilon)));
    let at: usize = 0;
    for (const end = (n >> 2) << 4; at != end; at += 16) {
      v128.store(to + at, normed(from + at, gain + at, bias, at, m, inverse));
    }
    if ((n & 3) != 0) storeTail(to + at, normed(from + at, gain + at, bias, at, m, inverse), n & 3);
  }
}

/**
 * Writes dx, and adds sums over the rows onto dGain and dBias (0 for none). Ranges that run at the same time need sums
 * of their own.
 */
export function normBackward(
  x: usize,
  gain: usize,
  dy: usize,
  dx: usize,
  dGain: usize,
  dBias: usize,
  n: i32,
  epsilon: f64,
  centered: i32,
  begin: i32,
  end: i32,
): void {
  const whole = (n >> 2) << 4;
  const rest = n & 3;
  for (let r = begin; r < end; r++) {
    const offset = (r * n) << 2;
    const from = x + offset;
    const d = dy + offset;
    const to = dx + offset;
    const mean: f32 = centered ? <f32>(sumRow(from, n) / n) : 0;
    const m = f32x4.splat(mean);
    const inverse = f32x4.splat(<f32>(1 / sqrt(squares(from, n, mean) / n + epsilon)));
    let sumG = zero();
    let sumGN = zero();
    for (let at: usize = 0; at != whole; at += 16) {
      const hat = f32x4.mul(f32x4.sub(v128.load(from + at), m), inverse);
      const slope = v128.load(d + at);
      const g = f32x4.mul(slope, v128.load(gain + at));
      sumG = addWide(sumG, g);
      sumGN = addWide(sumGN, f32x4.mul(g, hat));
      v128.store(dGain + at, mac(slope, hat, v128.load(dGain + at)));
      if (dBias != 0) v128.store(dBias + at, f32x4.add(slope, v128.load(dBias + at)));
    }
    if (rest != 0) {
      const at = whole;
      const hat = f32x4.mul(f32x4.sub(v128.load(from + at), m), inverse);
      const slope = v128.load(d + at);
      const g = f32x4.mul(slope, v128.load(gain + at));
      sumG = addWide(sumG, v128.and(g, lanesBelow(rest)));
      sumGN = addWide(sumGN, v128.and(f32x4.mul(g, hat), lanesBelow(rest)));
      storeTail(dGain + at, mac(slope, hat, v128.load(dGain + at)), rest);
      if (dBias != 0) storeTail(dBias + at, f32x4.add(slope, v128.load(dBias + at)), rest);
    }
    const meanG = f32x4.splat(centered ? <f32>(sumWide(sumG) / n) : 0);
    const meanGN = f32x4.splat(<f32>(sumWide(sumGN) / n));
    for (let at: usize = 0; at != whole; at += 16) {
      v128.store(to + at, normSlope(from + at, gain + at, d + at, m, inverse, meanG, meanGN));
    }
    if (rest != 0) {
      storeTail(to + whole, normSlope(from + whole, gain + whole, d + whole, m, inverse, meanG, meanGN), rest);
    }
  }
}

/** ι · (g - mean(g) - n̂ · mean(g · n̂)) */
// @ts-ignore: decorator
@inline function normSlope(
  x: usize,
  gain: usize,
  dy: usize,
  mean: v128,
  inverse: v128,
  meanG: v128,
  meanGN: v128,
): v128 {
  const hat = f32x4.mul(f32x4.sub(v128.load(x), mean), inverse);
  const g = f32x4.sub(f32x4.mul(v128.load(dy), v128.load(gain)), meanG);
  return f32x4.mul(inverse, f32x4.sub(g, f32x4.mul(hat, meanGN)));
}
