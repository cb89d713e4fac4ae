/** Bounds: golden numbers computed with scipy, exact rational arithmetic, and what each bound must not do. */
import { fc, test } from "@fast-check/vitest";
import { OptionError } from "early-exits";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import {
  binomialPmf,
  binomialTail,
  clopperPearsonLower,
  clopperPearsonUpper,
  crcLargestRisk,
  dkwSlack,
  errorFreeUnits,
  hoeffdingBentkusPValue,
  hoeffdingPValue,
  hoeffdingSlack,
  hoeffdingUpper,
  unitsNeeded,
  wsrPValue,
  wsrUpper,
} from "../../../src/calibrate/bounds/index.js";
import { deviance } from "../../../src/calibrate/bounds/deviance.js";

/**
 * P(Bin(n, p) <= k) by exact integers: p is a fraction of 2^40, so every term is one over 2^(40 n). Rounded once, at
 * the end.
 */
function exactTail(k: number, n: number, p: number): number {
  const bits = 40n;
  const one = 1n << bits;
  const wrong = BigInt(Math.round(p * 2 ** 40));
  const right = one - wrong;
  let sum = 0n;
  let choose = 1n;
  for (let i = 0; i <= k; i++) {
    sum += choose * wrong ** BigInt(i) * right ** BigInt(n - i);
    choose = (choose * BigInt(n - i)) / BigInt(i + 1);
  }
  return ratio(sum, 1n << (bits * BigInt(n)));
}

/** a/b as a double, for a <= b of any size. */
function ratio(a: bigint, b: bigint): number {
  if (a === 0n) return 0;
  const shift = b.toString(2).length - a.toString(2).length + 64;
  return Number((a << BigInt(shift)) / b) / 2 ** shift;
}

/**
 * The same tail for large n: every term from (1-p)^n upwards, in logarithms, with n p small enough that the recurrence
 * keeps its digits.
 */
function summedTail(k: number, n: number, p: number): number {
  let log = n * Math.log1p(-p);
  let sum = 0;
  const terms: number[] = [];
  for (let i = 0; i <= k; i++) {
    terms.push(log);
    log += Math.log((n - i) / (i + 1)) + Math.log(p) - Math.log1p(-p);
  }
  for (const term of terms) sum += Math.exp(term);
  return sum;
}

const onGrid = (p: number): number => Math.round(p * 2 ** 40) / 2 ** 40;

describe("the binomial tail", () => {
  it.for([
    [5, 100, 0.1, 0.0575769],
    [3, 100, 0.1, 0.00783649],
    [80, 1000, 0.1, 0.0176116],
    [40, 500, 0.1, 0.0750893],
  ])("P(Bin(%2$i, %3$f) <= %1$i) is golden", ([k, n, p, golden]) => {
    expect(Math.abs(binomialTail(k!, n!, p!) / golden! - 1)).toBeLessThan(5e-6); // six digits are given
  });

  test.prop([fc.integer({ min: 1, max: 120 }), fc.nat(), fc.double({ min: 0.001, max: 0.999, noNaN: true })], {
    numRuns: 150,
  })("is exact rational arithmetic to 1e-12, relative, wherever it is above 1e-300", (n, pick, raw) => {
    const k = pick % (n + 1);
    const p = onGrid(raw);
    const exact = exactTail(k, n, p);
    if (exact > 1e-300) expect(Math.abs(binomialTail(k, n, p) / exact - 1)).toBeLessThan(1e-12);
  });

  it.for([
    [0, 10_000_000, 1e-8],
    [3, 10_000_000, 1e-6],
    [30, 10_000_000, 4e-6],
    [60, 10_000_000, 1e-5],
    [9_500, 1_000_000, 0.01],
    [9_900, 10_000_000, 0.001],
    [10_400, 10_000_000, 0.001],
    [600, 1000, 0.7],
    [27, 7_722_473, 3.921987272951543e-6],
  ])("of Bin(%2$i, %3$f) at %1$i is the plain sum of all terms", ([k, n, p]) => {
    // The oracle's rounding: k+1 additions of logarithms of size about log n, each off by some 2^-50.
    const summed = summedTail(k!, n!, p!);
    expect(Math.abs(binomialTail(k!, n!, p!) / summed - 1)).toBeLessThan(1e-6);
    expect(Math.abs(binomialTail(k!, n!, p!) - summed)).toBeLessThan(1e-9);
  });

  it("keeps its digits at a p-value of 1e-12 and n = 1e7, against mpmath at 40 digits", () => {
    for (const [k, n, p, mp] of mpmathTails) expect(Math.abs(binomialTail(k, n, p) / mp - 1)).toBeLessThan(1e-10);
  });

  test.prop([
    fc.integer({ min: 1, max: 10_000_000 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 1e-7, max: 1 - 1e-7, noNaN: true }),
  ])("lies in [0, 1], grows in k and falls in p, and P(<= k) + P(> k) = 1", (n, share, p) => {
    const k = Math.floor(share * n);
    const tail = binomialTail(k, n, p);
    expect(tail).toBeGreaterThanOrEqual(0);
    expect(tail).toBeLessThanOrEqual(1);
    if (k > 0) expect(binomialTail(k - 1, n, p)).toBeLessThanOrEqual(tail * (1 + 1e-11));
    expect(binomialTail(k, n, Math.min(1, p * 1.01))).toBeLessThanOrEqual(tail * (1 + 1e-11));
    const above = k === n ? 0 : binomialTail(n - k - 1, n, 1 - p);
    expect(Math.abs(tail + above - 1)).toBeLessThan(1e-9);
  });

  it("is exact at the ends", () => {
    expect(binomialTail(5, 5, 0.3)).toBe(1);
    expect(binomialTail(0, 5, 0)).toBe(1);
    expect(binomialTail(4, 5, 1)).toBe(0);
    expect(binomialTail(0, 0, 0.3)).toBe(1);
    expect(binomialTail(0, 10_000_000, 0.5)).toBe(0); // below the least double
    expect(binomialPmf(0, 3, 0)).toBe(1);
    expect(binomialPmf(3, 3, 1)).toBe(1);
    expect(Math.abs(binomialPmf(2, 4, 0.5) - 0.375)).toBeLessThan(1e-15);
  });

  it("refuses what is no count or probability", () => {
    for (const [k, n, p] of [
      [-1, 5, 0.5],
      [6, 5, 0.5],
      [1.5, 5, 0.5],
      [1, 5, NaN],
      [1, 5, -0.1],
      [1, 5, 1.1],
      [1, NaN, 0.5],
    ] as const) {
      expect(() => binomialTail(k, n, p)).toThrow(OptionError);
    }
  });
});

describe("Clopper-Pearson", () => {
  it.for([
    [0, 10, 0.05, 0.258866],
    [0, 100, 0.05, 0.029513],
    [1, 100, 0.05, 0.04656],
    [5, 100, 0.05, 0.102253],
    [10, 100, 0.1, 0.149883],
    [50, 1000, 0.05, 0.062863],
    [100, 1000, 0.1, 0.113256],
    [10, 1000, 0.01, 0.020043],
    [3, 12, 0.025, 0.571858],
  ])("the upper limit of %i in %i at %f is golden", ([k, n, delta, golden]) =>
    expect(Math.abs(clopperPearsonUpper(k!, n!, delta!) - golden!)).toBeLessThan(6e-7),
  );

  it.for([
    [1, 100, 0.05, 0.000513],
    [5, 100, 0.05, 0.019906],
    [50, 1000, 0.05, 0.039164],
    [3, 12, 0.025, 0.054861],
  ])("the lower limit of %i in %i at %f is golden", ([k, n, delta, golden]) =>
    expect(Math.abs(clopperPearsonLower(k!, n!, delta!) - golden!)).toBeLessThan(6e-7),
  );

  it("is exact without errors and with nothing else", () => {
    expect(clopperPearsonUpper(7, 7, 0.05)).toBe(1);
    expect(clopperPearsonLower(0, 7, 0.05)).toBe(0);
    expect(Math.abs(clopperPearsonUpper(0, 7, 0.05) - (1 - 0.05 ** (1 / 7)))).toBeLessThan(1e-15);
    expect(Math.abs(clopperPearsonLower(7, 7, 0.05) - 0.05 ** (1 / 7))).toBeLessThan(1e-15);
  });

  test.prop([
    fc.integer({ min: 1, max: 100_000 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 1e-6, max: 0.5, noNaN: true }),
    fc.double({ min: 1e-4, max: 0.9999, noNaN: true }),
  ])("upper <= α exactly where the tail at α is <= δ; lower < k/n < upper", (n, share, delta, level) => {
    const k = Math.floor(share * n);
    const upper = clopperPearsonUpper(k, n, delta);
    if (k < n && Math.abs(upper - level) > 1e-9) expect(upper <= level).toBe(binomialTail(k, n, level) <= delta);
    expect(upper).toBeGreaterThan(k / n - 1e-15);
    expect(clopperPearsonLower(k, n, delta)).toBeLessThan(k / n + 1e-15);
  });
});

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
    const losses = Array.from({ length: 100 }, (_, i) => (i % 20 === 19 ? 1 : 0));
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

  it("DKW slack, conformal risk control and error-free counts are golden", () => {
    for (const [delta, golden] of [
      [0.1, 0.033931],
      [0.05, 0.038702],
      [0.01, 0.047985],
    ] as const) {
      expect(Math.abs(dkwSlack(1000, delta) - golden)).toBeLessThan(6e-7);
    }
    for (const [n, level, golden] of [
      [100, 0.1, 0.091],
      [1000, 0.1, 0.0991],
      [50, 0.05, 0.031],
    ] as const) {
      expect(Math.abs(crcLargestRisk(n, level) - golden)).toBeLessThan(1e-12);
    }
    const golden = {
      0.2: [11, 14, 21],
      0.1: [22, 29, 44],
      0.05: [45, 59, 90],
      0.02: [114, 149, 228],
      0.01: [230, 299, 459],
    };
    for (const [level, counts] of Object.entries(golden)) {
      expect([0.1, 0.05, 0.01].map((delta) => errorFreeUnits(Number(level), delta))).toEqual(counts);
    }
  });

  it("Hoeffding's slack, limit and p-value are one formula", () => {
    const limit = hoeffdingUpper(30, 1000, 0.05);
    expect(Math.abs(limit - (0.03 + hoeffdingSlack(1000, 0.05)))).toBeLessThan(1e-15);
    expect(Math.abs(hoeffdingPValue(30, 1000, limit) - 0.05)).toBeLessThan(1e-12);
  });

  const units = fc.record({
    seed: fc.nat(),
    n: fc.integer({ min: 1, max: 300 }),
    mean: fc.double({ min: 0, max: 1, noNaN: true }),
    level: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
    delta: fc.constantFrom(0.01, 0.05, 0.1, 0.4),
  });
  test.prop([units])(
    "p-values lie in [0, 1], fall as the level rises, and are 1 where the mean is not below it",
    ({ seed, n, mean, level, delta }) => {
      const rng = createRng(seed);
      const losses = Array.from({ length: n }, () => Math.min(1, 2 * mean * rng.uniform()));
      const sum = losses.reduce((total, loss) => total + loss, 0);
      const pAt = [
        (a: number) => hoeffdingPValue(sum, n, a),
        (a: number) => hoeffdingBentkusPValue(sum, n, a),
        (a: number) => wsrPValue(losses, a, delta),
      ];
      for (const p of pAt) {
        expect(p(level)).toBeGreaterThanOrEqual(0);
        expect(p(level)).toBeLessThanOrEqual(1);
        expect(p(Math.min(0.999, level + 0.01))).toBeLessThanOrEqual(p(level) * (1 + 1e-9));
      }
      if (sum / n >= level) for (const p of pAt.slice(0, 2)) expect(p(level)).toBe(1);
      const upper = wsrUpper(losses, delta);
      if (Math.abs(upper - level) > 1e-9) expect(upper < level).toBe(wsrPValue(losses, level, delta) < delta);
    },
  );

  it("Hoeffding-Bentkus takes a sum: a mean times n may pass an integer", () => {
    expect(100 * 0.07).toBeGreaterThan(7); // 7.000000000000001
    expect(hoeffdingBentkusPValue(7, 100, 0.2)).toBeLessThan(hoeffdingBentkusPValue(100 * 0.07, 100, 0.2) + 1e-15);
  });

  it("refuses losses outside [0, 1], no losses, and levels outside (0, 1)", () => {
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
      expect(() => crcLargestRisk(10, level)).toThrow(OptionError);
    }
    expect(() => hoeffdingBentkusPValue(11, 10, 0.1)).toThrow(OptionError);
    expect(() => hoeffdingBentkusPValue(NaN, 10, 0.1)).toThrow(OptionError);
    expect(() => dkwSlack(10, 0.6)).toThrow(OptionError);
    expect(() => clopperPearsonUpper(0, 0, 0.1)).toThrow(OptionError);
  });
});

describe("units needed", () => {
  it("without errors it is the formula", () => {
    for (const level of [0.01, 0.05, 0.2]) {
      expect(unitsNeeded((n) => binomialTail(0, n, level), 1, 0.05, 1_000_000)).toBe(errorFreeUnits(level, 0.05));
    }
  });

  it("is undefined where no number would do, and not below where it starts", () => {
    expect(unitsNeeded((n) => binomialTail(Math.ceil(0.2 * n), n, 0.1), 10, 0.05, 100_000)).toBeUndefined();
    expect(unitsNeeded((n) => binomialTail(0, n, 0.5), 40, 0.05, 1000)).toBe(40);
  });
});

test.prop([fc.double({ min: 1e-3, max: 1e7, noNaN: true }), fc.double({ min: -1e-4, max: 1e-4, noNaN: true })])(
  "the deviance near its zero is its Taylor series",
  (m, relative) => {
    const x = m * (1 + relative);
    const v = (x - m) / m; // x ln(x/m) + m - x = m (v²/2 - v³/6 + …)
    // Both sides are m v²/2 to first order, with some ten roundings of 1.1e-16 between them: four in deviance, six
    // here.
    expect(Math.abs(deviance(x, m) - m * (v ** 2 / 2 - v ** 3 / 6 + v ** 4 / 12))).toBeLessThanOrEqual(
      m * (Math.abs(v) ** 5 + 6e-16 * v ** 2) + 1e-300,
    );
  },
);

/** k, n, p, and the tail to 17 digits. */
const mpmathTails = [
  [4988900, 10000000, 0.5, 1.1097938678035685e-12],
  [493200, 10000000, 0.05, 2.3738956832141674e-23],
  [9495150, 10000000, 0.95, 1.0636088592958137e-12],
  [99300, 1000000, 0.1, 0.0098071536814084014],
  [5, 10000000, 5e-6, 5.5671912239655639e-16],
  [880, 100000, 0.011, 2.8060046804048067e-12],
  [9, 1000, 0.05, 5.2426791377394425e-13],
] as const;
