/** Kernels over rows on the GPU device: reductions in stages (rows.kernel.ts). */
import { ROW_STATS, type RowKernels, type Storage } from "../device.js";
import type { Engine, GpuStorage } from "./engine.js";
import type { KernelSource } from "./kernels/kernel-source.js";
import {
  logarithm,
  logSoftmax,
  logSoftmaxBackward,
  normalize,
  normalizeBackward,
  normalizedGradient,
  rowArgmax,
  rowStats,
  SEGMENT,
  segmentArgmax,
  segmentDot,
  segmentEntropy,
  segmentExp,
  segmentGain,
  segmentGainNormed,
  segmentMax,
  segmentMin,
  segmentSecond,
  segmentSpread,
  segmentSum,
  softmax,
  softmaxBackward,
} from "./kernels/rows.kernel.js";
import { sumMiddle } from "./kernels/movement.kernel.js";

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
  const norm = (
    x: Storage,
    gain: Storage,
    bias: Storage | undefined,
    rows: number,
    width: number,
    epsilon: number,
    centered: boolean,
  ): GpuStorage =>
    engine.scope(() =>
      engine.matrix(normalize, rows, width, {
        x,
        ...moments(x, rows, width, centered),
        gain,
        bias: bias ?? engine.nothing,
        width,
        epsilon,
        hasBias: Number(bias !== undefined),
      }),
    );
  const normBackward = (
    x: Storage,
    gain: Storage,
    dy: Storage,
    rows: number,
    width: number,
    epsilon: number,
    centered: boolean,
  ): { dx: GpuStorage; dGain: GpuStorage } =>
    engine.scope(() => {
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
    });

  return {
    softmax: (x, rows, width) => softmaxRows(engine, x, rows, width),
    softmaxBackward: (y, dy, rows, width) => softmaxRowsBackward(engine, y, dy, rows, width),
    logSoftmax: (x, rows, width) =>
      engine.scope(() => engine.matrix(logSoftmax, rows, width, { x, ...topAndSum(engine, x, rows, width), width })),
    logSoftmaxBackward: (y, dy, rows, width) =>
      engine.scope(() =>
        engine.matrix(logSoftmaxBackward, rows, width, {
          y,
          dy,
          sum: reduceRows(engine, segmentSum, segmentSum, rows, width, { x: dy }),
          width,
        }),
      ),

    rowStats: (x, rows, width) =>
      engine.scope(() => {
        const { top, sum } = topAndSum(engine, x, rows, width);
        const best = reduceRows(engine, segmentArgmax, segmentMin, rows, width, { x, top });
        const second = reduceRows(engine, segmentSecond, segmentMax, rows, width, { x, best, lowest: -Infinity });
        const logSum = engine.vector(logarithm, rows, { x: sum });
        const entropy = reduceRows(engine, segmentEntropy, segmentSum, rows, width, { x, top, logSum });
        return engine.matrix(rowStats, rows, ROW_STATS.width, { best, top, second, logSum, entropy });
      }),

    rowArgmax: (x, rows, width) =>
      engine.scope(() => {
        const { top, sum } = topAndSum(engine, x, rows, width);
        const best = reduceRows(engine, segmentArgmax, segmentMin, rows, width, { x, top });
        const logSum = engine.vector(logarithm, rows, { x: sum });
        return engine.matrix(rowArgmax, rows, 3, { best, top, logSum });
      }),

    layerNorm: (x, gain, bias, rows, width, epsilon) => norm(x, gain, bias, rows, width, epsilon, true),
    layerNormBackward: (x, gain, dy, rows, width, epsilon) => ({
      ...normBackward(x, gain, dy, rows, width, epsilon, true),
      dBias: engine.matrix(sumMiddle, 1, width, { x: dy, n: rows, inner: width }),
    }),
    rmsNorm: (x, gain, rows, width, epsilon) => norm(x, gain, undefined, rows, width, epsilon, false),
    rmsNormBackward: (x, gain, dy, rows, width, epsilon) => normBackward(x, gain, dy, rows, width, epsilon, false),
  };
}
