/** Claim (A) on given losses: which candidates are accepted, which is chosen, and what bad input throws. */
import { fc, test } from "@fast-check/vitest";
import { OptionError } from "early-exits";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { binomialTail, errorFreeUnits } from "../../../src/calibrate/bounds/index.js";
import { certifyLosses, type CertifyOptions } from "../../../src/calibrate/procedures/certify-losses.js";
import type { LossMatrix } from "../../../src/calibrate/procedures/tally.js";
import { lossMatrix } from "./small-tables.js";

const options: CertifyOptions = { epsilon: 0.1, delta: 0.05, costs: [3, 2, 1] };

describe("certifyLosses", () => {
  const perfect = lossMatrix(Array.from({ length: 80 }, () => [0, 0, 1]));

  it("chooses the cheapest accepted candidate", () => {
    const result = certifyLosses(perfect, { ...options, bound: "clopperPearson" });
    expect(result).toMatchObject({
      accepted: [0, 1],
      chosen: 1,
      furtherUnits: 0,
      units: 80,
      procedure: "fixedSequence",
    });
    expect(certifyLosses(perfect, { ...options, costs: [1, 1, 0] }).chosen).toBe(0);
    expect(result.pValues[0]).toBe(binomialTail(0, 80, 0.1));
  });

  it("tests in the given order and stops at the first failure", () => {
    expect(certifyLosses(perfect, { ...options, order: [1, 2, 0] })).toMatchObject({ accepted: [1], chosen: 1 });
    expect(certifyLosses(perfect, { ...options, order: [2, 0, 1] })).toMatchObject({ accepted: [], chosen: "never" });
    expect(certifyLosses(perfect, { ...options, order: [2, 0, 1], procedure: "bonferroni" })).toMatchObject({
      accepted: [0, 1],
      chosen: 1,
    });
  });

  it("estimates how many more units are needed: without errors, the closed formula", () => {
    const few = lossMatrix(Array.from({ length: 10 }, () => [0]));
    expect(certifyLosses(few, { epsilon: 0.1, delta: 0.05, costs: [1], bound: "clopperPearson" })).toMatchObject({
      chosen: "never",
      furtherUnits: errorFreeUnits(0.1, 0.05) - 10,
    });
    for (const bound of ["wsr", "hoeffding", "hoeffdingBentkus"] as const) {
      expect(certifyLosses(few, { epsilon: 0.1, delta: 0.05, costs: [1], bound }).furtherUnits).toBeGreaterThan(10);
    }
  });

  it("estimates null if the observed risk is not below ε, because no number of units would do", () => {
    const wrong = lossMatrix(Array.from({ length: 200 }, () => [1, 1]));
    for (const bound of ["wsr", "hoeffding", "hoeffdingBentkus", "clopperPearson"] as const) {
      expect(certifyLosses(wrong, { epsilon: 0.1, delta: 0.05, costs: [2, 1], bound })).toMatchObject({
        accepted: [],
        chosen: "never",
        furtherUnits: null,
      });
    }
  });

  it("certifies nothing from one document", () => {
    for (const bound of ["wsr", "hoeffding", "hoeffdingBentkus", "clopperPearson"] as const) {
      expect(certifyLosses(lossMatrix([[0]]), { epsilon: 0.1, delta: 0.05, costs: [1], bound }).chosen).toBe("never");
    }
  });

  it("throws a typed error for bad input", () => {
    for (const level of [0, 1, -0.1, 1.5, NaN]) {
      expect(() => certifyLosses(perfect, { ...options, epsilon: level })).toThrow(OptionError);
      expect(() => certifyLosses(perfect, { ...options, delta: level })).toThrow(OptionError);
    }
    expect(() => certifyLosses(lossMatrix([]), options)).toThrow(OptionError);
    expect(() => certifyLosses(lossMatrix([[NaN, 0, 0]]), options)).toThrow(/unit 0 under candidate 0 is NaN/);
    expect(() => certifyLosses(lossMatrix([[1.5, 0, 0]]), options)).toThrow(OptionError);
    expect(() => certifyLosses({ ...perfect, units: 79 }, options)).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, costs: [1] })).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, costs: [1, NaN, 1] })).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, order: [0, 0] })).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, order: [3] })).toThrow(OptionError);
    expect(() => certifyLosses(lossMatrix([[0.5, 0, 0]]), { ...options, bound: "clopperPearson" })).toThrow(
      OptionError,
    );
  });

  const losses = fc.record({
    seed: fc.nat(),
    n: fc.integer({ min: 2, max: 400 }),
    scale: fc.double({ min: 0.01, max: 0.6, noNaN: true }),
  });
  test.prop([
    losses,
    fc.constantFrom("wsr", "hoeffding", "hoeffdingBentkus"),
    fc.constantFrom("fixedSequence", "bonferroni"),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.3, max: 1, noNaN: true }),
  ])(
    "shrinks the accepted set as the agreement rises",
    ({ seed, n, scale }, bound, procedure, epsilon, delta, factor) => {
      const data = randomLosses(seed, n, scale);
      const at = (level: number): readonly number[] =>
        certifyLosses(data, { epsilon: level, delta, bound, procedure, costs: [5, 4, 3, 2, 1] }).accepted;
      const lax = new Set(at(epsilon));
      expect(at(epsilon * factor).every((candidate) => lax.has(candidate))).toBe(true);
    },
  );

  test.prop([
    losses,
    fc.constantFrom("wsr", "hoeffding", "hoeffdingBentkus"),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.1, max: 1, noNaN: true }),
  ])("shrinks the accepted set as δ falls", ({ seed, n, scale }, bound, epsilon, delta, factor) => {
    const data = randomLosses(seed, n, scale);
    const at = (level: number): readonly number[] =>
      certifyLosses(data, { epsilon, delta: level, bound, costs: [5, 4, 3, 2, 1] }).accepted;
    const lax = new Set(at(delta));
    expect(at(delta * factor).every((candidate) => lax.has(candidate))).toBe(true);
  });
});

function randomLosses(seed: number, n: number, scale: number): LossMatrix {
  const rng = createRng(seed);
  return lossMatrix(
    Array.from({ length: n }, () =>
      Array.from({ length: 5 }, (_, c) => Math.min(1, Math.floor(8 * rng.uniform() * scale * (c + 1)) / 8)),
    ),
  );
}
