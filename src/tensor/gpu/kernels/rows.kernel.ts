/**
 * Kernels over the rows of a matrix [R, N]; formulas: reference/rows.ts. A row is reduced in stages: one thread per
 * segment of 256 columns, then the segments' results as a row of their own. Segments begin at fixed columns, so a row's
 * bits depend neither on other rows nor on zeros after its end.
 */
import { type KernelSource, matrixKernel, type ParameterType, vectorKernel } from "./kernel-source.js";

export const SEGMENT = 256;

/** Runs `step` with j, the column, for each of a segment's columns; one result per row and segment. */
function segmentKernel<P extends string>(
  name: string,
  parameters: Readonly<Record<P, ParameterType>>,
  { before = "", first = "0", step }: { before?: string; first?: string; step: string },
): KernelSource<P | "width"> {
  const body = step
    .replaceAll("[j]", `[COLUMN * ${SEGMENT} + t]`)
    .replaceAll("[r, j]", `[ROW * width + COLUMN * ${SEGMENT} + t]`);
  return matrixKernel(
    name,
    { ...parameters, width: "integer" },
    `
  ${before}
  let result = ${first};
  for (let t = 0; t < ${SEGMENT}; t++) {
    if (COLUMN * ${SEGMENT} + t < width) {
      ${body}
    }
  }
  return result;
`,
  );
}

export const segmentSum = segmentKernel("segmentSum", { x: "array" }, { step: "result += x[r, j];" });
export const segmentMax = segmentKernel(
  "segmentMax",
  { x: "array" },
  { first: `x[ROW * width + COLUMN * ${SEGMENT}]`, step: "result = Math.max(result, x[r, j]);" },
);
export const segmentMin = segmentKernel(
  "segmentMin",
  { x: "array" },
  { first: `x[ROW * width + COLUMN * ${SEGMENT}]`, step: "result = Math.min(result, x[r, j]);" },
);
export const segmentDot = segmentKernel(
  "segmentDot",
  { a: "array", b: "array" },
  { step: "result += a[r, j] * b[r, j];" },
);
/** Σ exp((x - max) · factor). */
export const segmentExp = segmentKernel(
  "segmentExp",
  { x: "array", top: "array", factor: "float" },
  { step: "result += Math.exp((x[r, j] - top[ROW]) * factor);" },
);
/** Lowest column that holds the maximum; 2^24 in segments without it. */
export const segmentArgmax = segmentKernel(
  "segmentArgmax",
  { x: "array", top: "array" },
  {
    first: "16777216",
    step: `if (x[r, j] === top[ROW]) {
        result = Math.min(result, COLUMN * ${SEGMENT} + t);
      }`,
  },
);
/** The largest value except the one at `best`; `lowest` if there is none. */
export const segmentSecond = segmentKernel(
  "segmentSecond",
  { x: "array", best: "array", lowest: "float" },
  {
    first: "lowest",
    step: `if (Math.abs(best[ROW] - (COLUMN * ${SEGMENT} + t)) > 0.5) {
        result = Math.max(result, x[r, j]);
      }`,
  },
);
/** Σ p · (-log p), p = exp(x - max - logSum). */
export const segmentEntropy = segmentKernel(
  "segmentEntropy",
  { x: "array", top: "array", logSum: "array" },
  {
    step: "const surprise = logSum[ROW] - (x[r, j] - top[ROW]);\n      result += Math.exp(-surprise) * surprise;",
  },
);

export const logarithm = vectorKernel(
  "logarithm",
  { x: "array" },
  `
  return Math.log(x[COLUMN]);
`,
);

/** [R, 5]: the columns of ROW_STATS. */
export const rowStats = matrixKernel(
  "rowStats",
  { best: "array", top: "array", second: "array", logSum: "array", entropy: "array" },
  `
  let y = best[ROW];
  if (COLUMN === 1) {
    y = top[ROW];
  }
  if (COLUMN === 2) {
    y = second[ROW];
  }
  if (COLUMN === 3) {
    y = top[ROW] + logSum[ROW];
  }
  if (COLUMN === 4) {
    y = entropy[ROW];
  }
  return y;
`,
);

/** [R, 3]: argmax, largest, and log-sum-exp, which is finite only if all logits are. */
export const rowArgmax = matrixKernel(
  "rowArgmax",
  { best: "array", top: "array", logSum: "array" },
  `
  let y = best[ROW];
  if (COLUMN === 1) {
    y = top[ROW];
  }
  if (COLUMN === 2) {
    y = top[ROW] + logSum[ROW];
  }
  return y;
`,
);

export const softmax = matrixKernel(
  "softmax",
  { x: "array", top: "array", sum: "array", width: "integer" },
  `
  return Math.exp(x[ROW * width + COLUMN] - top[ROW]) / sum[ROW];
`,
);

export const softmaxBackward = matrixKernel(
  "softmaxBackward",
  { y: "array", dy: "array", dot: "array", width: "integer" },
  `
  return y[ROW * width + COLUMN] * (dy[ROW * width + COLUMN] - dot[ROW]);
`,
);

export const logSoftmax = matrixKernel(
  "logSoftmax",
  { x: "array", top: "array", sum: "array", width: "integer" },
  `
  return (x[ROW * width + COLUMN] - top[ROW]) - Math.log(sum[ROW]);
`,
);

export const logSoftmaxBackward = matrixKernel(
  "logSoftmaxBackward",
  { y: "array", dy: "array", sum: "array", width: "integer" },
  `
  return dy[ROW * width + COLUMN] - Math.exp(y[ROW * width + COLUMN]) * sum[ROW];
`,
);

/** Σ (x - mean)², mean = total / width. */
export const segmentSpread = segmentKernel(
  "segmentSpread",
  { x: "array", total: "array" },
  {
    before: "const mean = total[ROW] / width;",
    step: "result += (x[r, j] - mean) * (x[r, j] - mean);",
  },
);

/** A row's mean (zero for RMSNorm) and 1 over its deviation, from `total` = Σ x and `squares` = Σ (x - mean)². */
const moments = `
  let mean = 0;
  if (centered > 0) {
    mean = total[ROW] / width;
  }
  const inverse = 1 / Math.sqrt(squares[ROW] / width + epsilon);`;

/** (x - mean) · inverse · gain + bias. */
export const normalize = matrixKernel(
  "normalize",
  {
    x: "array",
    total: "array",
    squares: "array",
    gain: "array",
    bias: "array",
    width: "integer",
    epsilon: "float",
    centered: "integer",
    hasBias: "integer",
  },
  `
  ${moments}
  let y = (x[ROW * width + COLUMN] - mean) * inverse * gain[COLUMN];
  if (hasBias > 0) {
    y += bias[COLUMN];
  }
  return y;
`,
);

/** Σ dy · gain. */
export const segmentGain = segmentKernel(
  "segmentGain",
  { dy: "array", gain: "array" },
  { step: "result += dy[r, j] * gain[j];" },
);

/** Σ dy · gain · n, n = (x - mean) · inverse. */
export const segmentGainNormed = segmentKernel(
  "segmentGainNormed",
  {
    x: "array",
    dy: "array",
    gain: "array",
    total: "array",
    squares: "array",
    epsilon: "float",
    centered: "integer",
  },
  { before: moments, step: "result += dy[r, j] * gain[j] * (x[r, j] - mean) * inverse;" },
);

/** dx = inverse · (g - mean(g) - n · mean(g·n)), g = dy · gain; without mean(g) for RMSNorm. */
export const normalizeBackward = matrixKernel(
  "normalizeBackward",
  {
    x: "array",
    dy: "array",
    gain: "array",
    total: "array",
    squares: "array",
    sumG: "array",
    sumGN: "array",
    width: "integer",
    epsilon: "float",
    centered: "integer",
  },
  `
  ${moments}
  let meanG = 0;
  if (centered > 0) {
    meanG = sumG[ROW] / width;
  }
  const normed = (x[ROW * width + COLUMN] - mean) * inverse;
  return inverse * (dy[ROW * width + COLUMN] * gain[COLUMN] - meanG - normed * sumGN[ROW] / width);
`,
);

/** dy · n; its sum over rows is dGain. */
export const normalizedGradient = matrixKernel(
  "normalizedGradient",
  {
    x: "array",
    dy: "array",
    total: "array",
    squares: "array",
    width: "integer",
    epsilon: "float",
    centered: "integer",
  },
  `
  ${moments}
  return dy[ROW * width + COLUMN] * (x[ROW * width + COLUMN] - mean) * inverse;
`,
);
