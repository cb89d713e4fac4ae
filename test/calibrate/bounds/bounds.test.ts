/** Bounds on a mean: golden numbers computed with scipy, laws, and rejected arguments. */
import { fc, test } from "../../support/property.js";
import { OptionError } from "early-exits";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { clopperPearsonUpper } from "../../../src/calibrate/bounds/binomial.js";
import { errorFreeUnits } from "../../../src/calibrate/procedures/certify-losses.js";
import { hoeffdingBentkusPValue, hoeffdingUpper } from "../../../src/calibrate/bounds/hoeffding.js";
import { wsrPValue, wsrUpper } from "../../../src/calibrate/bounds/wsr.js";
import { between, real } from "../../support/draw.js";
import { sumOf, times } from "../../support/lists.js";

describe("bounds on a mean", () => {
  it("Hoeffding-Bentkus p-values are golden", () => {
    for (const [k, n, golden] of [
      [5, 100, 0.15651],
      [3, 100, 0.0213018],
      [80, 1000, 0.0478732],
      [40, 500, 0.204114],
    ] as const) {
      expect(Math.abs(hoeffdingBentkusPValue(k, n, 0.1) / golden - 1)).toBeLessThan(5e-6);
    }
  });

  it("WSR limits are golden", () => {
    const losses = times(100, (i) => (i % 20 === 19 ? 1 : 0));
    expect(Math.abs(wsrUpper(losses, 0.1) - 0.1232633)).toBeLessThan(6e-8);
    expect(Math.abs(wsrUpper(losses, 0.05) - 0.1275207)).toBeLessThan(6e-8);
    expect(
      Math.abs(
        wsrUpper(
          losses.map(() => 0),
          0.1,
        ) - 0.0237976,
      ),
    ).toBeLessThan(6e-8);
  });

  it("error-free counts are golden", () => {
    const golden = {
      0.2: [11, 14, 21],
      0.1: [22, 29, 44],
      0.01: [230, 299, 459],
    };
    for (const [level, counts] of Object.entries(golden)) {
      expect([0.1, 0.05, 0.01].map((delta) => errorFreeUnits(Number(level), delta))).toEqual(counts);
    }
  });

  it("Hoeffding's limit is where its tail is δ", () => {
    const limit = hoeffdingUpper(30, 1000, 0.05);
    expect(Math.exp(-2 * 1000 * (limit - 0.03) ** 2)).toBeCloseTo(0.05, 12);
  });

  const units = fc.record({
    seed: fc.nat(),
    n: between(1, 300),
    mean: real(0, 1),
    level: real(0.01, 0.99),
    delta: fc.constantFrom(0.01, 0.05, 0.1, 0.4),
  });
  // A mean so small that a quotient of it underflows.
  const tiny = { seed: 26, n: 4, mean: 5e-324, level: 0.49, delta: 0.01 } as const;
  test.prop([units], { examples: [[tiny]] })(
    "p-values lie in [0, 1], decrease as the level rises, and are 1 if the sample mean is not below the level",
    ({ seed, n, mean, level, delta }) => {
      const rng = createRng(seed);
      const losses = times(n, () => Math.min(1, 2 * mean * rng.uniform()));
      const sum = sumOf(losses);
      const pAt = [(a: number) => hoeffdingBentkusPValue(sum, n, a), (a: number) => wsrPValue(losses, a, delta)];
      for (const p of pAt) {
        expect(p(level)).toBeGreaterThanOrEqual(0);
        expect(p(level)).toBeLessThanOrEqual(1);
        expect(p(Math.min(0.999, level + 0.01))).toBeLessThanOrEqual(p(level) * (1 + 1e-9));
      }
      if (sum / n >= level) for (const p of pAt.slice(0, 1)) expect(p(level)).toBe(1);
      const upper = wsrUpper(losses, delta);
      if (Math.abs(upper - level) > 1e-9) expect(upper < level).toBe(wsrPValue(losses, level, delta) < delta);
    },
  );

  it("Hoeffding-Bentkus takes a sum, because n times a rounded mean may exceed an integer", () => {
    expect(100 * 0.07).toBeGreaterThan(7); // 7.000000000000001
    expect(hoeffdingBentkusPValue(7, 100, 0.2)).toBeLessThan(hoeffdingBentkusPValue(100 * 0.07, 100, 0.2) + 1e-15);
  });

  it("rejects losses outside [0, 1], empty losses, and levels outside (0, 1)", () => {
    for (const losses of [[], [0.5, NaN], [1.1], [-0.1], [Infinity]]) {
      expect(() => wsrPValue(losses, 0.1, 0.1)).toThrow(OptionError);
      expect(() => wsrUpper(losses, 0.1)).toThrow(OptionError);
    }
    for (const level of [0, 1, -1, 2, NaN]) {
      expect(() => wsrPValue([0], level, 0.1)).toThrow(OptionError);
      expect(() => wsrPValue([0], 0.1, level)).toThrow(OptionError);
      expect(() => hoeffdingBentkusPValue(0, 10, level)).toThrow(OptionError);
      expect(() => clopperPearsonUpper(0, 10, level)).toThrow(OptionError);
      expect(() => errorFreeUnits(level, 0.1)).toThrow(OptionError);
    }
    expect(() => hoeffdingBentkusPValue(11, 10, 0.1)).toThrow(OptionError);
    expect(() => hoeffdingBentkusPValue(NaN, 10, 0.1)).toThrow(OptionError);
    expect(() => clopperPearsonUpper(0, 0, 0.1)).toThrow(OptionError);
  });
});
