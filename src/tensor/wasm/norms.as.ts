/**
 * Norms over the rows of x [rows, n] and their gradients, rows [begin, end). With n̂ = (x - μ) · ι and g = dy · gain:
 *   layerNorm  ι = 1/√(σ² + ε)        y = n̂ · gain + bias     dx = ι · (g - mean(g) - n̂ · mean(g · n̂))
 *   rmsNorm    ι = 1/√(mean x² + ε)   y = n̂ · gain, μ = 0     dx = ι · (g - n̂ · mean(g · n̂))
 * Both are one kernel: `centered` says whether the mean is taken out. dGain += dy · n̂ and dBias += dy, row after row.
 */
import { addWide, lanesBelow, mac, storeTail, sumWide } from "./simd.as";
import { sumRow, zero } from "./rows.as";

/** Σ (x_i - μ)² */
function squares(x: usize, n: i32, mean: f32): f64 {
  const m = f32x4.splat(mean);
  let sums = zero();
  for (; n > 0; n -= 4) {
    const d = f32x4.sub(v128.load(x), m), s = f32x4.mul(d, d);
    sums = addWide(sums, n >= 4 ? s : v128.and(s, lanesBelow(n)));
    x += 16;
  }
  return sumWide(sums);
}

/** y = (x - μ) · ι · gain + bias; `bias` is 0 for none. */
export function norm(x: usize, gain: usize, bias: usize, y: usize, n: i32, epsilon: f64, centered: i32, begin: i32, end: i32): void {
  for (let r = begin; r < end; r++) {
    let from = x + (<usize>r * <usize>n << 2), to = y + (<usize>r * <usize>n << 2), g = gain, b = bias;
    const mean: f32 = centered ? <f32>(sumRow(from, n) / n) : 0;
    const m = f32x4.splat(mean), inverse = f32x4.splat(<f32>(1 / sqrt(squares(from, n, mean) / n + epsilon)));
    for (let left = n; left > 0; left -= 4) {
      const normed = f32x4.mul(f32x4.sub(v128.load(from), m), inverse);
      const v = bias != 0 ? mac(normed, v128.load(g), v128.load(b)) : f32x4.mul(normed, v128.load(g));
      if (left >= 4) v128.store(to, v);
      else storeTail(to, v, left);
      from += 16;
      to += 16;
      g += 16;
      b += 16;
    }
  }
}

/** dx, and onto dGain and dBias (0 for none) the sums over all rows: call it for all rows at once, or with sums of its own per range. */
export function normBackward(x: usize, gain: usize, dy: usize, dx: usize, dGain: usize, dBias: usize, n: i32, epsilon: f64, centered: i32, begin: i32, end: i32): void {
  for (let r = begin; r < end; r++) {
    const offset = <usize>r * <usize>n << 2, from = x + offset, d = dy + offset, to = dx + offset;
    const mean: f32 = centered ? <f32>(sumRow(from, n) / n) : 0;
    const m = f32x4.splat(mean), inverse = f32x4.splat(<f32>(1 / sqrt(squares(from, n, mean) / n + epsilon)));
    let sumG = zero(), sumGN = zero();
    for (let i = 0; i < n; i += 4) {
      const at = <usize>i << 2, left = n - i, full = left >= 4;
      const normed = f32x4.mul(f32x4.sub(v128.load(from + at), m), inverse), slope = v128.load(d + at);
      const g = f32x4.mul(slope, v128.load(gain + at)), gn = f32x4.mul(g, normed);
      sumG = addWide(sumG, full ? g : v128.and(g, lanesBelow(left)));
      sumGN = addWide(sumGN, full ? gn : v128.and(gn, lanesBelow(left)));
      accumulate(dGain + at, mac(slope, normed, v128.load(dGain + at)), left);
      if (dBias != 0) accumulate(dBias + at, f32x4.add(slope, v128.load(dBias + at)), left);
    }
    const meanG = f32x4.splat(centered ? <f32>(sumWide(sumG) / n) : 0), meanGN = f32x4.splat(<f32>(sumWide(sumGN) / n));
    for (let i = 0; i < n; i += 4) {
      const at = <usize>i << 2, normed = f32x4.mul(f32x4.sub(v128.load(from + at), m), inverse);
      const g = f32x4.sub(f32x4.mul(v128.load(d + at), v128.load(gain + at)), meanG);
      accumulate(to + at, f32x4.mul(inverse, f32x4.sub(g, f32x4.mul(normed, meanGN))), n - i);
    }
  }
}

// @ts-ignore: decorator
@inline function accumulate(to: usize, v: v128, left: i32): void {
  if (left >= 4) v128.store(to, v);
  else storeTail(to, v, left);
}
