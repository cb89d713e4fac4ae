/** The verifier's own binomial tail against the library's, and its time for the most trials that it is asked for. */
import { between, fc, test } from "../../support/property.js";
import { expect, it } from "vitest";
import { binomialAtMost } from "../../../src/calibrate/recompute/verify-test.js";
import { binomialTail } from "../../../src/risk/binomial.js";
import { close } from "../../../src/calibrate/recompute/verify-values.js";

test.prop([between(1, 2_000_000), fc.double({ min: 0.001, max: 0.999 }), fc.double({ min: -7, max: 7 })])(
  "is the library's tail, to what a verifier calls equal",
  (n, p, deviations) => {
    const k = Math.round(n * p + deviations * Math.sqrt(n * p * (1 - p)));
    fc.pre(k >= 0 && k <= n && !Number.isNaN(deviations) && !Number.isNaN(p));
    expect(close(binomialAtMost(k, n, p), binomialTail(k, n, p))).toBe(true);
  },
);

it("adds few of the terms", () => {
  const before = process.cpuUsage();
  let least = 1;
  // All of them would take 250 million steps.
  for (let i = 0; i < 1000; i++) least = Math.min(least, binomialAtMost(250_000 - i, 500_000, 0.5));
  const { user, system } = process.cpuUsage(before);
  expect(least).toBeLessThan(0.5);
  expect((user + system) / 1000).toBeLessThan(1000);
});
