/**
 * The logit lens: apply the model's own norm and unembedding to the state after every block, and read what the model
 * would say if that block were its last.
 *   node examples/learn/1-logit-lens.mjs ["a text"]
 *
 * Exercise: for each position, find the depth from which on the guess no longer changes. How many of the twelve blocks
 * does a token need, on average? The answer: test/examples/1-logit-lens.test.ts.
 */
import { pathToFileURL } from "node:url";
import { logitLens } from "early-exits";
import { openSotu } from "./sotu.mjs";

/** The token that every block would choose after every position: guesses[position][depth - 1], as token ids. */
export async function lens(model, text) {
  const tokens = await logitLens(model, text); // { top: 3 } reads the three best
  return tokens.map(({ guesses }) => guesses.map(([best]) => best.id));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { model } = await openSotu();
  const spell = ({ text }) => JSON.stringify(text);
  for (const token of await logitLens(model, process.argv[2] ?? "The people of the United States")) {
    console.log(`after ${spell(token)}: ${token.guesses.map(([best]) => spell(best)).join(" ")}`);
  }
}
