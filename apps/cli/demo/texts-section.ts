/**
 * Sections 1, 4 and 5: a text by the plain model; the same prompt continued through exits, and losslessly beside plain
 * greedy decoding; these ways timed.
 */
import type { Policy } from "early-exits";
import type { WayResult } from "early-exits/evaluate";
import { continuePrompt, type Demo, type DemoText, roomIn, samplingOf, timeWays } from "./demo.js";
import type { DemoHeads } from "./heads-section.js";

export interface ModelSection {
  readonly title: string;
  readonly plain: DemoText;
}

export async function showModel(demo: Demo): Promise<ModelSection> {
  return {
    title: demo.documents.test[0]!.title,
    plain: await continuePrompt(demo, demo.model, samplingOf(demo)),
  };
}

export interface TextsSection {
  /** Sampled, through exits. */
  readonly exits: DemoText;
  /** Greedy: exits draft, the full model verifies. */
  readonly lossless: DemoText;
  readonly identical: boolean;
}

export async function writeTexts(demo: Demo, { used: heads }: DemoHeads, policy: Policy): Promise<TextsSection> {
  const exits = await continuePrompt(demo, heads, { ...samplingOf(demo), policy, allowUncertified: true });
  const plain = await continuePrompt(demo, demo.model, {});
  const lossless = await continuePrompt(demo, heads, { policy, lossless: true });
  return { exits, lossless, identical: lossless.summary.text === plain.summary.text };
}

export interface SpeedSection {
  readonly runs: number;
  readonly tokens: number;
  /** Plain decoding first. */
  readonly results: readonly WayResult[];
}

/** Share of the demo's seconds. */
const TIMING_SHARE = 0.8;
const FEWEST_RUNS = 5;

export async function compareSpeeds(demo: Demo, { used: heads }: DemoHeads, policy: Policy): Promise<SpeedSection> {
  const { model, io, maxNewTokens, prompts, seconds } = demo;
  const tokens = Math.min(2 * maxNewTokens, roomIn(model));
  const { runs, results } = await timeWays(io, heads, policy, prompts, {
    runs: Math.max(FEWEST_RUNS, demo.runs),
    maxNewTokens: tokens,
    budget: TIMING_SHARE * seconds,
  });
  return { runs, tokens, results };
}
