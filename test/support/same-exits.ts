/**
 * Early-exit decoding on two devices side by side: the same tokens from the same depths, unless a score lies close to
 * its threshold.
 */
import { createPolicy, type ExitHeads, type ScoreName } from "early-exits";
import type { DecodeEvent } from "../../src/exits/decode/observe.js";
import { generated } from "./generated.js";

/** Largest difference between two devices' scores of the same state: that of their logits. */
export const SCORE = 1e-4;

export interface CompareExitsOptions {
  /** One for every head. */
  readonly thresholds: readonly number[];
  /** @default "entropy" */
  readonly score?: ScoreName;
  /** @default 16 */
  readonly maxNewTokens?: number;
}

/** The tokens after a prompt, and per token the scores of the heads that were evaluated. */
async function trace(
  heads: ExitHeads,
  prompt: readonly number[],
  { thresholds, score = "entropy", maxNewTokens = 16 }: CompareExitsOptions,
) {
  const scores: number[][] = [];
  const observer = {
    observe(event: DecodeEvent) {
      if (event.type === "exit") (scores[event.position - prompt.length + 1] ??= []).push(event.score);
    },
  };
  const policy = createPolicy(heads, thresholds, { score });
  const { tokens } = await generated(heads, prompt, { policy, maxNewTokens, observer });
  return { tokens, scores };
}

/**
 * Decodes every prompt on both devices, and compares tokens and depths: `decisions` are the heads evaluated on the
 * first device, up to the first token that differs; `close` those whose score was within SCORE of its threshold, at
 * which the devices may decide differently; `parted` the prompts after which the two chose different tokens, or the
 * same token at different depths; `unexplained` those that parted at a decision that was not close, none if the devices
 * agree; `depths` the number of tokens by the depth at which they left.
 */
export async function compareExits(
  one: ExitHeads,
  other: ExitHeads,
  prompts: readonly (readonly number[])[],
  options: CompareExitsOptions,
) {
  let decisions = 0;
  let close = 0;
  let parted = 0;
  const unexplained: { prompt: number; token: number; scores: unknown }[] = [];
  const depths = new Map<number, number>();
  const isClose = (value: number, exit: number) => Math.abs(value - options.thresholds[exit]!) < SCORE;
  for (const [p, prompt] of prompts.entries()) {
    const expected = await trace(one, prompt, options);
    const found = await trace(other, prompt, options);
    const at = expected.tokens.findIndex(
      ({ id, depth }, t) => id !== found.tokens[t]!.id || depth !== found.tokens[t]!.depth,
    );
    for (const scores of expected.scores.slice(0, at < 0 ? undefined : at + 1)) {
      decisions += scores.length;
      close += scores.filter(isClose).length;
    }
    for (const { depth } of found.tokens) depths.set(depth, (depths.get(depth) ?? 0) + 1);
    if (at < 0) continue;
    parted++;
    if (!expected.scores[at]!.some(isClose)) {
      unexplained.push({ prompt: p, token: at, scores: [expected.scores[at]!, found.scores[at]!] });
    }
  }
  return { decisions, close, parted, unexplained, depths };
}
