/**
 * Kernels over the rows of a matrix [R, N] on the GPU device; formulas: reference/rows.ts. A row is reduced in stages:
 * one thread per segment of 256 columns, then the segments' results as a row of their own. Segments begin at fixed
 * columns, so a row's bits depend neither on other rows nor on zeros after its end.
 */
import { ROW_STATS, type RowKernels, type Storage } from "../device.js";
import type { Engine, GpuStorage } from "./engine.js";
import { type KernelSource, matrixKernel, type NamesIn, vectorKernel } from "./kernel-source.js";
import { sumMiddle } from "./movement.js";

export const SEGMENT = 256;

/** Runs `step` with j, the column, for each of a segment's columns; one result per row and segment. */
function segmentKernel<T extends string>(
  name: string,
  parameters: T,
  { before = "", first = "0", step }: { before?: string; first?: string; step: string },
): KernelSource<NamesIn<`${T}, integer width`>> {
  const body = step
    .replaceAll("[j]", `[COLUMN * ${SEGMENT} + t]`)
    .replaceAll("[r, j]", `[ROW * width + COLUMN * ${SEGMENT} + t]`);
  return matrixKernel(
    name,
    `${parameters}, integer width`,
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

export const segmentSum = segmentKernel("segmentSum", "array x", { step: "result += x[r, j];" });
const segmentMax = segmentKernel("segmentMax", "array x", {
  first: `x[ROW * width + COLUMN * ${SEGMENT}]`,
  step: "result = Math.max(result, x[r, j]);",
});
const segmentMin = segmentKernel("segmentMin", "array x", {
  first: `x[ROW * width + COLUMN * ${SEGMENT}]`,
  step: "result = Math.min(result, x[r, j]);",
});
const segmentDot = segmentKernel("segmentDot", "array a b", { step: "result += a[r, j] * b[r, j];" });
/** Σ exp((x - max) · factor). */
const segmentExp = segmentKernel("segmentExp", "array x top, float factor", {
  step: "result += Math.exp((x[r, j] - top[ROW]) * factor);",
});
/** Lowest column that holds the maximum; 2^24 in segments without it. */
const segmentArgmax = segmentKernel("segmentArgmax", "array x top", {
  first: "16777216",
  step: `if (x[r, j] === top[ROW]) {
        result = Math.min(result, COLUMN * ${SEGMENT} + t);
      }`,
});
/** The largest value except the one at `best`; `lowest` if there is none. */
const segmentSecond = segmentKernel("segmentSecond", "array x best, float lowest", {
  first: "lowest",
  step: `if (Math.abs(best[ROW] - (COLUMN * ${SEGMENT} + t)) > 0.5) {
        result = Math.max(result, x[r, j]);
      }`,
});
/** Σ p · (-log p), p = exp(x - max - logSum). */
const segmentEntropy = segmentKernel("segmentEntropy", "array x top logSum", {
  step: "const surprise = logSum[ROW] - (x[r, j] - top[ROW]);\n      result += Math.exp(-surprise) * surprise;",
});

const logarithm = vectorKernel(
  "logarithm",
  "array x",
  `
  return Math.log(x[COLUMN]);
`,
);

/** [R, 5]: the columns of ROW_STATS. */
const rowStats = matrixKernel(
  "rowStats",
  "array best top second logSum entropy",
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
const rowArgmax = matrixKernel(
  "rowArgmax",
  "array best top logSum",
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

const softmax = matrixKernel(
  "softmax",
  "array x top sum, integer width",
  `
  return Math.exp(x[ROW * width + COLUMN] - top[ROW]) / sum[ROW];
`,
);

const softmaxBackward = matrixKernel(
  "softmaxBackward",
  "array y dy dot, integer width",
  `
  return y[ROW * width + COLUMN] * (dy[ROW * width + COLUMN] - dot[ROW]);
`,
);

const logSoftmax = matrixKernel(
  "logSoftmax",
  "array x top sum, integer width",
  `
  return (x[ROW * width + COLUMN] - top[ROW]) - Math.log(sum[ROW]);
`,
);

const logSoftmaxBackward = matrixKernel(
  "logSoftmaxBackward",
  "array y dy sum, integer width",
  `
  return dy[ROW * width + COLUMN] - Math.exp(y[ROW * width + COLUMN]) * sum[ROW];
`,
);

/** Σ (x - mean)², mean = total / width. */
const segmentSpread = segmentKernel("segmentSpread", "array x total", {
  before: "const mean = total[ROW] / width;",
  step: "result += (x[r, j] - mean) * (x[r, j] - mean);",
});

/** A row's mean (zero for RMSNorm) and 1 over its deviation, from `total` = Σ x and `squares` = Σ (x - mean)². */
const momentsText = `
  let mean = 0;
  if (centered > 0) {
    mean = total[ROW] / width;
  }
  const inverse = 1 / Math.sqrt(squares[ROW] / width + epsilon);`;

/** (x - mean) · inverse · gain + bias. */
const normalize = matrixKernel(
  "normalize",
  "array x total squares gain bias, integer width, float epsilon, integer centered hasBias",
  `
  ${momentsText}
  let y = (x[ROW * width + COLUMN] - mean) * inverse * gain[COLUMN];
  if (hasBias > 0) {
    y += bias[COLUMN];
  }
  return y;
`,
);

/** Σ dy · gain. */
const segmentGain = segmentKernel("segmentGain", "array dy gain", { step: "result += dy[r, j] * gain[j];" });

/** Σ dy · gain · n, n = (x - mean) · inverse. */
const segmentGainNormed = segmentKernel(
  "segmentGainNormed",
  "array x dy gain total squares, float epsilon, integer centered",
  { before: momentsText, step: "result += dy[r, j] * gain[j] * (x[r, j] - mean) * inverse;" },
);

/** dx = inverse · (g - mean(g) - n · mean(g·n)), g = dy · gain; without mean(g) for RMSNorm. */
const normalizeBackward = matrixKernel(
  "normalizeBackward",
  "array x dy gain total squares sumG sumGN, integer width, float epsilon, integer centered",
  `
  ${momentsText}
  let meanG = 0;
  if (centered > 0) {
    meanG = sumG[ROW] / width;
  }
  const normed = (x[ROW * width + COLUMN] - mean) * inverse;
  return inverse * (dy[ROW * width + COLUMN] * gain[COLUMN] - meanG - normed * sumGN[ROW] / width);
`,
);

/** dy · n; its sum over rows is dGain. */
const normalizedGradient = matrixKernel(
  "normalizedGradient",
  "array x dy total squares, integer width, float epsilon, integer centered",
  `
  ${momentsText}
  return dy[ROW * width + COLUMN] * (x[ROW * width + COLUMN] - mean) * inverse;
`,
);

/** One number per row of [rows, width]: `first` per segment, then `next` over the results. */
export function reduceRows<P extends string>(
  engine: Engine,
  first: KernelSource<P | "width">,
  next: KernelSource<"x" | "width">,
  rows: number,
  width: number,
  args: Readonly<Record<P, Storage | number>>,
): GpuStorage {
  let parts = Math.ceil(width / SEGMENT);
  let result = engine.matrix(first, rows, parts, { ...args, width });
  while (parts > 1) {
    const before = parts;
    parts = Math.ceil(before / SEGMENT);
    result = engine.matrix(next, rows, parts, { x: result, width: before });
  }
  return result;
}

/** The maximum of every row, and its sum of exp((x - max) · factor). */
export function topAndSum(
  engine: Engine,
  x: Storage,
  rows: number,
  width: number,
  factor = 1,
): { top: GpuStorage; sum: GpuStorage } {
  const top = reduceRows(engine, segmentMax, segmentMax, rows, width, { x });
  return { top, sum: reduceRows(engine, segmentExp, segmentSum, rows, width, { x, top, factor }) };
}

export function softmaxRows(engine: Engine, x: Storage, rows: number, width: number): GpuStorage {
  return engine.scope(() => engine.matrix(softmax, rows, width, { x, ...topAndSum(engine, x, rows, width), width }));
}

export function softmaxRowsBackward(engine: Engine, y: Storage, dy: Storage, rows: number, width: number): GpuStorage {
  return engine.scope(() =>
    engine.matrix(softmaxBackward, rows, width, {
      y,
      dy,
      dot: reduceRows(engine, segmentDot, segmentSum, rows, width, { a: y, b: dy }),
      width,
    }),
  );
}

export function rowKernels(engine: Engine): RowKernels {
  /** Σ x and Σ (x - mean)² of every row; without the mean, for RMSNorm, Σ x². */
  const moments = (
    x: Storage,
    rows: number,
    width: number,
    centered: boolean,
  ): { total: GpuStorage; squares: GpuStorage; centered: number } => {
    if (!centered) {
      return {
        total: engine.nothing,
        squares: reduceRows(engine, segmentDot, segmentSum, rows, width, { a: x, b: x }),
        centered: 0,
      };
    }
    const total = reduceRows(engine, segmentSum, segmentSum, rows, width, { x });
    return { total, squares: reduceRows(engine, segmentSpread, segmentSum, rows, width, { x, total }), centered: 1 };
  };
  const norm =
    (centered: boolean): RowKernels["layerNorm"] =>
    (x, gain, bias, rows, width, epsilon) =>
      engine.matrix(normalize, rows, width, {
        x,
        ...moments(x, rows, width, centered),
        gain,
        bias: bias ?? engine.nothing,
        width,
        epsilon,
        hasBias: Number(bias !== undefined),
      });
  const normBackward =
    (centered: boolean): RowKernels["rmsNormBackward"] =>
    (x, gain, dy, rows, width, epsilon) => {
      const shared = { x, dy, ...moments(x, rows, width, centered), epsilon };
      const sumG = centered ? reduceRows(engine, segmentGain, segmentSum, rows, width, { dy, gain }) : engine.nothing;
      const sumGN = reduceRows(engine, segmentGainNormed, segmentSum, rows, width, { ...shared, gain });
      return {
        dx: engine.matrix(normalizeBackward, rows, width, { ...shared, gain, sumG, sumGN, width }),
        dGain: engine.matrix(sumMiddle, 1, width, {
          x: engine.matrix(normalizedGradient, rows, width, { ...shared, width }),
          n: rows,
          inner: width,
        }),
      };
    };

  const largest = (x: Storage, rows: number, width: number): Record<"best" | "top" | "logSum", GpuStorage> => {
    const { top, sum } = topAndSum(engine, x, rows, width);
    const best = reduceRows(engine, segmentArgmax, segmentMin, rows, width, { x, top });
    return { best, top, logSum: engine.vector(logarithm, rows, { x: sum }) };
  };

  return {
    softmax: (x, rows, width) => softmaxRows(engine, x, rows, width),
    softmaxBackward: (y, dy, rows, width) => softmaxRowsBackward(engine, y, dy, rows, width),
    logSoftmax: (x, rows, width) =>
      engine.matrix(logSoftmax, rows, width, { x, ...topAndSum(engine, x, rows, width), width }),
    logSoftmaxBackward: (y, dy, rows, width) =>
      engine.matrix(logSoftmaxBackward, rows, width, {
        y,
        dy,
        sum: reduceRows(engine, segmentSum, segmentSum, rows, width, { x: dy }),
        width,
      }),

    rowStats: (x, rows, width) => {
      const { best, top, logSum } = largest(x, rows, width);
      const second = reduceRows(engine, segmentSecond, segmentMax, rows, width, { x, best, lowest: -Infinity });
      const entropy = reduceRows(engine, segmentEntropy, segmentSum, rows, width, { x, top, logSum });
      return engine.matrix(rowStats, rows, ROW_STATS.width, { best, top, second, logSum, entropy });
    },
    rowArgmax: (x, rows, width) => engine.matrix(rowArgmax, rows, 3, largest(x, rows, width)),

    layerNorm: norm(true),
    layerNormBackward: (x, gain, dy, rows, width, epsilon) => ({
      ...normBackward(true)(x, gain, dy, rows, width, epsilon),
      dBias: engine.matrix(sumMiddle, 1, width, { x: dy, n: rows, inner: width }),
    }),
    rmsNorm: (x, gain, rows, width, epsilon) => norm(false)(x, gain, undefined, rows, width, epsilon),
    rmsNormBackward: normBackward(false),
  };
}
