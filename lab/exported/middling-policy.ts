/** A policy that lets about half of the tokens leave at every exit that they reach, whatever the heads are worth. */
import { createPolicy, type ExitHeads, type Policy, type PolicyOptions } from "../../src/index.js";
import { orientScore, scoreAt } from "../../src/exits/index.js";
import { scope } from "../../src/tensor/index.js";

/** Thresholds are the medians of the scores over the positions of `ids`. */
export async function middlingPolicy(
  heads: ExitHeads,
  ids: readonly number[],
  { score = "margin", ...options }: PolicyOptions = {},
): Promise<Policy> {
  const thresholds: number[] = [];
  for (const head of heads.heads) {
    const state = scope(() => heads.model.forward(ids, { toDepth: head.depth }).get(head.depth)!);
    const logits = await head.logits(state);
    const stats = await head.stats(logits);
    const scores = ids.map((_, r) => orientScore(scoreAt({ stats }, r, score), score)).sort((a, b) => a - b);
    thresholds.push(orientScore(scores[scores.length >> 1]!, score));
    state.dispose();
    logits.dispose();
  }
  return createPolicy(heads, thresholds, { score, ...options });
}
