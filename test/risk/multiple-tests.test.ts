/** Multiple testing: which candidates a list of p-values accepts. */
import { fixedSequence, holm } from "early-exits/risk";
import { expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";

it("fixedSequence stops before the first failure, whatever comes after", () => {
  expect(fixedSequence([0.01, 0.05, 0.06, 0], 0.05)).toEqual([0, 1]);
  expect(fixedSequence([0.06, 0, 0], 0.05)).toEqual([]);
  expect(fixedSequence([0, 0.01], 0.05)).toEqual([0, 1]);
  expect(fixedSequence([], 0.05)).toEqual([]);
});

it("holm compares the i-th smallest of m with δ / (m - i + 1), up to the first failure", () => {
  // statsmodels' multipletests([.01, .04, .03, .005], .05, "holm") rejects the first and the last.
  expect(holm([0.01, 0.04, 0.03, 0.005], 0.05)).toEqual([0, 3]);
  expect(holm([0.05, 0.0125, 0.025, 0.0166], 0.05)).toEqual([0, 1, 2, 3]);
  expect(holm([0.013, 0.014], 0.025)).toEqual([]);
  expect(holm([], 0.05)).toEqual([]);
});

it.each([fixedSequence, holm])("%o rejects a NaN instead of accepting the candidate", async (test) => {
  await expectCode(() => test([0.01, NaN], 0.05), "p-value-range", "p-value 1 is NaN");
  await expectCode(() => test([0.01], NaN), "option-range", "delta");
  await expectCode(() => test([0.01], 1), "option-range", "delta");
});
