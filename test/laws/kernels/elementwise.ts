/**
 * Elementwise kernels. One operation: one unit. For the activation functions the bounds follow their formulas: σ and
 * exp are relative, Φ is absolute, and an error in the argument of a σ counts as many units as the argument is large.
 */
import type { BinaryOp, UnaryOp } from "../../../src/tensor/device.js";
import { broadcastStrides, sizeOf } from "../../../src/tensor/shape.js";
import { type AnyLaw, each, law, rowsIn, seeds, UNIT, unitsEach, values } from "./law.js";
import { between, fc } from "../../support/property.js";

/** A shape, and for each operand the axes it repeats. */
const binaryCases = fc
  .record({
    op: fc.constantFrom<BinaryOp>("add", "sub", "mul"),
    axes: fc.array(
      fc.record({
        size: between(1, 9),
        repeat: fc.constantFrom("none", "none", "none", "a", "b", "both"),
      }),
      { maxLength: 4 },
    ),
    seed: seeds,
  })
  .map(({ op, axes, seed }) => ({
    op,
    seed,
    shape: axes.map(({ size }) => size),
    aShape: axes.map(({ size, repeat }) => (repeat === "a" || repeat === "both" ? 1 : size)),
    bShape: axes.map(({ size, repeat }) => (repeat === "b" || repeat === "both" ? 1 : size)),
  }));

const unaryCases = fc
  .record({ length: between(0, 70), seed: seeds, spread: fc.constantFrom(0.01, 1, 4, 20, 1000) })
  .map(({ length, seed, spread }) => ({
    x: values(seed, "x", length).map((value) => value * spread),
    dy: values(seed, "dy", length),
  }));

const ROOT = Math.sqrt(2 / Math.PI);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** The argument of geluTanh's σ, and its derivative. */
const inner = (x: number) => 2 * ROOT * (x + 0.044715 * x ** 3);
const innerSlope = (x: number) => 2 * ROOT * (1 + 3 * 0.044715 * x * x);

/** Bounds of value and slope at x, given the relative error of exp and the absolute error of Φ. */
const errors: Readonly<Record<UnaryOp, Record<"value" | "slope", (x: number, exp: number, cdf: number) => number>>> = {
  relu: { value: () => 0, slope: () => 0 },
  silu: {
    value: (x, exp) => (exp + 4 * UNIT) * Math.abs(x) * sigmoid(x),
    slope: (x, exp) => (2 * exp + 8 * UNIT) * (1 + Math.abs(x)) * sigmoid(x),
  },
  gelu: {
    value: (x, _exp, cdf) => (cdf + 2 * UNIT) * Math.abs(x),
    slope: (x, exp, cdf) => cdf + 4 * UNIT + (exp + (x * x + 4) * UNIT) * Math.abs(x) * Math.exp((-x * x) / 2),
  },
  geluTanh: {
    // Where σ is tiny the reference's own 1 + tanh loses it below 2^-53.
    value: (x, exp) => Math.abs(x) * ((exp + (4 + 4 * Math.abs(inner(x))) * UNIT) * sigmoid(inner(x)) + 2 ** -52),
    slope: (x, exp) =>
      (1 + 2 * Math.abs(x) * innerSlope(x)) *
      ((exp + (8 + 4 * Math.abs(inner(x))) * UNIT) * sigmoid(inner(x)) + 2 ** -50),
  },
};

const ops = Object.keys(errors) as UnaryOp[];

const swigluCases = fc
  .record({ rows: between(0, 5), width: between(1, 23), seed: seeds })
  .map(({ rows, width, seed }) => ({
    rows,
    width,
    x: values(seed, "x", 2 * rows * width),
    dy: values(seed, "dy", rows * width),
  }));
const adamwCases = fc
  .record({
    length: between(1, 40),
    t: between(1, 1000),
    decay: fc.constantFrom(0, 0.1),
    scale: fc.constantFrom(1, 0.3),
    seed: seeds,
  })
  .map(({ length, t, decay, scale, seed }) => ({
    data: [
      ...["param", "gradient", "m"].map((name) => values(seed, name, length)),
      values(seed, "v", length).map((value) => value * value),
    ],
    step: {
      learningRate: 1e-2,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: decay,
      correction1: 1 - 0.9 ** t,
      correction2: 1 - 0.999 ** t,
      gradientScale: scale,
    },
  }));

export const elementwiseLaws: readonly AnyLaw[] = [
  law({
    kernel: "binary",
    cases: binaryCases,
    run(device, { op, shape, aShape, bShape, seed }) {
      const a = device.upload(values(seed, "a", sizeOf(aShape)));
      const b = device.upload(values(seed, "b", sizeOf(bShape)));
      return {
        y: device.kernels.binary(op, a, b, shape, broadcastStrides(aShape, shape), broadcastStrides(bShape, shape)),
      };
    },
    bounds: (_c, { expected: { y } }) => ({ y: unitsEach(y, 1) }),
  }),
  law({
    kernel: "scale",
    cases: unaryCases,
    run: (device, { x }) => ({ y: device.kernels.scale(device.upload(x), 0.3) }),
    // the factor is rounded too
    bounds: (_c, { expected: { y } }) => ({ y: unitsEach(y, 4) }),
  }),
  ...ops.flatMap((op) => [
    law({
      kernel: "unary",
      variant: op,
      cases: unaryCases,
      run: (device, { x }) => ({ y: device.kernels.unary(op, device.upload(x)) }),
      bounds: ({ x }, { tolerances: { exp, cdf } }) => ({
        y: each(x.length, (i) => errors[op].value(x[i]!, exp * UNIT, cdf)),
      }),
    }),
    law({
      kernel: "unaryBackward",
      variant: op,
      cases: unaryCases,
      run: (device, { x, dy }) => ({ dx: device.kernels.unaryBackward(op, device.upload(x), device.upload(dy)) }),
      bounds: ({ x, dy }, { expected: { dx }, tolerances: { exp, cdf } }) => ({
        dx: each(
          x.length,
          (i) => errors[op].slope(x[i]!, exp * UNIT, cdf) * Math.abs(dy[i]!) + UNIT * Math.abs(dx![i]!),
        ),
      }),
    }),
  ]),
  law({
    kernel: "swiglu",
    cases: swigluCases,
    rows: rowsIn("x", "dy"),
    run: (device, { rows, width, x }) => ({ y: device.kernels.swiglu(device.upload(x), rows, width) }),
    bounds: (_c, { expected: { y }, tolerances }) => ({
      y: unitsEach(y, tolerances.exp + 5),
    }),
  }),
  law({
    kernel: "swigluBackward",
    cases: swigluCases,
    rows: rowsIn("x", "dy"),
    run: (device, { rows, width, x, dy }) => ({
      dx: device.kernels.swigluBackward(device.upload(x), device.upload(dy), rows, width),
    }),
    bounds: ({ rows, width, x, dy }, { tolerances: { exp } }) => ({
      dx: each(2 * rows * width, (i) => {
        const r = Math.floor(i / (2 * width));
        const j = i % width;
        const gate = x[2 * r * width + j]!;
        const up = x[(2 * r + 1) * width + j]!;
        const d = dy[r * width + j]!;
        const { silu } = errors;
        const error =
          i % (2 * width) < width
            ? Math.abs(up) * silu.slope(gate, (exp + 2) * UNIT, 0)
            : silu.value(gate, (exp + 2) * UNIT, 0);
        return error * Math.abs(d);
      }),
    }),
  }),
  law({
    kernel: "adamw",
    cases: adamwCases,
    run(device, { data, step }) {
      const [param, gradient, m, v] = data.map((values) => device.upload(values.slice()));
      device.kernels.adamw(param!, gradient!, m!, v!, step);
      return { param: param!, m: m!, v: v! };
    },
    bounds({ data, step }, { expected: { param, v } }) {
      const [before, gradient, m] = data;
      const b1 = step.beta1;
      const lr = step.learningRate;
      const terms = (i: number) => b1 * Math.abs(m![i]!) + (1 - b1) * Math.abs(gradient![i]! * step.gradientScale);
      const root = (i: number) => Math.sqrt(v![i]! / step.correction2) + step.epsilon;
      return {
        m: each(m!.length, (i) => 8 * UNIT * terms(i)),
        v: each(m!.length, (i) => 16 * UNIT * v![i]!),
        param: each(
          m!.length,
          (i) =>
            4 * UNIT * (Math.abs(before![i]!) + Math.abs(param![i]!)) +
            lr * 32 * UNIT * (terms(i) / step.correction1 / root(i) + Math.abs(before![i]!)),
        ),
      };
    },
  }),
];
