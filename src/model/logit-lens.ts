/**
 * The logit lens (nostalgebraist 2020): the model's own final norm and unembedding, applied to the state after every
 * block, read what the model would say if that block were its last.
 *   p = softmax(U n(x_d))      d = 1..L; at d = L, the model's own prediction
 */
import { OptionError, requireInteger } from "../errors.js";
import { requireKnown } from "../known.js";
import { scope } from "../tensor/index.js";
import { largest } from "../tensor/ops/largest.js";
import { valuesOf } from "../tensor/values-of.js";
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
 *
 * @example
 * ```ts
 * import { logitLens } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const [, people] = await logitLens(model, "The people");
 * console.log(JSON.stringify(people!.guesses[1]![0]!.text)); // ","
 * console.log(JSON.stringify(people!.guesses[11]![0]!.text)); // " are"
 * ```
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
  const textOf = (id: number) => {
    if (!model.hasTokenizer) return String(id);
    return id < model.tokenizer.vocabSize ? model.tokenizer.decode([id]) : ""; // a row that pads the vocabulary
  };
  const named = (id: number) => ({ id, text: textOf(id) });
  const read = ids.map((id) => ({ ...named(id), guesses: [] as LensToken["guesses"][number][] }));
  const states = scope(() => [...model.forward(ids, { wanted: (depth) => depth > 0 }).values()]); // L of [T, C]
  try {
    for (const state of states) {
      const values = await valuesOf(() => model.unembed(state)); // T·V
      for (const [t, { guesses }] of read.entries()) {
        const row = values.subarray(t * vocabSize, (t + 1) * vocabSize);
        const best = largest(row, top).sort((a, b) => row[b]! - row[a]!);
        const sum = row.reduce((total, logit) => total + exponential(logit - row[best[0]!]!), 0);
        guesses.push(best.map((id) => ({ ...named(id), probability: exponential(row[id]! - row[best[0]!]!) / sum })));
      }
    }
    return read;
  } finally {
    for (const state of states) state.dispose();
  }
}
