/** Permutation tests: their level is exact, their power is what they say, and what they are blind to. */
import { clusterTest, exchangeabilityTest } from "early-exits/risk";
import { createRng, type Rng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";
import { permitted } from "../support/finding.js";
import { times } from "../support/lists.js";

const N = 200;
const scattered = times(N, (i) => i % 20);
const clamp = (value: number) => Math.min(1, Math.max(0, value));

/** Losses of which clusters explain this share of the variance. */
function clustered(rng: Rng, clusters: readonly number[], share: number) {
  const levels = clusters.map(() => rng.normal());
  return clusters.map((one) =>
    clamp(0.5 + 0.12 * (Math.sqrt(share) * levels[one]! + Math.sqrt(1 - share) * rng.normal())),
  );
}

const trending = (rng: Rng): number[] =>
  times(N, (i) => clamp(0.5 + 0.12 * (Math.sqrt(0.1 * 12) * (i / N - 0.5) + Math.sqrt(0.9) * rng.normal())));

type Test = (losses: number[], options: { readonly seed: number; readonly permutations: number }) => { pValue: number };

/** p-values of draws, from few permutations: the level is exact with any number. */
function pValues(runs: number, permutations: number, test: Test, draw: (rng: Rng) => number[]): number[] {
  const root = createRng(5);
  return times(runs, (seed) => test(draw(root.fork(`run ${seed}`)), { seed, permutations }).pValue);
}

const shareWithin = (delta: number, found: readonly number[]) => found.filter((p) => p <= delta).length / found.length;

const byCluster =
  (clusters: readonly number[]): Test =>
  (losses, options) =>
    clusterTest(losses, clusters, options);

describe("independent losses", () => {
  const rare = (rng: Rng): number[] => times(N, () => Number(rng.uniform() < 0.02));
  const skewed = (rng: Rng): number[] => times(N, () => rng.uniform() ** 6);
  // A giant cluster and many single units: the analysis of variance alone exceeds 1.5 in a third of the draws or more.
  const giant = times(N, (i) => Math.max(0, i - 120));
  it.for([
    ["in order, rare ones of 1", rare, exchangeabilityTest],
    ["in order, skewed", skewed, exchangeabilityTest],
    ["by twenty clusters, rare ones of 1", rare, byCluster(scattered)],
    ["by a giant cluster and single units, skewed", skewed, byCluster(giant)],
  ] as const)("are rejected in δ of the draws, no more: %s", ([, draw, test]) => {
    const found = pValues(1000, 19, test, draw);
    for (const delta of [0.05, 0.2]) {
      const most = permitted(delta, found.length);
      expect(shareWithin(delta, found)).toBeLessThanOrEqual(most);
      if (draw === skewed) expect(shareWithin(delta, found)).toBeGreaterThan(2 * delta - most);
    }
  });
});

describe("power, as the docstrings state it", () => {
  const seen = (test: Test, draw: (rng: Rng) => number[]) => shareWithin(0.01, pValues(200, 99, test, draw));

  it("finds a trend, runs of ten alike, and clusters in nine draws of ten", () => {
    expect(seen(exchangeabilityTest, trending)).toBeGreaterThan(0.85);
    expect(
      seen(exchangeabilityTest, (rng) =>
        clustered(
          rng,
          scattered.toSorted((a, b) => a - b),
          0.4,
        ),
      ),
    ).toBeGreaterThan(0.85);
    expect(seen(byCluster(scattered), (rng) => clustered(rng, scattered, 0.2))).toBeGreaterThan(0.85);
  });

  it("the order is blind to scattered clusters", () =>
    expect(seen(exchangeabilityTest, (rng) => clustered(rng, scattered, 0.5))).toBeLessThan(0.1));
});

it("design effects are 1 without dependence, the size of equal clusters, larger for runs in order", () => {
  const noise = times(400, (i) => ((i * 7919) % 101) / 101);
  const names = noise.map((_, i) => `cluster ${i % 40}`);
  expect(clusterTest(noise, names).designEffect).toBeLessThan(1.6);
  const equal = times(400, (i) => noise[i % 40]!);
  expect(clusterTest(equal, names)).toEqual({ pValue: 0.001, designEffect: expect.closeTo(10, 6) as number });
  expect(exchangeabilityTest(noise).designEffect).toBeLessThan(1.5);
  const runs = times(400, (i) => noise[Math.floor(i / 10)]!);
  expect(exchangeabilityTest(runs).designEffect).toBeGreaterThan(5);
  expect(exchangeabilityTest(times(40, (i) => i / 40))).toMatchObject({
    pValue: 0.001,
    trend: expect.closeTo(1, 12) as number,
  });
});

it("what tells nothing has a p-value of 1, and what is no test is refused", async () => {
  expect(exchangeabilityTest(times(30, () => 0.1))).toEqual({ pValue: 1, trend: 0, lag1: 0, designEffect: null });
  expect(exchangeabilityTest([0.3]).pValue).toBe(1);
  for (const [loss, clusters] of [
    [Number, [1, 1, 1]],
    [Number, [1, 2, 3]],
    [() => 0.1, [1, 2, 1]],
  ] as const) {
    expect(
      clusterTest(
        times(3, (i) => loss(i / 3)),
        clusters,
      ).pValue,
    ).toBe(1);
  }
  await expectCode(() => clusterTest([0, 1], ["a", undefined as never]), "clusters-named", "1 names");
  await expectCode(() => exchangeabilityTest([]), "losses-few");
  await expectCode(() => exchangeabilityTest([0, 1], { permutations: 0 }), "option-range", "permutations");
});
