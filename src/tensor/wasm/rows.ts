/**
 * Kernels over rows: softmax, its logarithm, the statistics of logits, and the norms. See rows.as.ts and norms.as.ts.
 */
import { type Kernels, ROW_STATS, type Storage } from "../device.js";
import type { Engine, WasmStorage } from "./engine.js";

/** Rough speed of one thread, for sharing: elements a microsecond. */
const PER_US = {
  softmax: 1000,
  softmaxBackward: 2000,
  logSoftmax: 1000,
  logSoftmaxBackward: 1000,
  rowStats: 700,
  norm: 2000,
} as const;

type Rows = Pick<
  Kernels,
  | "softmax"
  | "softmaxBackward"
  | "logSoftmax"
  | "logSoftmaxBackward"
  | "rowStats"
  | "layerNorm"
  | "layerNormBackward"
  | "rmsNorm"
  | "rmsNormBackward"
>;

export function rowKernels(engine: Engine): Rows {
  const { wasm } = engine;

  const normBackward = (
    x: Storage,
    gain: Storage,
    dy: Storage,
    rows: number,
    width: number,
    epsilon: number,
    centered: boolean,
  ): { dx: WasmStorage; dGain: WasmStorage; dBias: WasmStorage } => {
    const dx = engine.allocate(rows * width);
    const dGain = engine.allocate(width);
    const dBias = engine.allocate(width);
    wasm.fillZeros(dGain.address, width);
    wasm.fillZeros(dBias.address, width);
    wasm.normBackward(
      engine.at(x),
      engine.at(gain),
      engine.at(dy),
      dx.address,
      dGain.address,
      dBias.address,
      width,
      epsilon,
      Number(centered),
      0,
      rows,
    );
    return { dx, dGain, dBias };
  };

  return {
    softmax(x, rows, width) {
      const y = engine.allocate(rows * width);
      engine.share("softmax", [engine.at(x), y.address, width, 0, rows], (rows * width) / PER_US.softmax);
      return y;
    },
    softmaxBackward(y, dy, rows, width) {
      const dx = engine.allocate(rows * width);
      engine.share(
        "softmaxBackward",
        [engine.at(y), engine.at(dy), dx.address, width, 0, rows],
        (rows * width) / PER_US.softmaxBackward,
      );
      return dx;
    },

    logSoftmax(x, rows, width) {
      const y = engine.allocate(rows * width);
      engine.share("logSoftmax", [engine.at(x), y.address, width, 0, rows], (rows * width) / PER_US.logSoftmax);
      return y;
    },
    logSoftmaxBackward(y, dy, rows, width) {
      const dx = engine.allocate(rows * width);
      engine.share(
        "logSoftmaxBackward",
        [engine.at(y), engine.at(dy), dx.address, width, 0, rows],
        (rows * width) / PER_US.logSoftmaxBackward,
      );
      return dx;
    },

    rowStats(logits, rows, width) {
      const stats = engine.allocate(rows * ROW_STATS.width);
      engine.share("rowStats", [engine.at(logits), stats.address, width, 0, rows], (rows * width) / PER_US.rowStats);
      return stats;
    },

    layerNorm(x, gain, bias, rows, width, epsilon) {
      const y = engine.allocate(rows * width);
      engine.share(
        "norm",
        [
          engine.at(x),
          engine.at(gain),
          bias === undefined ? 0 : engine.at(bias),
          y.address,
          width,
          epsilon,
          1,
          0,
          rows,
        ],
        (rows * width) / PER_US.norm,
      );
      return y;
    },
    layerNormBackward: (x, gain, dy, rows, width, epsilon) => normBackward(x, gain, dy, rows, width, epsilon, true),

    rmsNorm(x, gain, rows, width, epsilon) {
      const y = engine.allocate(rows * width);
      engine.share(
        "norm",
        [engine.at(x), engine.at(gain), 0, y.address, width, epsilon, 0, 0, rows],
        (rows * width) / PER_US.norm,
      );
      return y;
    },
    rmsNormBackward(x, gain, dy, rows, width, epsilon) {
      const { dx, dGain, dBias } = normBackward(x, gain, dy, rows, width, epsilon, false);
      engine.free(dBias);
      return { dx, dGain };
    },
  };
}
