/** Clopper-Pearson against an independent implementation of the beta quantile (@stdlib). */
import { fc, test } from "@fast-check/vitest";
import quantile from "@stdlib/stats-base-dists-beta-quantile";
import { expect } from "vitest";
import { clopperPearsonLower, clopperPearsonUpper } from "../../../src/calibrate/bounds/index.js";

test.prop([
  fc.integer({ min: 1, max: 5000 }),
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.constantFrom(0.01, 0.05, 0.1),
])("Clopper-Pearson bounds are beta quantiles", (n, share, delta) => {
  const k = Math.min(n - 1, Math.floor(share * n));
  expect(clopperPearsonUpper(k, n, delta)).toBeCloseTo(quantile(1 - delta, k + 1, n - k), 8);
  if (k > 0) expect(clopperPearsonLower(k, n, delta)).toBeCloseTo(quantile(delta, k, n - k + 1), 8);
});
