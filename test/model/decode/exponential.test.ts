/** The exponential of sampling: as close to e^x as float64 allows, and the same bits on every engine. */
import { createHash } from "node:crypto";
import { between, real, test } from "../../support/property.js";
import { expect, it } from "vitest";
import { exponential } from "../../../src/model/decode/exponential.js";

const DIGITS = 40n;
const ONE = 10n ** DIGITS;

/** e^x for x in [-30, 0] in integers of 1e-40: the series of e^(x / 64), squared six times. */
function exactly(x: number) {
  const scaled = (BigInt(x * 2 ** 60) * ONE) / 2n ** 66n; // x has at most 60 binary places here
  let sum = ONE;
  let term = ONE;
  for (let i = 1n; term !== 0n; i++) {
    term = (term * scaled) / (ONE * i);
    sum += term;
  }
  for (let i = 0; i < 6; i++) sum = (sum * sum) / ONE;
  return Number(sum) / Number(ONE);
}

test.prop([between(-30 * 2 ** 26, 0)], { numRuns: 500 })("is e^x but for two units in the last place", (n) => {
  const x = n / 2 ** 26;
  expect(Math.abs(exponential(x) / exactly(x) - 1)).toBeLessThanOrEqual(3 * 2 ** -52); // one for the quotient
});

test.prop([real(-700, 0)], { numRuns: 1000 })("agrees with Math.exp", (x) =>
  expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThanOrEqual(4 * 2 ** -52),
);

it("is 1 at 0, and 0 where nothing is left", () => {
  expect([0, -0, -700.5, -1e300, -Infinity].map(exponential)).toEqual([1, 1, 0, 0, 0]);
  expect(exponential(NaN)).toBeNaN();
});

it("has these bits on every engine", () => {
  const values = Float64Array.from({ length: 10_000 }, (_, i) => exponential((-i * i) / 2 ** 18));
  expect(createHash("sha256").update(values).digest("hex")).toBe(
    "ad4c7f92749ca8614fce35c176e7b22ee9f34703c737350b890667098f6a1a6e",
  );
});
