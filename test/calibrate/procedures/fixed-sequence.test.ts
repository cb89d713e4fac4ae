/** Multiple testing: which candidates a list of p-values accepts. */
import { OptionError } from "early-exits";
import { describe, expect, it } from "vitest";
import { bonferroni, fixedSequence } from "../../../src/calibrate/procedures/fixed-sequence.js";

describe("fixedSequence", () => {
  it("stops before the first failure, whatever comes after", () => {
    expect(fixedSequence([0.01, 0.05, 0.06, 0], 0.05)).toEqual([0, 1]);
    expect(fixedSequence([0.06, 0, 0], 0.05)).toEqual([]);
    expect(fixedSequence([0, 0.01], 0.05)).toEqual([0, 1]);
    expect(fixedSequence([], 0.05)).toEqual([]);
  });

  it("rejects a NaN instead of accepting the candidate", () => {
    expect(() => fixedSequence([0.01, NaN], 0.05)).toThrow(OptionError);
    expect(() => bonferroni([NaN], 0.05)).toThrow(OptionError);
    expect(() => fixedSequence([0.01], NaN)).toThrow(OptionError);
    expect(() => fixedSequence([0.01], 1)).toThrow(OptionError);
  });
});

it("bonferroni accepts every p <= δ/m, in any order", () =>
  expect(bonferroni([0.2, 0.0125, 0.013, 0], 0.05)).toEqual([1, 3]));
