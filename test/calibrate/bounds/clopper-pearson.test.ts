/** Clopper-Pearson upper limits: golden numbers, their definition, and another implementation of the beta quantile. */
import { fc, test } from "../../support/property.js";
import quantile from "@stdlib/stats-base-dists-beta-quantile";
import { describe, expect, it } from "vitest";
import { binomialTail, clopperPearsonUpper } from "../../../src/calibrate/bounds/binomial.js";
import { between, real } from "../../support/draw.js";

describe("Clopper-Pearson", () => {
  it.for([
    [0, 100, 0.05, 0.029513],
    [3, 12, 0.025, 0.571858],
  ])("the upper limit of %i in %i at %f is golden", ([k, n, delta, golden]) =>
    expect(Math.abs(clopperPearsonUpper(k!, n!, delta!) - golden!)).toBeLessThan(6e-7),
  );

  it("is exact if no trial or every trial is an error", () => {
    expect(clopperPearsonUpper(7, 7, 0.05)).toBe(1);
    expect(Math.abs(clopperPearsonUpper(0, 7, 0.05) - (1 - 0.05 ** (1 / 7)))).toBeLessThan(1e-15);
  });

  test.prop([between(1, 100_000), real(0, 1), real(1e-6, 0.5), real(1e-4, 0.9999)])(
    "upper <= α exactly if the tail at α is <= δ; k/n < upper",
    (n, share, delta, level) => {
      const k = Math.floor(share * n);
      const upper = clopperPearsonUpper(k, n, delta);
      if (k < n && Math.abs(upper - level) > 1e-9) expect(upper <= level).toBe(binomialTail(k, n, level) <= delta);
      expect(upper).toBeGreaterThan(k / n - 1e-15);
    },
  );

  test.prop([between(1, 5000), real(0, 1), fc.constantFrom(0.01, 0.05, 0.1)])(
    "limits are beta quantiles, by an independent implementation (@stdlib)",
    (n, share, delta) => {
      const k = Math.min(n - 1, Math.floor(share * n));
      expect(clopperPearsonUpper(k, n, delta)).toBeCloseTo(quantile(1 - delta, k + 1, n - k), 8);
    },
  );
});
