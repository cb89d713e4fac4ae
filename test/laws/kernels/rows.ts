/**
 * Kernels over rows. With d = x - max x, e = exp d carries the error of exp and, because d is rounded, |d| units more;
 * sums of positive terms carry the weighted mean of these, and the roundings of the additions (sumUnits); 32 units
 * cover the few operations that remain. Norms divide by a standard deviation: errors are relative to the largest |x|
 * over it.
 */
import {
  type AnyLaw,
  each,
  type KernelTolerances,
  type Kind,
  kinds,
  law,
  type LawDevice,
  perRow,
  rowOf,
  rowsIn,
  seeds,
  softmaxOf,
  sum,
  sumUnits,
  UNIT,
  values,
} from "./law.js";
import { between, type Drawn, fc } from "../../support/property.js";

const widths = fc.oneof({ weight: 5, arbitrary: between(1, 40) }, { weight: 1, arbitrary: fc.constantFrom(255, 1001) });
const casesOf = (kinds: fc.Arbitrary<Kind>) =>
  fc.record({ rows: between(0, 5), width: widths, kind: kinds, seed: seeds }).map(({ rows, width, kind, seed }) => ({
    rows,
    width,
    seed,
    x: values(seed, "x", rows * width, kind),
    dy: values(seed, "dy", rows * width),
  }));
const rowCases = casesOf(kinds);
const rows = rowsIn("x", "dy");

const withSoftmax = rowCases.map((c) => ({ ...c, x: Float32Array.from(perRow(c.x, c.rows, (x) => softmaxOf(x).p)) }));
const withLogSoftmax = withSoftmax.map((c) => ({ ...c, x: c.x.map((p) => Math.log(p + 1e-30)) }));

const normCases = fc
  .tuple(casesOf(fc.constantFrom<Kind>("normal", "large")), fc.constantFrom(0, 0, 3), fc.boolean())
  .map(([c, offset, biased]) => ({
    ...c,
    epsilon: 1e-5,
    x: c.x.map((value) => value + offset),
    gain: values(c.seed, "gain", c.width),
    bias: biased ? values(c.seed, "bias", c.width) : undefined,
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
      y: perRow(c.x, c.rows, (x) => {
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
      const dx = perRow(c.x, c.rows, (x, r) => {
        const dy = rowOf(c.dy, r, c.rows);
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

/** A kernel of rows x, with the bound of one row. */
const rowLaw = (
  kernel: "softmax" | "logSoftmax" | "rowStats" | "rowArgmax",
  bound: (x: Float32Array, tolerances: KernelTolerances) => ArrayLike<number>,
) =>
  law({
    kernel,
    cases: rowCases,
    rows,
    run: (device, { x, rows, width }) => ({ y: device.kernels[kernel](device.upload(x), rows, width) }),
    bounds: (c, { tolerances }) => ({ y: perRow(c.x, c.rows, (x) => bound(x, tolerances)) }),
  });

/** A kernel of rows y = x and dy, with the bound of one row. */
const rowBackwardLaw = (
  kernel: "softmaxBackward" | "logSoftmaxBackward",
  cases: typeof rowCases,
  bound: (y: Float32Array, dy: Float32Array, tolerances: KernelTolerances) => ArrayLike<number>,
) =>
  law({
    kernel,
    cases,
    rows,
    run: (device, { x, dy, rows, width }) => ({
      dx: device.kernels[kernel](device.upload(x), device.upload(dy), rows, width),
    }),
    bounds: (c, { tolerances }) => ({
      dx: perRow(c.x, c.rows, (y, r) => bound(y, rowOf(c.dy, r, c.rows), tolerances)),
    }),
  });

export const rowLaws: readonly AnyLaw[] = [
  rowLaw("softmax", (x, { exp }) => {
    const { p, d } = softmaxOf(x);
    return each(x.length, (i) => (32 + sumUnits(x.length) + 2 * exp + 2 * Math.abs(d[i]!)) * UNIT * p[i]!);
  }),
  rowBackwardLaw("softmaxBackward", withSoftmax, (y, dy) => {
    const dots = sum(y, (value, i) => Math.abs(value * dy[i]!));
    return each(y.length, (i) => (8 + sumUnits(y.length)) * UNIT * y[i]! * (Math.abs(dy[i]!) + dots));
  }),
  rowLaw("logSoftmax", (x, { exp }) =>
    softmaxOf(x).d.map((d) => (32 + sumUnits(x.length) + exp + 4 * Math.abs(d)) * UNIT),
  ),
  rowBackwardLaw("logSoftmaxBackward", withLogSoftmax, (y, dy, { exp }) => {
    const total = sum(dy, Math.abs);
    return each(
      y.length,
      (i) => 4 * UNIT * Math.abs(dy[i]!) + (8 + sumUnits(y.length) + exp) * UNIT * Math.exp(y[i]!) * total,
    );
  }),
  // Argmax and the two largest are exact.
  rowLaw("rowStats", (x, { exp }) => {
    const { p, d } = softmaxOf(x);
    const largest = x.reduce((max, value) => Math.max(max, value), -Infinity);
    const spread = sum(p, (value, i) => value * (1 + Math.abs(d[i]!)) ** 2);
    const units = (32 + sumUnits(x.length) + exp) * UNIT;
    return [0, 0, 0, units + 4 * UNIT * (Math.abs(largest) + Math.log(x.length)), units * spread];
  }),
  // The argmax and the largest are exact; beside them is any finite number.
  rowLaw("rowArgmax", () => [0, 0, Infinity]),
  normLaw(true),
  normBackwardLaw(true),
  normLaw(false),
  normBackwardLaw(false),
];
