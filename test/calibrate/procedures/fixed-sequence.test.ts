/** Multiple testing: which candidates a list of p-values accepts. */
import { OptionError } from "early-exits";
import { describe, expect, it } from "vitest";
import { fixedSequence } from "../../../src/calibrate/procedures/certify-losses.js";

describe("fixedSequence", () => {
  it("stops before the first failure, whatever comes after", () => {
    expect(fixedSequence([0.01, 0.05, 0.06, 0], 0.05)).toEqual([0, 1]);
    expect(fixedSequence([0.06, 0, 0], 0.05)).toEqual([]);
    expect(fixedSequence([0, 0.01], 0.05)).toEqual([0, 1]);
    expect(fixedSequence([], 0.05)).toEqual([]);
  });

  it("rejects a NaN instead of accepting the candidate", () => {
    expect(() => fixedSequence([0.01, NaN], 0.05)).toThrow(OptionError);
    expect(() => fixedSequence([0.01], NaN)).toThrow(OptionError);
    expect(() => fixedSequence([0.01], 1)).toThrow(OptionError);
  });
});
