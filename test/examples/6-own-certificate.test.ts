/** The answer to the exercise of examples/learn/6-own-certificate.mjs. */
import { expect, it } from "vitest";
import { createRng } from "early-exits/tensor";
import { program } from "./support.js";

const { certify, hoeffding } = await program("6-own-certificate");

/** True mean losses of the candidates, from strict to lax: the third and later ones break a promise of 0.1. */
const TRUE_LOSSES = [0.01, 0.02, 0.12, 0.13, 0.14, 0.15];
const promise = { epsilon: 0.1, delta: 0.1 };
const CALIBRATIONS = 2000;

/** The share of simulated calibrations whose result is too lax. */
function violations(accept: (lossesOf: readonly (readonly number[])[]) => number) {
  const rng = createRng(1);
  let broken = 0;
  for (let run = 0; run < CALIBRATIONS; run++) {
    const lossesOf = TRUE_LOSSES.map((mean) => Array.from({ length: 200 }, () => Number(rng.uniform() < mean)));
    const accepted = accept(lossesOf);
    if (accepted > 0 && TRUE_LOSSES[accepted - 1]! > promise.epsilon) broken++;
  }
  return broken / CALIBRATIONS;
}

it("the promise is kept, and breaks if the first failure is accepted too", () => {
  // The seed is fixed; if a rate were delta, 3 standard errors above it would be exceeded once in 700 seeds.
  const slack = 3 * Math.sqrt((promise.delta * (1 - promise.delta)) / CALIBRATIONS);
  expect(violations((lossesOf) => certify(lossesOf, promise))).toBeLessThan(promise.delta + slack);
  expect(violations((lossesOf) => certify(lossesOf, promise) + 1)).toBeGreaterThan(0.2);
});

it("accepting every candidate whose p is small, after failures too, is another procedure with no such promise", () => {
  const all = violations((lossesOf) => lossesOf.findLastIndex((one) => hoeffding(one, promise.epsilon) <= 0.1) + 1);
  expect(all).toBeGreaterThanOrEqual(violations((lossesOf) => certify(lossesOf, promise)));
});
