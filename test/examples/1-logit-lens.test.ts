/** The answer to the exercise of examples/learn/1-logit-lens.mjs. */
import { expect, it } from "vitest";
import { argmaxOf } from "early-exits/model";
import { openSotu, program } from "./support.js";

const { lens } = await program("1-logit-lens");

/** The depth from which on the guess is the last block's. */
function settledAt(guesses: readonly number[]): number {
  return guesses.findLastIndex((id) => id !== guesses.at(-1)) + 2;
}

it("the last block's guess is the model's own token, and most tokens are settled before it", async () => {
  const { model } = await openSotu();
  const text = "The people of the United States are in the habit of looking to their Government";
  const guesses = await lens(model, text);
  const ids = model.tokenizer.encode(text);
  expect(guesses.length).toBe(ids.length);
  expect(guesses.every((row) => row.length === 12)).toBe(true);
  const logits = await model.logits(ids); // [T · V]
  const { vocabSize } = model.config;
  const own = ids.map((_, t) => argmaxOf(logits.subarray(t * vocabSize, (t + 1) * vocabSize)));
  expect(guesses.map((row) => row.at(-1))).toEqual(own);
  const depths = guesses.map(settledAt);
  expect(depths.every((depth) => depth >= 1 && depth <= 12)).toBe(true);
  // The answer: well below the twelve blocks that plain decoding runs.
  const mean = depths.reduce((sum, depth) => sum + depth, 0) / depths.length;
  expect(mean).toBeLessThan(8);
});
