/**
 * Kernels over the rows of a matrix [R, N]: softmax, norms and the statistics of logits, with their gradients.
 *   softmax(x)_i = exp(x_i - m) / Σ exp(x_j - m), m = max x          entropy H = lse - Σ p_i x_i
 *   layerNorm(x) = (x - μ)/√(σ² + ε) · gain + bias                   rmsNorm(x) = x/√(mean x² + ε) · gain
 */
import { ROW_STATS, type RowKernels } from "../device.js";
import { type Allocate, copyInto, type Floats, type OnFloats } from "./floats.js";

/** log Σ_j exp(x_j · factor) over x[begin .. begin + width), without overflow. */
export function logSumExp(x: Floats, begin: number, width: number, factor = 1): number {
  let max = -Infinity;
  for (let j = begin; j < begin + width; j++) max = Math.max(max, x[j]! * factor);
  let sum = 0;
  for (let j = begin; j < begin + width; j++) sum += Math.exp(x[j]! * factor - max);
  return max + Math.log(sum);
}

export function rowKernels(allocate: Allocate): OnFloats<RowKernels> {
  const norm =
    (centered: boolean) =>
    (x: Floats, gain: Floats, bias: Floats | undefined, rows: number, width: number, epsilon: number): Floats => {
      const y = allocate(rows * width);
      for (let begin = 0; begin < y.length; begin += width) {
        const { mean, inverse } = moments(x, begin, { width, epsilon, centered });
        for (let j = 0; j < width; j++) y[begin + j] = (x[begin + j]! - mean) * inverse * gain[j]! + (bias?.[j] ?? 0);
      }
      return y;
    };
  const normBackward =
    (centered: boolean) => (x: Floats, gain: Floats, dy: Floats, rows: number, width: number, epsilon: number) => {
      const dx = allocate(rows * width);
      const dGain = new Float64Array(width);
      const dBias = new Float64Array(width);
      for (let begin = 0; begin < dx.length; begin += width) {
        const { mean, inverse } = moments(x, begin, { width, epsilon, centered });
        // n = (x - mean)·inverse, g = dy·gain, dx = inverse · (g - mean(g) - n · mean(g·n)); no mean(g) in rmsNorm.
        let meanG = 0;
        let meanGN = 0;
        for (let j = 0; j < width; j++) {
          const normed = (x[begin + j]! - mean) * inverse;
          const g = dy[begin + j]! * gain[j]!;
          if (centered) meanG += g / width;
          meanGN += (g * normed) / width;
          dGain[j]! += dy[begin + j]! * normed;
          dBias[j]! += dy[begin + j]!;
        }
        for (let j = 0; j < width; j++) {
          const normed = (x[begin + j]! - mean) * inverse;
          dx[begin + j] = inverse * (dy[begin + j]! * gain[j]! - meanG - normed * meanGN);
        }
      }
      return { dx, dGain: copyInto(allocate, dGain), dBias: copyInto(allocate, dBias) };
    };

  return {
    softmax(x, rows, width) {
      const y = allocate(rows * width);
      for (let begin = 0; begin < y.length; begin += width) {
        const lse = logSumExp(x, begin, width);
        for (let j = begin; j < begin + width; j++) y[j] = Math.exp(x[j]! - lse);
      }
      return y;
    },
    softmaxBackward(y, dy, rows, width) {
      const dx = allocate(rows * width);
      for (let begin = 0; begin < dx.length; begin += width) {
        let dot = 0;
        for (let j = begin; j < begin + width; j++) dot += dy[j]! * y[j]!;
        for (let j = begin; j < begin + width; j++) dx[j] = y[j]! * (dy[j]! - dot);
      }
      return dx;
    },

    logSoftmax(x, rows, width) {
      const y = allocate(rows * width);
      for (let begin = 0; begin < y.length; begin += width) {
        const lse = logSumExp(x, begin, width);
        for (let j = begin; j < begin + width; j++) y[j] = x[j]! - lse;
      }
      return y;
    },
    logSoftmaxBackward(y, dy, rows, width) {
      const dx = allocate(rows * width);
      for (let begin = 0; begin < dx.length; begin += width) {
        let sum = 0;
        for (let j = begin; j < begin + width; j++) sum += dy[j]!;
        for (let j = begin; j < begin + width; j++) dx[j] = dy[j]! - Math.exp(y[j]!) * sum;
      }
      return dx;
    },

    rowStats(z, rows, width) {
      const stats = allocate(rows * ROW_STATS.width);
      for (let r = 0; r < rows; r++) {
        const begin = r * width;
        let argmax = 0;
        let top1 = -Infinity;
        let top2 = -Infinity;
        for (let j = 0; j < width; j++) {
          const value = z[begin + j]!;
          if (value > top1) {
            top2 = top1;
            top1 = value;
            argmax = j;
          } else if (value > top2) {
            top2 = value;
          }
        }
        // H = Σ p_j (lse - z_j), a sum of non-negative terms: no cancellation when one logit dominates.
        const lse = logSumExp(z, begin, width);
        let entropy = 0;
        for (let j = begin; j < begin + width; j++) {
          const surprise = lse - z[j]!;
          const p = Math.exp(-surprise);
          if (p !== 0) entropy += p * surprise;
        }
        stats.set([argmax, top1, top2, lse, entropy], r * ROW_STATS.width);
      }
      return stats;
    },

    rowArgmax(z, rows, width) {
      const best = allocate(rows * 3);
      for (let r = 0; r < rows; r++) {
        let argmax = 0;
        let top = -Infinity;
        let zero = 0;
        for (let j = 0; j < width; j++) {
          const value = z[r * width + j]!;
          zero += 0 * value; // NaN if it is NaN or infinite
          if (value <= top || Number.isNaN(value)) continue;
          top = value;
          argmax = j;
        }
        best.set([argmax, top, zero], 3 * r);
      }
      return best;
    },

    layerNorm: norm(true),
    layerNormBackward: normBackward(true),
    rmsNorm: (x, gain, rows, width, epsilon) => norm(false)(x, gain, undefined, rows, width, epsilon),
    rmsNormBackward(...given) {
      const { dx, dGain } = normBackward(false)(...given);
      return { dx, dGain };
    },
  };
}

/** `centered`: without the mean, an RMS norm. */
function moments(
  x: Floats,
  begin: number,
  { width, epsilon, centered }: { readonly width: number; readonly epsilon: number; readonly centered: boolean },
): { mean: number; inverse: number } {
  let mean = 0;
  for (let j = begin; centered && j < begin + width; j++) mean += x[j]! / width;
  let variance = 0;
  for (let j = begin; j < begin + width; j++) variance += (x[j]! - mean) ** 2 / width;
  return { mean, inverse: 1 / Math.sqrt(variance + epsilon) };
}
