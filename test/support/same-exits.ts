/**
 * Early-exit decoding on two devices side by side: the same tokens from the same depths, except where a score lies at
 * its threshold.
 */
import { createPolicy, type ExitHeads, generate, type GeneratedToken, type ScoreName } from "early-exits";
import type { DecodeEvent } from "early-exits/exits";

/** Two devices' scores of the same state differ by as much as their logits may. */
export const SCORE = 1e-4;

export interface ExitComparison {
  readonly prompts: number;
  /** Heads evaluated on the first device, up to where the two parted. */
  readonly decisions: number;
  /** Those of them whose score lay within SCORE of its threshold: where the devices may part. */
  readonly close: number;
  /** Prompts after which the two gave another token, or the same from another depth. */
  readonly parted: number;
  /** Those that parted at a decision that was not close: none, if the devices agree. */
  readonly unexplained: readonly {
    readonly prompt: number;
    readonly token: number;
    readonly scores: readonly (readonly number[])[];
  }[];
  /** Depths that tokens left at, and how many did. */
  readonly depths: ReadonlyMap<number, number>;
}

interface Traced {
  readonly tokens: readonly GeneratedToken[];
  /** By token: the scores of the heads that were evaluated. */
  readonly scores: readonly (readonly number[])[];
}

async function trace(
  heads: ExitHeads,
  prompt: readonly number[],
  thresholds: readonly number[],
  score: ScoreName,
  maxNewTokens: number,
): Promise<Traced> {
  const tokens: GeneratedToken[] = [];
  const scores: number[][] = [];
  const observer = {
    observe(event: DecodeEvent) {
      if (event.type === "exit") (scores[event.position - prompt.length + 1] ??= []).push(event.score);
    },
  };
  for await (const token of generate(heads, prompt, {
    policy: createPolicy(heads, thresholds, { score }),
    maxNewTokens,
    stopAtEndOfText: false,
    observer,
  })) {
    tokens.push(token);
  }
  return { tokens, scores };
}

/** Decodes every prompt on both devices. */
export async function compareExits(
  one: ExitHeads,
  other: ExitHeads,
  prompts: readonly (readonly number[])[],
  {
    thresholds,
    score = "entropy",
    maxNewTokens = 16,
  }: { readonly thresholds: readonly number[]; readonly score?: ScoreName; readonly maxNewTokens?: number },
): Promise<ExitComparison> {
  let decisions = 0;
  let close = 0;
  let parted = 0;
  const unexplained: { prompt: number; token: number; scores: readonly (readonly number[])[] }[] = [];
  const depths = new Map<number, number>();
  const isClose = (value: number, exit: number): boolean => Math.abs(value - thresholds[exit]!) < SCORE;
  for (const [p, prompt] of prompts.entries()) {
    const expected = await trace(one, prompt, thresholds, score, maxNewTokens);
    const found = await trace(other, prompt, thresholds, score, maxNewTokens);
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
  return { prompts: prompts.length, decisions, close, parted, unexplained, depths };
}
