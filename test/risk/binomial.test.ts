/**
 * The binomial tail against mpmath. The verifier's own, another algorithm, is compared with it in
 * test/calibrate/certificate/binomial.test.ts.
 */
import { between, real, test } from "../support/property.js";
import { expect, it } from "vitest";
import { binomialTail } from "../../src/risk/binomial.js";

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

/** k, n, p, and the tail with 17 digits. */
const mpmathTails = [
  [4988900, 10000000, 0.5, 1.1097938678035685e-12],
  [493200, 10000000, 0.05, 2.3738956832141674e-23],
  [5, 10000000, 5e-6, 5.5671912239655639e-16],
  [880, 100000, 0.011, 2.8060046804048067e-12],
  [9, 1000, 0.05, 5.2426791377394425e-13],
  [60, 10000000, 1e-5, 1.0811324056675055e-5],
  [9500, 1000000, 0.01, 2.0878741694360633e-7],
  [10400, 10000000, 0.001, 0.99996588479473139],
  [600, 1000, 0.7, 1.104129819055706e-11],
  [27, 7722473, 3.921987272951543e-6, 0.31430768646420708],
] as const;
