/**
 * The random generator: the published sequence, determinism, saved states, independent forks, and the distributions.
 * Every seed is fixed, so a statistical test either always passes or always fails; its bounds are quantiles that a good
 * generator misses once in a thousand seeds.
 */
import { describe, expect, test } from "vitest";
import { createRng, type Rng } from "../../src/tensor/rng.js";
import { sumOf, times } from "../support/lists.js";

const uniforms = (rng: Rng, count: number) => times(count, () => rng.uniform());

/** Σ (observed - expected)²/expected over equally likely bins. */
function chiSquare(bins: number, draws: readonly number[]) {
  const counts = new Array<number>(bins).fill(0);
  for (const bin of draws) counts[bin]!++;
  const expected = draws.length / bins;
  return sumOf(counts, (count) => (count - expected) ** 2 / expected);
}

/** The 0.0005 and 0.9995 quantiles of chi-square (scipy.stats.chi2.ppf): outside lies one seed in a thousand. */
const CHI_SQUARE = { 9: [0.9717, 29.6658], 23: [6.9237, 52.0001], 63: [32.4553, 106.5832] } as const;

function expectUniform(bins: 10 | 24 | 64, draws: readonly number[]) {
  const [low, high] = CHI_SQUARE[(bins - 1) as keyof typeof CHI_SQUARE];
  const statistic = chiSquare(bins, draws);
  expect(statistic).toBeGreaterThan(low);
  expect(statistic).toBeLessThan(high);
}

describe("the sequence", () => {
  test("is xoshiro128**, as an independent implementation in Python prints it from the state 1, 2, 3, 4", () => {
    const rng = createRng([1, 2, 3, 4]);
    expect(times(10, () => rng.uniform() * 2 ** 32)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  test("is the same for the same seed and another for another seed", () => {
    const seeds = [0, 1, 2, -1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 52];
    const sequences = seeds.map((seed) => uniforms(createRng(seed), 4).join());
    expect(seeds.map((seed) => uniforms(createRng(seed), 4).join())).toEqual(sequences);
    expect(new Set(sequences).size).toBe(seeds.length);
    expect(() => createRng("7" as never)).toThrow("seed");
  });

  test("goes on from a saved state, whatever was drawn before", () => {
    const rng = createRng(5);
    rng.uniform();
    rng.normal();
    rng.integer(10);
    rng.shuffle([1, 2, 3]);
    const state = rng.state();
    const saved = JSON.parse(JSON.stringify(state)) as typeof state;
    expect(saved.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32)).toBe(true);
    const draw = (from: Rng): unknown => [
      uniforms(from, 3),
      from.normal(),
      from.integer(1000),
      from.shuffle([1, 2, 3, 4]),
      from.state(),
    ];
    expect(draw(createRng(saved))).toEqual(draw(rng));
  });
});

describe("fork", () => {
  test("is named: the same name gives the same generator, another name another", () => {
    const rng = createRng(7);
    expect(uniforms(rng.fork("heads"), 4)).toEqual(uniforms(rng.fork("heads"), 4));
    expect(uniforms(rng.fork("heads"), 4)).not.toEqual(uniforms(rng.fork("data"), 4));
    expect(uniforms(rng.fork(""), 4)).not.toEqual(uniforms(rng, 4));
  });

  test("does not advance its parent, and depends on the parent's state", () => {
    const rng = createRng(7);
    const before = rng.state();
    const early = uniforms(rng.fork("a"), 4);
    expect(rng.state()).toEqual(before);
    rng.uniform();
    expect(uniforms(rng.fork("a"), 4)).not.toEqual(early);
    expect(uniforms(createRng(8).fork("a"), 4)).not.toEqual(early);
  });

  test("is uncorrelated with its parent and with its siblings", () => {
    const rng = createRng(7);
    const [a, b] = [rng.fork("a"), rng.fork("b")].map((fork) => uniforms(fork, 10_000)) as [number[], number[]];
    const parent = uniforms(rng, 10_000);
    const correlation = (x: readonly number[], y: readonly number[]) =>
      sumOf(x, (value, i) => (value - 0.5) * (y[i]! - 0.5)) / x.length / (1 / 12);
    // the correlation of independent samples is N(0, 1/n); 3.29 sigma is one in a thousand
    const bound = 3.29 / Math.sqrt(10_000);
    for (const [x, y] of [
      [a, b],
      [a, parent],
      [b, parent],
      [parent.slice(1), parent.slice(0, -1)],
    ] as const) {
      expect(Math.abs(correlation(x, y))).toBeLessThan(bound);
    }
  });
});

describe("distributions", () => {
  const parent = createRng(3);
  test.for<[string, readonly number[]]>([
    ["what seeds 0, 1, 2, … start with", times(6400, (seed) => Math.floor(64 * createRng(seed).uniform()))],
    ["what forks start with", times(6400, (i) => Math.floor(64 * parent.fork(`document ${i}`).uniform()))],
  ])("%s lies in [0, 1) and fills 64 bins evenly", ([, bins]) => {
    expect(bins.every((bin) => bin >= 0 && bin < 64)).toBe(true);
    expectUniform(64, bins);
  });

  test("integer fills [0, bound) evenly", () => {
    const rng = createRng(2);
    expectUniform(
      10,
      times(20_000, () => rng.integer(10)),
    );
    expect(times(5, () => rng.integer(1))).toEqual([0, 0, 0, 0, 0]);
  });

  test("normal has the normal distribution: mean 0, variance 1, and even bins under its distribution function", () => {
    const rng = createRng(4);
    const n = 50_000;
    const draws = times(n, () => rng.normal());
    const moment = (power: number) => sumOf(draws, (x) => x ** power) / n;
    expect(Math.abs(moment(1))).toBeLessThan(3.29 / Math.sqrt(n)); // variance of the mean 1/n
    expect(Math.abs(moment(2) - 1)).toBeLessThan(3.29 * Math.sqrt(2 / n)); // variance of x² is 2
    expect(Math.abs(moment(4) - 3)).toBeLessThan(3.29 * Math.sqrt(96 / n)); // variance of x⁴ is 105 - 9
    const quantiles = [
      -1.2815515655, -0.8416212336, -0.5244005127, -0.2533471031, 0, 0.2533471031, 0.5244005127, 0.8416212336,
      1.2815515655,
    ]; // deciles
    expectUniform(
      10,
      draws.map((x) => quantiles.filter((quantile) => x >= quantile).length),
    );
  });
});

describe("shuffle", () => {
  test("returns a permutation and leaves its argument alone", () => {
    const items = Object.freeze(times(100, (i) => i));
    const shuffled = createRng(1).shuffle(items);
    expect(shuffled).not.toEqual(items);
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(items);
    expect(createRng(1).shuffle([])).toEqual([]);
    expect(createRng(1).shuffle(["only"])).toEqual(["only"]);
  });

  test("gives each of the 24 orders of four items equally often", () => {
    const rng = createRng(6);
    const orders = new Map<string, number>();
    const draws = times(24_000, () => {
      const order = rng.shuffle([0, 1, 2, 3]).join("");
      if (!orders.has(order)) orders.set(order, orders.size);
      return orders.get(order)!;
    });
    expect(orders.size).toBe(24);
    expectUniform(24, draws);
  });
});
