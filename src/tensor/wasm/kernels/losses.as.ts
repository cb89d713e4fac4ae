/**
 * Naive loop: lossKernels in src/tensor/reference/losses.ts, which computes in float64.
 * Losses per row of logits [rows, n] and their gradients with respect to the logits, rows [begin, end).
 *   cross-entropy  lse(z) - z_y                              gradient dLoss · (softmax(z) - onehot(y))
 *   KL(t ‖ s)      Σ e^{d_t} (d_t - d_s) / S_t - ln S_t + ln S_s   gradient dLoss / T · (softmax(s/T) - softmax(t/T))
 * with d = (x - max x) / T and S = Σ e^d of each, at temperature T. A target y < 0 masks its row.
 */
import { expBounded, ln } from "./math.as";
import { addWide, loadTail, mac, storeTail, sumWide, zeroFloats } from "./simd.as";
import { expRow, expSum, rowMax, scaleRow, softened, zero } from "./rows.as";

export function crossEntropy(z: usize, targets: usize, loss: usize, n: i32, begin: i32, end: i32): void {
  for (let r = begin; r < end; r++) {
    const row = z + ((r * n) << 2);
    const target = load<i32>(targets + (r << 2));
    let value: f64 = 0;
    if (target >= 0) {
      const m = rowMax(row, n);
      value = ln(expSum(row, n, m)) + (<f64>m - <f64>load<f32>(row + (target << 2)));
    }
    store<f32>(loss + (r << 2), <f32>value);
  }
}

export function crossEntropyBackward(
  z: usize,
  targets: usize,
  dLoss: usize,
  dz: usize,
  n: i32,
  begin: i32,
  end: i32,
): void {
  for (let r = begin; r < end; r++) {
    const row = z + ((r * n) << 2);
    const to = dz + ((r * n) << 2);
    const target = load<i32>(targets + (r << 2));
    if (target < 0) {
      zeroFloats(to, n);
      continue;
    }
    const d = load<f32>(dLoss + (r << 2));
    const at = to + (target << 2);
    const sum = expRow(row, to, n, rowMax(row, n));
    const p = <f64>load<f32>(at) / sum;
    scaleRow(to, to, n, <f32>(<f64>d / sum));
    store<f32>(at, <f32>(<f64>d * (p - 1)));
  }
}

/** `factor` is 1 / temperature. */
export function kl(t: usize, s: usize, loss: usize, n: i32, factor: f32, begin: i32, end: i32): void {
  const f = f32x4.splat(factor);
  const none = f32x4.splat(-Infinity);
  for (let r = begin; r < end; r++) {
    const offset = (r * n) << 2;
    let p = t + offset;
    let q = s + offset;
    let left = n;
    const mt = f32x4.splat(rowMax(p, n));
    const ms = f32x4.splat(rowMax(q, n));
    let sumT = zero();
    let sumS = zero();
    let cross = zero();
    for (; left >= 4; left -= 4) {
      const dt = f32x4.mul(f32x4.sub(v128.load(p), mt), f);
      const ds = f32x4.mul(f32x4.sub(v128.load(q), ms), f);
      const e = expBounded(dt);
      sumT = addWide(sumT, e);
      sumS = addWide(sumS, expBounded(ds));
      cross = addWide(cross, crossTerm(e, dt, ds));
      p += 16;
      q += 16;
    }
    if (left > 0) {
      const dt = f32x4.mul(f32x4.sub(loadTail(p, left, none), mt), f);
      const ds = f32x4.mul(f32x4.sub(loadTail(q, left, none), ms), f);
      const e = expBounded(dt);
      sumT = addWide(sumT, e);
      sumS = addWide(sumS, expBounded(ds));
      cross = addWide(cross, crossTerm(e, dt, ds));
    }
    const total = sumWide(sumT);
    store<f32>(loss + (r << 2), <f32>(sumWide(cross) / total - ln(total) + ln(sumWide(sumS))));
  }
}

/** e · (dt - ds); zero if the teacher's probability is zero (-Infinity would make it NaN). */
// @ts-ignore: decorator
@inline function crossTerm(e: v128, dt: v128, ds: v128): v128 {
  return v128.and(f32x4.mul(e, f32x4.sub(dt, ds)), f32x4.gt(e, zero()));
}

/** `work`: n floats, the teacher's exponentials of one row. The student's are in `ds` until both sums are known. */
export function klBackward(
  t: usize,
  s: usize,
  dLoss: usize,
  ds: usize,
  n: i32,
  factor: f32,
  work: usize,
  begin: i32,
  end: i32,
): void {
  for (let r = begin; r < end; r++) {
    const offset = (r * n) << 2;
    let to = ds + offset;
    let from = work;
    let left = n;
    const d = <f64>load<f32>(dLoss + (r << 2)) * <f64>factor;
    const a = f32x4.splat(<f32>(d / softened(s + offset, to, n, factor)));
    const b = f32x4.splat(<f32>(-d / softened(t + offset, work, n, factor)));
    for (; left >= 4; left -= 4) {
      v128.store(to, mac(v128.load(from), b, f32x4.mul(v128.load(to), a)));
      to += 16;
      from += 16;
    }
    if (left > 0) storeTail(to, mac(v128.load(from), b, f32x4.mul(v128.load(to), a)), left);
  }
}
