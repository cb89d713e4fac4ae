/**
 * Losses per row of logits, and their gradients with respect to those logits.
 *   cross-entropy: lse(z) - z_y                         gradient: softmax(z) - onehot(y)
 *   KL(t || s), both softened by temperature T:         gradient: (softmax(s/T) - softmax(t/T)) / T
 * A negative target masks its row: loss 0, gradient 0.
 */
import type { LossKernels } from "../device.js";
import { type Allocate, build, type OnFloats } from "./floats.js";
import { logSumExp } from "./rows.js";

export function lossKernels(allocate: Allocate): OnFloats<LossKernels> {
  return {
    crossEntropy(z, targets, rows, width) {
      return build(allocate, rows, (r) =>
        targets[r]! < 0 ? 0 : logSumExp(z, r * width, width) - z[r * width + targets[r]!]!,
      );
    },
    crossEntropyBackward(z, targets, scale, rows, width) {
      const dz = allocate(rows * width);
      for (let r = 0; r < rows; r++) {
        const target = targets[r]!;
        if (target < 0) continue;
        const lse = logSumExp(z, r * width, width);
        for (let j = 0; j < width; j++) {
          dz[r * width + j] = scale[r]! * (Math.exp(z[r * width + j]! - lse) - (j === target ? 1 : 0));
        }
      }
      return dz;
    },

    kl(t, s, rows, width, temperature) {
      const factor = 1 / temperature;
      return build(allocate, rows, (r) => {
        const lseT = logSumExp(t, r * width, width, factor);
        const lseS = logSumExp(s, r * width, width, factor);
        let sum = 0;
        for (let j = r * width; j < (r + 1) * width; j++) {
          const logP = t[j]! * factor - lseT;
          const p = Math.exp(logP);
          if (p !== 0) sum += p * (logP - (s[j]! * factor - lseS));
        }
        return sum;
      });
    },
    klBackward(t, s, scale, rows, width, temperature) {
      const factor = 1 / temperature;
      const ds = allocate(rows * width);
      for (let r = 0; r < rows; r++) {
        const lseT = logSumExp(t, r * width, width, factor);
        const lseS = logSumExp(s, r * width, width, factor);
        for (let j = r * width; j < (r + 1) * width; j++) {
          ds[j] = scale[r]! * factor * (Math.exp(s[j]! * factor - lseS) - Math.exp(t[j]! * factor - lseT));
        }
      }
      return ds;
    },
  };
}
