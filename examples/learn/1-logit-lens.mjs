/**
 * The logit lens: apply the model's own norm and unembedding to the state after every block, and read what the model
 * would say if that block were its last.
 *   node examples/learn/1-logit-lens.mjs ["a text"]
 *
 * Exercise: for each position, find the depth from which on the guess no longer changes. How many of the twelve blocks
 * does a token need, on average? The answer: test/examples/1-logit-lens.test.ts.
 */
import { pathToFileURL } from "node:url";
import { attachHeads } from "early-exits";
import { Sequence, advance } from "early-exits/model";
import { argmax } from "early-exits/tensor";
import { openSotu } from "./sotu.mjs";

/** The token that every block would choose after every position: guesses[position][depth - 1], as token ids. */
export async function lens(model, text) {
  const { numLayers } = model.config;
  const depths = Array.from({ length: numLayers }, (_, i) => i + 1);
  const heads = attachHeads(model, { exits: depths, kind: "linear" }); // untrained: the lens itself
  const ids = model.tokenizer.encode(text);
  const sequence = new Sequence(model, ids.length);
  sequence.append(...ids);
  const guesses = ids.map(() => []);
  for (const head of heads.heads) {
    const positions = sequence.pending(head.depth);
    advance(model, [{ sequence, positions }], head.depth);
    const logits = await head.logits(sequence.hidden(0, ids.length)); // [T, C] -> [T, V]
    (await argmax(logits)).forEach((id, position) => guesses[position].push(id));
    logits.dispose();
  }
  sequence.dispose();
  heads.dispose();
  return guesses;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { model } = await openSotu();
  const text = process.argv[2] ?? "The people of the United States";
  const guesses = await lens(model, text);
  const spell = (id) => JSON.stringify(model.tokenizer.decode([id]));
  model.tokenizer.encode(text).forEach((id, position) => {
    console.log(`after ${spell(id)}: ${guesses[position].map(spell).join(" ")}`);
  });
}
