/**
 * AdamW against an independent implementation, written from the paper's algorithm 2; clipping and the schedule. That a
 * restart continues bit for bit: run-steps.test.ts.
 */
import { describe, expect } from "vitest";
import { Adamw, type AdamwOptions, cosineSchedule } from "../../../src/tensor/optim/optim.js";
import { createReferenceDevice } from "../../../src/tensor/reference/reference-device.js";
import { sizeOf } from "../../../src/tensor/shape.js";
import { Tensor } from "../../../src/tensor/tensor.js";
import { expectCode } from "../../support/expect-code.js";
import { drawValues, valuesOf } from "../../support/gradients.js";
import { sumOf, times } from "../../support/lists.js";
import { between, fc, real, test } from "../../support/property.js";

const SHAPES = [[2, 3], [3], [1, 4], [1]] as const;
const learningRate = (step: number) => 0.1 / (step + 1);

/** Both sides compute in float64 and differ in the order of a dozen operations per step, on values below 8. */
const FLOAT64_TOLERANCE = 8 * 12 * 2 ** -53;

const device = createReferenceDevice({ float64: true });
const makeParameters = (on = device) =>
  SHAPES.map((shape, i) => Tensor.from(on, drawValues(i + 1, sizeOf(shape)), shape, { requiresGrad: true }));
const gradientOf = (step: number, index: number) => drawValues(1000 * step + index, sizeOf(SHAPES[index]!));
const setGradients = (parameters: readonly Tensor[], step: number) =>
  parameters.forEach((parameter, i) => {
    parameter.grad = Tensor.from(parameter.device, gradientOf(step, i), parameter.shape);
  });

/**
 * Loshchilov & Hutter 2019, algorithm 2, on plain arrays: θ ← θ - η(m̂/(√v̂ + ε) + λθ), m̂ and v̂ as weighted means
 * over the whole history.
 */
function adamwByHand(
  steps: number,
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, maxGradientNorm = 0 }: AdamwOptions,
) {
  const history: number[][][] = [];
  const parameters = SHAPES.map((shape, i) => Array.from(drawValues(i + 1, sizeOf(shape))));
  for (let step = 0; step < steps; step++) {
    const raw = SHAPES.map((_, i) => Array.from(gradientOf(step, i)));
    const norm = Math.hypot(...raw.flat());
    history.push(
      raw.map((gradient) =>
        gradient.map((g) => (maxGradientNorm > 0 && norm > maxGradientNorm ? (g * maxGradientNorm) / norm : g)),
      ),
    );
    parameters.forEach((parameter, p) => {
      const decay = SHAPES[p]!.length === 2 ? weightDecay : 0;
      parameter.forEach((theta, i) => {
        const weighted = (beta: number, power: number) => {
          const weights = history.map((_, age) => beta ** (step - age));
          const total = sumOf(weights);
          return sumOf(history, (gradients, age) => weights[age]! * gradients[p]![i]! ** power) / total;
        };
        parameter[i] =
          theta - learningRate(step) * (weighted(beta1, 1) / (Math.sqrt(weighted(beta2, 2)) + epsilon) + decay * theta);
      });
    });
  }
  return parameters;
}

describe("Adamw", () => {
  const options: [string, AdamwOptions][] = [
    ["its defaults", {}],
    ["other moments", { beta1: 0.5, beta2: 0.8, epsilon: 1e-3, weightDecay: 0.3 }],
    ["no first moment", { beta1: 0 }],
    ["clipping that bites", { maxGradientNorm: 0.5 }],
    ["clipping that never bites", { maxGradientNorm: 100 }],
  ];
  test.for(options)("follows the paper with %s, step by step", async ([, options]) => {
    const parameters = makeParameters();
    const optimizer = new Adamw(parameters, options);
    for (let step = 0; step < 6; step++) {
      setGradients(parameters, step);
      const norm = await optimizer.step(learningRate(step));
      if (options.maxGradientNorm)
      // read back in float32
      {
        expect(norm).toBeCloseTo(Math.hypot(...SHAPES.flatMap((_, i) => Array.from(gradientOf(step, i)))), 6);
      } else expect(norm).toBeNaN();
      const expected = adamwByHand(step + 1, options);
      // A clipped gradient carries the float32 rounding of the norm; Adam divides it out except for epsilon, so a
      // relative 2⁻²⁴ of the update bounds it.
      const tolerance = FLOAT64_TOLERANCE * (step + 1) + (options.maxGradientNorm === 0.5 ? 2 ** -24 : 0);
      parameters.forEach((parameter, p) =>
        valuesOf(parameter).forEach((value, i) =>
          expect(Math.abs(value - expected[p]![i]!)).toBeLessThanOrEqual(tolerance),
        ),
      );
    }
    expect(optimizer.steps).toBe(6);
  });

  test("leaves a parameter without a gradient alone, and consumes the gradients of the others", async () => {
    const [a, b] = makeParameters() as [Tensor, Tensor];
    const before = Array.from(valuesOf(b));
    a.grad = Tensor.from(device, gradientOf(0, 0), a.shape);
    const consumed = a.grad;
    await new Adamw([a, b], { maxGradientNorm: 1 }).step(0.1);
    expect(Array.from(valuesOf(b))).toEqual(before);
    expect(a.grad).toBeUndefined();
    expect(() => consumed.storage).toThrow(/freed/);
  });

  test("refuses a state of other parameters, and names both sizes", async () => {
    const state = await new Adamw(makeParameters().slice(0, 2)).state();
    const other = new Adamw(makeParameters().slice(1, 3));
    await expectCode(() => other.restore(state), "shape-state", "sizes [3, 4], the moments [6, 3]");
    await expectCode(() => new Adamw(makeParameters()).restore(state), "shape-state");
    expect(other.steps).toBe(0);
  });
});

describe("cosineSchedule", () => {
  test("climbs linearly to the peak, then falls along half a cosine to its final share", () => {
    const at = cosineSchedule({ learningRate: 2, steps: 12, warmup: 4, final: 0.1 });
    expect([0, 1, 2, 3].map(at)).toEqual([0.5, 1, 1.5, 2]);
    expect(at(4)).toBe(2);
    expect(at(6)).toBeCloseTo(2 * (0.1 + 0.9 * 0.5 * (1 + Math.SQRT1_2)), 12); // a quarter of the way: cos(π/4)
    expect(at(8)).toBeCloseTo(2 * 0.55, 12); // halfway
    expect([12, 13, 1000].map(at)).toEqual([expect.closeTo(0.2, 12), expect.closeTo(0.2, 12), expect.closeTo(0.2, 12)]);
  });

  test("starts at the peak and ends at 0 without warm-up", () => {
    const at = cosineSchedule({ learningRate: 1e-4, steps: 3 });
    expect([0, 1, 2, 3].map(at)).toEqual([1e-4, expect.closeTo(0.75e-4, 16), expect.closeTo(0.25e-4, 16), 0]);
  });

  test.prop([between(1, 50), fc.nat(60), real(0, 1)])(
    "never rises after the warm-up, and stays in [0, peak]",
    (steps, warmup, final) => {
      const at = cosineSchedule({ learningRate: 1, steps, warmup, final });
      const rates = times(steps + warmup + 2, (step) => at(step));
      expect(rates.every((rate) => rate >= 0 && rate <= 1)).toBe(true);
      expect(rates.slice(warmup).every((rate, i, all) => i === 0 || rate <= all[i - 1]!)).toBe(true);
    },
  );

  test("refuses steps, warm-up and rates outside their range", async () => {
    for (const wrong of [{ steps: 0 }, { steps: 1.5 }, { warmup: -1 }, { learningRate: -1 }, { learningRate: NaN }]) {
      await expectCode(() => cosineSchedule({ learningRate: 1, steps: 1, ...wrong }), "option-range");
    }
  });
});

test("refuses options outside their range", () => {
  for (const options of [
    { beta1: 1 },
    { beta2: -0.1 },
    { epsilon: 0 },
    { weightDecay: -1 },
    { maxGradientNorm: NaN },
  ]) {
    expect(() => new Adamw([], options)).toThrow(/Adamw: (beta1|beta2|epsilon|weightDecay|maxGradientNorm): expected/);
  }
});
