/** Losses on the GPU device. */
import type { LossKernels, Storage } from "../device.js";
import type { Engine } from "./engine.js";
import { crossEntropy, crossEntropyBackward, klBackward, segmentKl } from "./kernels/losses.kernel.js";
import { segmentSum } from "./kernels/rows.kernel.js";
import { reduceRows, topAndSum } from "./rows.js";

export function lossKernels(engine: Engine): LossKernels {
  const pair = (
    t: Storage,
    s: Storage,
    rows: number,
    width: number,
    temperature: number,
  ): Record<"t" | "s" | "tTop" | "tSum" | "sTop" | "sSum", Storage> & { factor: number } => {
    const factor = 1 / temperature;
    const teacher = topAndSum(engine, t, rows, width, factor);
    const student = topAndSum(engine, s, rows, width, factor);
    return { t, s, tTop: teacher.top, tSum: teacher.sum, sTop: student.top, sSum: student.sum, factor };
  };
  return {
    crossEntropy: (z, targets, rows, width) =>
      engine.scope(() =>
        engine.vector(crossEntropy, rows, {
          z,
          targets: engine.integers(targets),
          ...topAndSum(engine, z, rows, width),
          width,
        }),
      ),
    crossEntropyBackward: (z, targets, dLoss, rows, width) =>
      engine.scope(() =>
        engine.matrix(crossEntropyBackward, rows, width, {
          z,
          targets: engine.integers(targets),
          ...topAndSum(engine, z, rows, width),
          dLoss,
          width,
        }),
      ),
    kl: (teacher, student, rows, width, temperature) =>
      engine.scope(() =>
        reduceRows(engine, segmentKl, segmentSum, rows, width, pair(teacher, student, rows, width, temperature)),
      ),
    klBackward: (teacher, student, dLoss, rows, width, temperature) =>
      engine.scope(() =>
        engine.matrix(klBackward, rows, width, { ...pair(teacher, student, rows, width, temperature), dLoss, width }),
      ),
  };
}
