/** The answer to the exercise of examples/learn/1-logit-lens.mjs. */
import { expect, it } from "vitest";
import { logitLens } from "early-exits";
import { argmaxOf } from "early-exits/model";
import { expectCode } from "../support/expect-code.js";
import { sumOf } from "../support/lists.js";
import { byteConfig, smallByteModel } from "../support/models.js";
import { openSotu, program } from "./support.js";

const { lens } = await program("1-logit-lens");

/** The depth from which on the guess is the last block's. */
function settledAt(guesses: readonly number[]) {
  return guesses.findLastIndex((id) => id !== guesses.at(-1)) + 2;
}

it("the last block's guess is the model's own token, and most tokens are settled before it", async () => {
  const { model } = await openSotu();
  const text = "The people of the United States are in the habit of looking to their Government";
  const guesses = await lens(model, text);
  const ids = model.tokenizer.encode(text);
  expect(guesses.every((row) => row.length === 12)).toBe(true);
  const logits = await model.logits(ids); // [T · V]
  const { vocabSize } = model.config;
  const own = ids.map((_, t) => argmaxOf(logits.subarray(t * vocabSize, (t + 1) * vocabSize)));
  expect(guesses.map((row) => row.at(-1))).toEqual(own);
  // The answer: well below the twelve blocks that plain decoding runs.
  expect(sumOf(guesses.map(settledAt)) / guesses.length).toBeLessThan(8);

  const [first] = await logitLens(model, ids, { top: vocabSize });
  const last = first!.guesses[11]!.map(({ probability }) => probability);
  expect([last.length, last.toSorted((a, b) => b - a)]).toEqual([vocabSize, last]);
  expect(sumOf(last)).toBeCloseTo(1, 5);
  const padded = await smallByteModel({ config: { ...byteConfig, vocab_size: 300 } });
  const [all] = await logitLens(padded, "a", { top: 300 });
  expect(all!.guesses[0]!.map(({ id, text }) => id < 257 || text === "")).toEqual(Array(300).fill(true));
  await expectCode(logitLens(model, ""), "text-empty");
  await expectCode(logitLens(model, text, { top: vocabSize + 1 }), "option-range");
});
