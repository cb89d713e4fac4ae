/**
 * Losses per row of logits, from the row's maximum and its sum of exp((z - max) / temperature); formulas:
 * reference/losses.ts. Differences of logits come first: logits near a thousand leave few digits in float32.
 */
import { matrixKernel, vectorKernel } from "./kernel-source.js";
import { SEGMENT } from "./rows.kernel.js";

/** (max - z_y) + log Σ exp(z - max); 0 if the target is negative. */
export const crossEntropy = vectorKernel(
  "crossEntropy",
  { z: "array", targets: "array", top: "array", sum: "array", width: "integer" },
  `
  let loss = 0;
  if (targets[COLUMN] >= 0) {
    loss = (top[COLUMN] - z[COLUMN * width + (targets[COLUMN] | 0)]) + Math.log(sum[COLUMN]);
  }
  return loss;
`,
);

/** dLoss · (softmax(z) - onehot(target)). */
export const crossEntropyBackward = matrixKernel(
  "crossEntropyBackward",
  { z: "array", targets: "array", top: "array", sum: "array", dLoss: "array", width: "integer" },
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
export const segmentKl = matrixKernel(
  "segmentKl",
  {
    t: "array",
    s: "array",
    tTop: "array",
    tSum: "array",
    sTop: "array",
    sSum: "array",
    width: "integer",
    factor: "float",
  },
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
export const klBackward = matrixKernel(
  "klBackward",
  {
    t: "array",
    s: "array",
    tTop: "array",
    tSum: "array",
    sTop: "array",
    sSum: "array",
    dLoss: "array",
    width: "integer",
    factor: "float",
  },
  `
  const p = Math.exp((t[ROW * width + COLUMN] - tTop[ROW]) * factor) / tSum[ROW];
  const q = Math.exp((s[ROW * width + COLUMN] - sTop[ROW]) * factor) / sSum[ROW];
  return dLoss[ROW] * factor * (q - p);
`,
);
