/**
 * Losses per row of logits on the GPU device, from the row's maximum and its sum of exp((z - max) / temperature);
 * formulas: reference/losses.ts. Differences of logits come first: logits near a thousand leave few digits in float32.
 */
import type { LossKernels, Storage } from "../device.js";
import type { Engine } from "./engine.js";
import { reduceRows, SEGMENT, segmentSum, topAndSum } from "./rows.js";
import { matrixKernel, vectorKernel } from "./kernel-source.js";

/** (max - z_y) + log Σ exp(z - max); 0 if the target is negative. */
const crossEntropy = vectorKernel(
  "crossEntropy",
  "array z targets top sum, integer width",
  `
  let loss = 0;
  if (targets[COLUMN] >= 0) {
    loss = (top[COLUMN] - z[COLUMN * width + (targets[COLUMN] | 0)]) + Math.log(sum[COLUMN]);
  }
  return loss;
`,
);

/** dLoss · (softmax(z) - onehot(target)). */
const crossEntropyBackward = matrixKernel(
  "crossEntropyBackward",
  "array z targets top sum dLoss, integer width",
  `
  let y = 0;
  if (targets[ROW] >= 0) {
    y = Math.exp(z[ROW * width + COLUMN] - top[ROW]) / sum[ROW];
    if (Math.abs(targets[ROW] - COLUMN) < 0.5) {
      y = y - 1;
    }
    y = y * dLoss[ROW];
  }
  return y;
`,
);

/** A segment of Σ p · (log p - log q), p of the teacher t and q of the student s, both softened by 1 / factor. */
const segmentKl = matrixKernel(
  "segmentKl",
  "array t s tTop tSum sTop sSum, integer width, float factor",
  `
  const tLog = Math.log(tSum[ROW]);
  const sLog = Math.log(sSum[ROW]);
  let result = 0;
  for (let j = 0; j < ${SEGMENT}; j++) {
    if (COLUMN * ${SEGMENT} + j < width) {
      const logP = (t[ROW * width + COLUMN * ${SEGMENT} + j] - tTop[ROW]) * factor - tLog;
      const logQ = (s[ROW * width + COLUMN * ${SEGMENT} + j] - sTop[ROW]) * factor - sLog;
      result += Math.exp(logP) * (logP - logQ);
    }
  }
  return result;
`,
);

/** dLoss · factor · (q - p). */
const klBackward = matrixKernel(
  "klBackward",
  "array t s tTop tSum sTop sSum dLoss, integer width, float factor",
  `
  const p = Math.exp((t[ROW * width + COLUMN] - tTop[ROW]) * factor) / tSum[ROW];
  const q = Math.exp((s[ROW * width + COLUMN] - sTop[ROW]) * factor) / sSum[ROW];
  return dLoss[ROW] * factor * (q - p);
`,
);

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
      engine.vector(crossEntropy, rows, {
        z,
        targets: engine.integers(targets),
        ...topAndSum(engine, z, rows, width),
        width,
      }),
    crossEntropyBackward: (z, targets, dLoss, rows, width) =>
      engine.matrix(crossEntropyBackward, rows, width, {
        z,
        targets: engine.integers(targets),
        ...topAndSum(engine, z, rows, width),
        dLoss,
        width,
      }),
    kl: (teacher, student, rows, width, temperature) =>
      reduceRows(engine, segmentKl, segmentSum, rows, width, pair(teacher, student, rows, width, temperature)),
    klBackward: (teacher, student, dLoss, rows, width, temperature) =>
      engine.matrix(klBackward, rows, width, { ...pair(teacher, student, rows, width, temperature), dLoss, width }),
  };
}
