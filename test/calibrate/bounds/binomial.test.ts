/** The binomial tail against exact rational arithmetic and mpmath; the deviance against a Taylor series. */
import { fc, test } from "../../support/property.js";
import { OptionError } from "early-exits";
import { describe, expect, it } from "vitest";
import { binomialTail, deviance } from "../../../src/calibrate/bounds/binomial.js";
import { between, real } from "../../support/draw.js";

/**
 * P(Bin(n, p) <= k) in exact integers: p is a multiple of 2^-40, so every term is a multiple of 2^(-40 n). Rounded
 * once, at the end.
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

const onGrid = (p: number): number => Math.round(p * 2 ** 40) / 2 ** 40;

describe("the binomial tail", () => {
  test.prop([between(1, 120), fc.nat(), real(0.001, 0.999)], {
    numRuns: 150,
  })("equals exact rational arithmetic to a relative error of 1e-12 if it is above 1e-300", (n, pick, raw) => {
    const k = pick % (n + 1);
    const p = onGrid(raw);
    const exact = exactTail(k, n, p);
    if (exact > 1e-300) expect(Math.abs(binomialTail(k, n, p) / exact - 1)).toBeLessThan(1e-12);
  });

  it("keeps its digits down to a p-value of 1e-23 and up to n = 1e7, against mpmath at 40 digits", () => {
    for (const [k, n, p, mp] of mpmathTails) expect(Math.abs(binomialTail(k, n, p) / mp - 1)).toBeLessThan(1e-10);
  });

  test.prop([between(1, 10_000_000), real(0, 1), real(1e-7, 1 - 1e-7)])(
    "lies in [0, 1], increases in k and decreases in p, and P(<= k) + P(> k) = 1",
    (n, share, p) => {
      const k = Math.floor(share * n);
      const tail = binomialTail(k, n, p);
      expect(tail).toBeGreaterThanOrEqual(0);
      expect(tail).toBeLessThanOrEqual(1);
      if (k > 0) expect(binomialTail(k - 1, n, p)).toBeLessThanOrEqual(tail * (1 + 1e-11));
      expect(binomialTail(k, n, Math.min(1, p * 1.01))).toBeLessThanOrEqual(tail * (1 + 1e-11));
      const above = k === n ? 0 : binomialTail(n - k - 1, n, 1 - p);
      expect(Math.abs(tail + above - 1)).toBeLessThan(1e-9);
    },
  );

  it("is exact at the ends", () => {
    expect(binomialTail(5, 5, 0.3)).toBe(1);
    expect(binomialTail(0, 5, 0)).toBe(1);
    expect(binomialTail(4, 5, 1)).toBe(0);
    expect(binomialTail(0, 0, 0.3)).toBe(1);
    expect(binomialTail(0, 10_000_000, 0.5)).toBe(0); // below the smallest double
  });

  it("rejects arguments that are not counts or probabilities", () => {
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

test.prop([real(1e-3, 1e7), real(-1e-4, 1e-4)])(
  "the deviance equals its Taylor series near its zero",
  (m, relative) => {
    const x = m * (1 + relative);
    const v = (x - m) / m; // x ln(x/m) + m - x = m (v²/2 - v³/6 + …)
    // Both sides are m v²/2 to first order, with about ten roundings of 1.1e-16: four in deviance, six here.
    expect(Math.abs(deviance(x, m) - m * (v ** 2 / 2 - v ** 3 / 6 + v ** 4 / 12))).toBeLessThanOrEqual(
      m * (Math.abs(v) ** 5 + 6e-16 * v ** 2) + 1e-300,
    );
  },
);

/** k, n, p, and the tail with 17 digits. */
const mpmathTails = [
  [4988900, 10000000, 0.5, 1.1097938678035685e-12],
  [493200, 10000000, 0.05, 2.3738956832141674e-23],
  [9495150, 10000000, 0.95, 1.0636088592958137e-12],
  [99300, 1000000, 0.1, 0.0098071536814084014],
  [5, 10000000, 5e-6, 5.5671912239655639e-16],
  [880, 100000, 0.011, 2.8060046804048067e-12],
  [9, 1000, 0.05, 5.2426791377394425e-13],
  [5, 100, 0.1, 0.057576886487033788],
  [3, 100, 0.1, 0.0078364871211843956],
  [80, 1000, 0.1, 0.017611574675836062],
  [40, 500, 0.1, 0.075089289659042995],
  [0, 10000000, 1e-8, 0.90483741758354086],
  [3, 10000000, 1e-6, 0.010336024192647673],
  [30, 10000000, 4e-6, 0.061693783802915045],
  [60, 10000000, 1e-5, 1.0811324056675055e-5],
  [9500, 1000000, 0.01, 2.0878741694360633e-7],
  [9900, 10000000, 0.001, 0.15974973148608083],
  [10400, 10000000, 0.001, 0.99996588479473139],
  [600, 1000, 0.7, 1.104129819055706e-11],
  [27, 7722473, 3.921987272951543e-6, 0.31430768646420708],
] as const;
