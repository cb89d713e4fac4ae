/**
 * Perplexity by the full model: exp of the mean of -log p(token | text before it) over the continuations of prompts.
 */
import type { Model } from "early-exits";

/** Text i begins with the tokens of prompt i, which are not counted. */
export async function perplexityOf(
  model: Model,
  texts: readonly (readonly number[])[],
  prompts: readonly (readonly number[])[],
): Promise<number> {
  const { vocabSize } = model.config;
  let nats = 0;
  let tokens = 0;
  for (const [i, ids] of texts.entries()) {
    const from = prompts[i]!.length;
    const logits = await model.logits(ids.slice(0, -1)); // [T - 1, V]
    for (let t = from; t < ids.length; t++) {
      const row = logits.subarray((t - 1) * vocabSize, t * vocabSize);
      const max = row.reduce((largest, value) => Math.max(largest, value), -Infinity);
      const total = row.reduce((sum, value) => sum + Math.exp(value - max), 0);
      nats += max + Math.log(total) - row[ids[t]!]!;
      tokens++;
    }
  }
  return Math.exp(nats / tokens);
}
