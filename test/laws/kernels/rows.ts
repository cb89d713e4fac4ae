/**
 * Kernels over rows. With d = x - max x, e = exp d carries the error of exp and, because d is rounded, |d| units more;
 * sums of positive terms carry the weighted mean of these, and the roundings of the additions (sumUnits); 32 units
 * cover the few operations that remain. Norms divide by a standard deviation: errors are relative to the largest |x|
 * over it.
 */
import {
  type AnyLaw,
  type Drawn,
  each,
  type Kind,
  kinds,
  law,
  type LawDevice,
  rowOf,
  rowsIn,
  seeds,
  softmaxOf,
  sum,
  sumUnits,
  UNIT,
  values,
} from "./law.js";
import { between, fc } from "../../support/property.js";
import { times } from "../../support/lists.js";

const widths = fc.oneof({ weight: 5, arbitrary: between(1, 40) }, { weight: 1, arbitrary: fc.constantFrom(255, 1001) });
const rowCases = fc
  .record({ rows: between(0, 5), width: widths, kind: kinds, seed: seeds })
  .map(({ rows, width, kind, seed }) => ({
    rows,
    width,
    x: values(seed, "x", rows * width, kind),
    dy: values(seed, "dy", rows * width),
  }));
type RowsCase = Drawn<typeof rowCases>;
const rows = rowsIn("x", "dy");

/** Concatenates a bound computed row by row. */
function perRow(c: RowsCase, bound: (x: Float32Array, dy: Float32Array, row: number) => ArrayLike<number>) {
  return Float64Array.from(
    times(c.rows, (r) => Array.from(bound(rowOf(c.x, r, c.rows), rowOf(c.dy, r, c.rows), r))).flat(),
  );
}

const withSoftmax = rowCases.map((c) => ({ ...c, x: Float32Array.from(perRow(c, (x) => softmaxOf(x).p)) }));
const withLogSoftmax = withSoftmax.map((c) => ({ ...c, x: c.x.map((p) => Math.log(p + 1e-30)) }));

const normCases = fc
  .record({
    rows: between(0, 5),
    width: widths,
    kind: fc.constantFrom<Kind>("normal", "large"),
    offset: fc.constantFrom(0, 0, 3),
    bias: fc.boolean(),
    seed: seeds,
  })
  .map(({ rows, width, kind, offset, bias, seed }) => ({
    rows,
    width,
    epsilon: 1e-5,
    x: values(seed, "x", rows * width, kind).map((value) => value + offset),
    dy: values(seed, "dy", rows * width),
    gain: values(seed, "gain", width),
    bias: bias ? values(seed, "bias", width) : undefined,
  }));
type NormCase = Drawn<typeof normCases>;

/** Normalized row n, 1/σ, and the relative error of n before the division: largest |x| over σ, in units. */
function normalized(x: Float32Array, epsilon: number, centered: boolean) {
  const mean = centered ? sum(x) / x.length : 0;
  const inverse = 1 / Math.sqrt(sum(x, (value) => (value - mean) ** 2) / x.length + epsilon);
  const largest = x.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return {
    n: Array.from(x, (value) => (value - mean) * inverse),
    inverse,
    error: (16 + sumUnits(x.length)) * UNIT * (1 + (centered ? largest * inverse : 0)),
  };
}

const runNorm = (device: LawDevice, { x, gain, bias, rows, width, epsilon }: NormCase, centered: boolean) =>
  centered
    ? device.kernels.layerNorm(device.upload(x), device.upload(gain), bias && device.upload(bias), rows, width, epsilon)
    : device.kernels.rmsNorm(device.upload(x), device.upload(gain), rows, width, epsilon);

const normLaw = (centered: boolean) =>
  law({
    kernel: centered ? "layerNorm" : "rmsNorm",
    cases: normCases,
    rows,
    run: (device, c) => ({ y: runNorm(device, c, centered) }),
    bounds: (c) => ({
      y: perRow(c, (x) => {
        const { n, error } = normalized(x, c.epsilon, centered);
        return each(
          x.length,
          (i) => error * (1 + Math.abs(n[i]!)) * Math.abs(c.gain[i]!) + 2 * UNIT * Math.abs(c.bias?.[i] ?? 0),
        );
      }),
    }),
  });

const normBackwardLaw = (centered: boolean) =>
  law({
    kernel: centered ? "layerNormBackward" : "rmsNormBackward",
    cases: normCases,
    run(device, { x, gain, dy, rows, width, epsilon }) {
      const arguments_ = [device.upload(x), device.upload(gain), device.upload(dy), rows, width, epsilon] as const;
      return centered ? device.kernels.layerNormBackward(...arguments_) : device.kernels.rmsNormBackward(...arguments_);
    },
    bounds(c) {
      const dGain = new Float64Array(c.width);
      const dBias = new Float64Array(c.width);
      const dx = perRow(c, (x, dy) => {
        const { n, inverse, error } = normalized(x, c.epsilon, centered);
        const g = Array.from(dy, (value, i) => Math.abs(value * c.gain[i]!));
        const meanG = sum(g) / c.width;
        const meanGN = sum(g, (value, i) => value * (1 + Math.abs(n[i]!))) / c.width;
        for (let i = 0; i < c.width; i++) {
          dGain[i]! += (error + 2 * c.rows * UNIT) * Math.abs(dy[i]!) * (1 + Math.abs(n[i]!));
          dBias[i]! += 2 * c.rows * UNIT * Math.abs(dy[i]!);
        }
        return each(c.width, (i) => error * inverse * (g[i]! + meanG + (1 + Math.abs(n[i]!)) * meanGN));
      });
      return { dx, dGain, dBias };
    },
  });

const onRows =
  (kernel: "softmax" | "logSoftmax" | "rowStats" | "rowArgmax") =>
  (device: LawDevice, { x, rows, width }: RowsCase) => ({ y: device.kernels[kernel](device.upload(x), rows, width) });

const backOnRows =
  (kernel: "softmaxBackward" | "logSoftmaxBackward") =>
  (device: LawDevice, { x, dy, rows, width }: RowsCase) => ({
    dx: device.kernels[kernel](device.upload(x), device.upload(dy), rows, width),
  });

export const rowLaws: readonly AnyLaw[] = [
  law({
    kernel: "softmax",
    cases: rowCases,
    rows,
    run: onRows("softmax"),
    bounds: (c, { tolerances }) => ({
      y: perRow(c, (x) => {
        const { p, d } = softmaxOf(x);
        return each(
          x.length,
          (i) => (32 + sumUnits(x.length) + 2 * tolerances.exp + 2 * Math.abs(d[i]!)) * UNIT * p[i]!,
        );
      }),
    }),
  }),
  law({
    kernel: "softmaxBackward",
    cases: withSoftmax,
    rows,
    run: backOnRows("softmaxBackward"),
    bounds: (c) => ({
      dx: perRow(c, (y, dy) => {
        const dots = sum(y, (value, i) => Math.abs(value * dy[i]!));
        return each(y.length, (i) => (8 + sumUnits(y.length)) * UNIT * y[i]! * (Math.abs(dy[i]!) + dots));
      }),
    }),
  }),
  law({
    kernel: "logSoftmax",
    cases: rowCases,
    rows,
    run: onRows("logSoftmax"),
    bounds: (c, { tolerances }) => ({
      y: perRow(c, (x) =>
        softmaxOf(x).d.map((d) => (32 + sumUnits(x.length) + tolerances.exp + 4 * Math.abs(d)) * UNIT),
      ),
    }),
  }),
  law({
    kernel: "logSoftmaxBackward",
    cases: withLogSoftmax,
    rows,
    run: backOnRows("logSoftmaxBackward"),
    bounds: (c, { tolerances }) => ({
      dx: perRow(c, (y, dy) => {
        const total = sum(dy, Math.abs);
        return each(
          y.length,
          (i) =>
            4 * UNIT * Math.abs(dy[i]!) + (8 + sumUnits(y.length) + tolerances.exp) * UNIT * Math.exp(y[i]!) * total,
        );
      }),
    }),
  }),
  law({
    kernel: "rowStats",
    cases: rowCases,
    rows,
    run: onRows("rowStats"),
    bounds: (c, { tolerances }) => ({
      // Argmax and the two largest are exact.
      y: perRow(c, (x) => {
        const { p, d } = softmaxOf(x);
        const largest = x.reduce((max, value) => Math.max(max, value), -Infinity);
        const spread = sum(p, (value, i) => value * (1 + Math.abs(d[i]!)) ** 2);
        const units = (32 + sumUnits(x.length) + tolerances.exp) * UNIT;
        return [0, 0, 0, units + 4 * UNIT * (Math.abs(largest) + Math.log(x.length)), units * spread];
      }),
    }),
  }),
  law({
    kernel: "rowArgmax",
    cases: rowCases,
    rows,
    run: onRows("rowArgmax"),
    // The argmax and the largest are exact; beside them is any finite number.
    bounds: (c) => ({ y: perRow(c, () => [0, 0, Infinity]) }),
  }),
  normLaw(true),
  normBackwardLaw(true),
  normLaw(false),
  normBackwardLaw(false),
];
