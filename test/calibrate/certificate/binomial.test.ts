/** The verifier's own binomial tail against the library's, and its time for numbers that are absurd but legal. */
import { binomialTail } from "early-exits/calibrate";
import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { binomialAtMost } from "../../../src/calibrate/recompute/verify-binomial.js";
import { close } from "../../../src/calibrate/recompute/verify-values.js";

describe("binomialAtMost", () => {
  test.prop([
    fc.integer({ min: 1, max: 10_000_000 }),
    fc.double({ min: 0.001, max: 0.999 }),
    fc.double({ min: -7, max: 7 }),
  ])(
    "is the library's tail, to what a verifier calls equal, where terms are added and where they are integrated",
    (n, p, deviations) => {
      const k = Math.round(n * p + deviations * Math.sqrt(n * p * (1 - p)));
      fc.pre(k >= 0 && k <= n && !Number.isNaN(deviations) && !Number.isNaN(p));
      expect(close(binomialAtMost(k, n, p), binomialTail(k, n, p))).toBe(true);
    },
  );

  it("does not take longer for more tokens than a certificate can hold", () => {
    const before = process.cpuUsage();
    let least = 1;
    // Term by term, each of these would take a million steps.
    for (let i = 0; i < 1000; i++) least = Math.min(least, binomialAtMost(2 ** 37 - i, 2 ** 38, 0.5));
    const { user, system } = process.cpuUsage(before);
    expect(least).toBeCloseTo(0.5, 2);
    expect((user + system) / 1000).toBeLessThan(1000);
  });
});
