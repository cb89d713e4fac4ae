/** The answer to the exercise of examples/learn/5-lossless.mjs. */
import { expect, it } from "vitest";
import { generate } from "early-exits";
import { openSotu, program } from "./support.js";

const { finish } = await program("sotu");
const { draftAndVerify } = await program("5-lossless");

it("drafts of any length leave the text as it is; a round keeps one token to all and one more", async () => {
  const { heads } = await openSotu();
  const prompt = "The people of the United States";
  const plain = generate(heads, prompt, { maxNewTokens: 24, stopAtEndOfText: false });
  await finish(plain);
  const means: number[] = [];
  for (const length of [1, 3, 6]) {
    const { ids, rounds } = await draftAndVerify(heads, prompt, { count: 24, length });
    expect(ids).toEqual(plain.summary.ids);
    expect(rounds.every((kept) => kept >= 1 && kept <= length + 1)).toBe(true);
    means.push(rounds.reduce((sum, kept) => sum + kept, 0) / rounds.length);
  }
  // By (1 - a^(n+1)) / (1 - a), longer drafts keep more per round, and less per drafted token.
  expect(means[2]!).toBeGreaterThan(means[0]!);
  expect(means[2]! / 7).toBeLessThan(means[0]! / 2);
});
