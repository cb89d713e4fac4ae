/** Bounds on a mean: numbers of other libraries, laws, and rejected arguments. */
import { between, fc, real, test } from "../support/property.js";
import quantile from "@stdlib/stats-base-dists-beta-quantile";
import { bettingBound, clopperPearson, errorFreeUnits, hoeffdingBentkus } from "early-exits/risk";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";
import { sumOf, times } from "../support/lists.js";

/** k losses of 1 among n. */
const ones = (k: number, n: number) => times(n, (i) => Number(i < k));
const expectNear = (found: number, golden: number, error: number) =>
  expect(Math.abs(found / golden - 1)).toBeLessThan(error);

describe("golden numbers", () => {
  it.for([
    [5, 100, 0.1, 0.15651020427695356],
    [80, 1000, 0.1, 0.047873223411874846],
    [0, 30, 0.1, 0.04239115827521614],
    [4.5, 60, 0.2, 0.0261509461412269],
    [12.25, 200, 0.15, 0.0004647490083720733],
  ] as const)("Hoeffding-Bentkus of a sum of %f in %i at %f is MAPIE 1.1.0's", ([sum, n, level, golden]) => {
    const losses = ones(Math.floor(sum), n);
    losses[n - 1] = sum % 1;
    expectNear(hoeffdingBentkus(losses, level, 0.05).pValue, golden, 1e-12);
  });

  it.for([
    [5, 0.05, 0.1275207],
    [5, 0.1, 0.1232633],
    [0, 0.1, 0.0237976],
  ] as const)("the betting bound of %i losses in 100 at %f is numpy's", ([k, delta, golden]) => {
    const losses = times(100, (i) => Number(k > 0 && i % 20 === 19));
    expectNear(bettingBound(losses, 0.1, delta).upper, golden, 3e-6);
  });

  it("error-free counts are scipy's", () => {
    const counts = [0.2, 0.05, 0.01].map((level) => [0.1, 0.05, 0.01].map((delta) => errorFreeUnits(level, delta)));
    expect(counts.join()).toBe("11,14,21,45,59,90,230,299,459");
  });
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
  "every p-value lies in [0, 1], falls as the level rises, is <= δ exactly above the limit, and the limit is no mean",
  ({ seed, n, mean, level, delta }) => {
    const rng = createRng(seed);
    const shares = times(n, () => Math.min(1, 2 * mean * rng.uniform()));
    const binary = shares.map((share) => Number(rng.uniform() < share));
    for (const [bound, losses] of [
      [bettingBound, shares],
      [hoeffdingBentkus, shares],
      [clopperPearson, binary],
    ] as const) {
      const { pValue, upper, mean: found } = bound(losses, level, delta);
      expect(found).toBeCloseTo(sumOf(losses) / n, 12);
      expect(pValue).toBeGreaterThanOrEqual(0);
      expect(pValue).toBeLessThanOrEqual(1);
      expect(bound(losses, Math.min(0.999, level + 0.01), delta).pValue).toBeLessThanOrEqual(pValue * (1 + 1e-9));
      if (upper < 1 && Math.abs(upper - level) > 1e-9) expect(upper < level).toBe(pValue <= delta);
      if (bound === hoeffdingBentkus && found >= level) expect(pValue).toBe(1);
      if (bound !== bettingBound) expect(upper).toBeGreaterThan(found - 1e-15);
    }
  },
);

test.prop([between(1, 5000), real(0, 1), fc.constantFrom(0.01, 0.025, 0.05, 0.1)])(
  "exact limits are beta quantiles, by an independent implementation (@stdlib)",
  (n, share, delta) => {
    const k = Math.min(n - 1, Math.floor(share * n));
    expect(clopperPearson(ones(k, n), 0.5, delta).upper).toBeCloseTo(quantile(1 - delta, k + 1, n - k), 8);
    expect(clopperPearson(ones(n, n), 0.5, delta).upper).toBe(1);
  },
);

it("bounds reject losses that are none, or outside [0, 1], and levels outside (0, 1)", async () => {
  for (const bound of [bettingBound, hoeffdingBentkus, clopperPearson]) {
    for (const losses of [[], undefined, 3, null]) {
      await expectCode(() => bound(losses as never, 0.1, 0.1), "losses-few", "array of 1 or more");
    }
    for (const bad of [NaN, 1.1, -0.1, Infinity, "1", true, undefined]) {
      await expectCode(() => bound([0, bad as never], 0.1, 0.1), "loss-range", `loss 1 is`);
    }
    for (const level of [0, 1, -1, 2, NaN]) {
      await expectCode(() => bound([0], level, 0.1), "option-range", "level");
      await expectCode(() => bound([0], 0.1, level), "option-range", "delta");
      await expectCode(() => errorFreeUnits(level, 0.1), "option-range", "level");
    }
  }
  await expectCode(() => clopperPearson([0, 0.5], 0.1, 0.1), "loss-binary", "loss 1 is 0.5");
});
