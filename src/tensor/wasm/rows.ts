/** Kernels over rows; see rows.as.ts and norms.as.ts. */
import { ROW_STATS, type RowKernels, type Storage } from "../device.js";
import type { Engine, WasmStorage } from "./engine.js";

/** Rough speed of one thread, for sharing: elements per microsecond. */
const PER_US = {
  softmax: 1000,
  softmaxBackward: 2000,
  logSoftmax: 1000,
  logSoftmaxBackward: 1000,
  rowStats: 700,
  rowArgmax: 4000,
  norm: 2000,
} as const;

interface Norm {
  readonly x: Storage;
  readonly gain: Storage;
  readonly bias?: Storage | undefined;
  readonly rows: number;
  readonly width: number;
  readonly epsilon: number;
  /** True for layer norm, false for RMS norm. */
  readonly centered: boolean;
}

export function rowKernels(engine: Engine): RowKernels {
  const { wasm } = engine;

  const norm = ({ x, gain, bias, rows, width, epsilon, centered }: Norm): WasmStorage => {
    const y = engine.allocate(rows * width);
    engine.share(
      "norm",
      {
        x: engine.at(x),
        gain: engine.at(gain),
        bias: bias === undefined ? 0 : engine.at(bias),
        y: y.address,
        n: width,
        epsilon,
        centered: Number(centered),
      },
      { items: rows, us: (rows * width) / PER_US.norm },
    );
    return y;
  };
  const normBackward = (
    dy: Storage,
    { x, gain, rows, width, epsilon, centered }: Norm,
  ): { dx: WasmStorage; dGain: WasmStorage; dBias: WasmStorage } => {
    const dx = engine.allocate(rows * width);
    const dGain = engine.allocate(width);
    const dBias = engine.allocate(width);
    wasm.fillZeros(dGain.address, width);
    wasm.fillZeros(dBias.address, width);
    wasm.normBackward(
      {
        x: engine.at(x),
        gain: engine.at(gain),
        dy: engine.at(dy),
        dx: dx.address,
        dGain: dGain.address,
        dBias: dBias.address,
        n: width,
        epsilon,
        centered: Number(centered),
      },
      0,
      rows,
    );
    return { dx, dGain, dBias };
  };

  return {
    softmax(x, rows, width) {
      const y = engine.allocate(rows * width);
      const work = { items: rows, us: (rows * width) / PER_US.softmax };
      engine.share("softmax", { x: engine.at(x), y: y.address, n: width }, work);
      return y;
    },
    softmaxBackward(y, dy, rows, width) {
      const dx = engine.allocate(rows * width);
      const work = { items: rows, us: (rows * width) / PER_US.softmaxBackward };
      engine.share("softmaxBackward", { y: engine.at(y), dy: engine.at(dy), dx: dx.address, n: width }, work);
      return dx;
    },

    logSoftmax(x, rows, width) {
      const y = engine.allocate(rows * width);
      const work = { items: rows, us: (rows * width) / PER_US.logSoftmax };
      engine.share("logSoftmax", { x: engine.at(x), y: y.address, n: width }, work);
      return y;
    },
    logSoftmaxBackward(y, dy, rows, width) {
      const dx = engine.allocate(rows * width);
      const work = { items: rows, us: (rows * width) / PER_US.logSoftmaxBackward };
      engine.share("logSoftmaxBackward", { y: engine.at(y), dy: engine.at(dy), dx: dx.address, n: width }, work);
      return dx;
    },

    rowStats(logits, rows, width) {
      const stats = engine.allocate(rows * ROW_STATS.width);
      const work = { items: rows, us: (rows * width) / PER_US.rowStats };
      engine.share("rowStats", { x: engine.at(logits), y: stats.address, n: width }, work);
      return stats;
    },
    rowArgmax(logits, rows, width) {
      const best = engine.allocate(rows * 3);
      const work = { items: rows, us: (rows * width) / PER_US.rowArgmax };
      engine.share("rowArgmax", { x: engine.at(logits), y: best.address, n: width }, work);
      return best;
    },

    layerNorm: (x, gain, bias, rows, width, epsilon) => norm({ x, gain, bias, rows, width, epsilon, centered: true }),
    layerNormBackward: (x, gain, dy, rows, width, epsilon) =>
      normBackward(dy, { x, gain, rows, width, epsilon, centered: true }),

    rmsNorm: (x, gain, rows, width, epsilon) => norm({ x, gain, rows, width, epsilon, centered: false }),
    rmsNormBackward(x, gain, dy, rows, width, epsilon) {
      const { dx, dGain, dBias } = normBackward(dy, { x, gain, rows, width, epsilon, centered: false });
      engine.free(dBias);
      return { dx, dGain };
    },
  };
}
