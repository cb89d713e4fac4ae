/** Kernels over rows; see rows.as.ts and norms.as.ts. */
import { ROW_STATS, type RowKernels } from "../device.js";
import type { Engine } from "./engine.js";

export function rowKernels(engine: Engine): RowKernels {
  const { wasm } = engine;

  /** With `centered` true a layer norm, else an RMS norm. */
  const norm =
    (centered: boolean): RowKernels["layerNorm"] =>
    (x, gain, bias, rows, width, epsilon) => {
      const y = engine.allocate(rows * width);
      engine.shareRows(
        "norm",
        {
          x: engine.at(x),
          gain: engine.at(gain),
          bias: engine.atOrNone(bias),
          y: y.address,
          n: width,
          epsilon,
          centered: Number(centered),
        },
        rows,
        width,
      );
      return y;
    };
  const normBackward =
    (centered: boolean): RowKernels["layerNormBackward"] =>
    (x, gain, dy, rows, width, epsilon) => {
      const dx = engine.allocate(rows * width);
      const dGain = engine.zeros(width);
      const dBias = engine.zeros(width);
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

  /** x [R, N] -> y [R, `columns`], or [R, N]. */
  const map =
    (kernel: "softmax" | "logSoftmax" | "rowStats" | "rowArgmax", columns?: number): RowKernels["softmax"] =>
    (x, rows, width) => {
      const y = engine.allocate(rows * (columns ?? width));
      engine.shareRows(kernel, { x: engine.at(x), y: y.address, n: width }, rows, width);
      return y;
    };
  const slope =
    (kernel: "softmaxBackward" | "logSoftmaxBackward"): RowKernels["softmaxBackward"] =>
    (y, dy, rows, width) => {
      const dx = engine.allocate(rows * width);
      engine.shareRows(kernel, { y: engine.at(y), dy: engine.at(dy), dx: dx.address, n: width }, rows, width);
      return dx;
    };

  return {
    softmax: map("softmax"),
    softmaxBackward: slope("softmaxBackward"),
    logSoftmax: map("logSoftmax"),
    logSoftmaxBackward: slope("logSoftmaxBackward"),
    rowStats: map("rowStats", ROW_STATS.width),
    rowArgmax: map("rowArgmax", 3),

    layerNorm: norm(true),
    layerNormBackward: normBackward(true),
    rmsNorm: (x, gain, rows, width, epsilon) => norm(false)(x, gain, undefined, rows, width, epsilon),
    rmsNormBackward(...given) {
      const { dx, dGain, dBias } = normBackward(false)(...given);
      engine.free(dBias);
      return { dx, dGain };
    },
  };
}
