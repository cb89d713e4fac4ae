/**
 * Lossless decoding by hand: exits write a few tokens as a draft, the full model writes the same stretch, and what they
 * have in common is kept, with the full model's token after it. The text is the full model's, whatever the exits do.
 * (The library verifies all drafts in one pass, which is what makes it fast; here it is only correct.)
 *   node examples/learn/5-lossless.mjs
 *
 * Exercise: how many tokens does a round keep on average, for drafts of 1 to 8? Compare with the formula
 * (1 - a^(n+1)) / (1 - a) for an acceptance a. The answer: test/examples/5-lossless.test.ts.
 */
import { pathToFileURL } from "node:url";
import { createPolicy, generate } from "early-exits";
import { finish, openSotu } from "./sotu.mjs";

const greedy = { stopAtEndOfText: false };

/** Writes `count` tokens after the prompt, with drafts of `length` tokens; every round's number of tokens. */
export async function draftAndVerify(heads, prompt, { count, length }) {
  const policy = createPolicy(heads, ["never", "always"], { score: "margin", fill: "shared" });
  const ids = heads.model.tokenizer.encode(prompt);
  const start = ids.length;
  const rounds = [];
  while (ids.length < start + count) {
    const draft = await finish(generate(heads, ids, { ...greedy, policy, maxNewTokens: length }));
    const truth = await finish(generate(heads, ids, { ...greedy, maxNewTokens: length + 1 }));
    const wrong = draft.ids.findIndex((id, i) => id !== truth.ids[i]);
    const kept = wrong < 0 ? truth.ids : truth.ids.slice(0, wrong + 1);
    ids.push(...kept);
    rounds.push(kept.length);
  }
  return { ids: ids.slice(start, start + count), rounds };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { heads } = await openSotu();
  const prompt = "The people of the United States";
  const plain = await finish(generate(heads, prompt, { ...greedy, maxNewTokens: 40 }));
  const { ids, rounds } = await draftAndVerify(heads, prompt, { count: 40, length: 3 });
  console.log(`the same tokens: ${ids.join() === plain.ids.join()}`);
  console.log(`${rounds.length} rounds: ${rounds.join(" ")}`);
}
