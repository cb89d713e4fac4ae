/**
 * A threshold: a token leaves at an exit if the margin between the head's two largest logits is large enough. A
 * stricter threshold brings back the full model's text, and costs blocks.
 *   node examples/learn/3-threshold.mjs
 *
 * Exercise: "the same text as the full model's" is a property of one prompt. Find the smallest of the thresholds below
 * that keeps the whole text for the first prompt, and try it on the others. Does it keep theirs? The answer:
 * test/examples/3-threshold.test.ts.
 */
import { pathToFileURL } from "node:url";
import { createPolicy, generate } from "early-exits";
import { finish, openSotu } from "./sotu.mjs";

export const prompts = [
  "The people of the United States",
  "Our relations with foreign powers",
  "The revenue of the year",
  "I recommend to the Congress",
];

/** The text after a prompt, and the mean number of blocks, if the second exit takes margins of at least `threshold`. */
export async function write(heads, prompt, threshold) {
  const policy = createPolicy(heads, ["never", threshold], { score: "margin", fill: "shared" });
  const { text, meanDepth } = await finish(generate(heads, prompt, { policy, maxNewTokens: 32 }));
  return { text, meanDepth };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { heads } = await openSotu();
  const full = await write(heads, prompts[0], "never");
  for (const threshold of ["always", 0.5, 1, 2, 4, "never"]) {
    const { text, meanDepth } = await write(heads, prompts[0], threshold);
    const same = text === full.text ? "the same text" : JSON.stringify(text);
    console.log(`margin >= ${threshold}: ${meanDepth.toFixed(1)} of 12 blocks, ${same}`);
  }
}
