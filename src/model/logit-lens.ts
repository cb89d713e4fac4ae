/**
 * The logit lens (nostalgebraist 2020): the model's own final norm and unembedding, applied to the state after every
 * block, read what the model would say if that block were its last.
 *   p = softmax(U n(x_d))      d = 1..L; at d = L, the model's own prediction
 */
import { OptionError, requireInteger } from "../errors.js";
import { requireKnown } from "../known.js";
import { scope } from "../tensor/index.js";
import { largest } from "../tensor/ops/largest.js";
import { exponential } from "./elementary.js";
import type { Model } from "./model.js";

/** A token of the text, and the tokens that could come after it. */
export interface LensToken {
  readonly id: number;
  readonly text: string;
  /** After block d, at d - 1: the most probable next tokens, the best first. */
  readonly guesses: readonly (readonly {
    readonly id: number;
    readonly text: string;
    readonly probability: number;
  }[])[];
}

/**
 * Reads a text, or token ids, with the lens: for every token, the `top` best guesses after every block. Throws an
 * OptionError for a text without tokens, or a `top` outside the vocabulary.
 */
export async function logitLens(
  model: Model,
  text: string | readonly number[],
  options: {
    /** Guesses after each block. @default 1 */
    readonly top?: number;
  } = {},
): Promise<LensToken[]> {
  requireKnown("logitLens", options, ["top"]);
  const { vocabSize } = model.config;
  const top = requireInteger("logitLens: top", options.top ?? 1, 1, vocabSize);
  const ids = typeof text === "string" ? model.tokenizer.encode(text) : text;
  if (ids.length === 0) throw new OptionError("text-empty", "logitLens: found no token; give a text to read");
  const named = (id: number) => ({ id, text: model.hasTokenizer ? model.tokenizer.decode([id]) : String(id) });
  const read = ids.map((id) => ({ ...named(id), guesses: [] as LensToken["guesses"][number][] }));
  const states = scope(() => [...model.forward(ids, { wanted: (depth) => depth > 0 }).values()]); // L of [T, C]
  for (const state of states) {
    const logits = scope(() => model.unembed(state)); // [T, V]
    const values = await logits.read();
    for (const tensor of [state, logits]) tensor.dispose();
    for (const [t, { guesses }] of read.entries()) {
      const row = values.subarray(t * vocabSize, (t + 1) * vocabSize);
      const best = largest(row, top).sort((a, b) => row[b]! - row[a]!);
      const sum = row.reduce((total, logit) => total + exponential(logit - row[best[0]!]!), 0);
      guesses.push(best.map((id) => ({ ...named(id), probability: exponential(row[id]! - row[best[0]!]!) / sum })));
    }
  }
  return read;
}
