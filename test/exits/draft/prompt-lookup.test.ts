/** Prompt lookup: what follows the latest earlier occurrence of the longest match. */
import { expect, it } from "vitest";
import { lookUp } from "../../../src/exits/draft/prompt-lookup.js";

it("finds the token after the latest earlier occurrence of the longest match", () => {
  expect(lookUp([1, 2, 3, 9, 2, 3, 8, 1, 2, 3], 3, 1)).toBe(9);
  expect(lookUp([1, 2, 3, 9, 2, 3, 8, 7, 2, 3], 3, 1)).toBe(8);
  expect(lookUp([5, 6, 5], 3, 1)).toBe(6);
  expect(lookUp([5, 6, 5], 3, 2)).toBeUndefined();
  expect(lookUp([5], 3, 1)).toBeUndefined();
});
