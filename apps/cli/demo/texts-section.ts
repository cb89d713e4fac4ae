/**
 * Sections 1, 4 and 5: a text by the plain model; the same prompt continued through exits, and losslessly beside plain
 * greedy decoding; these ways timed.
 */
import type { Policy } from "early-exits";
import { continuePrompt, type Demo, roomIn, samplingOf, timeWays } from "./demo.js";
import type { DemoHeads } from "./heads-section.js";

export type ModelSection = Awaited<ReturnType<typeof showModel>>;

export async function showModel(demo: Demo) {
  return {
    title: demo.documents.test[0]!.title,
    plain: await continuePrompt(demo, demo.model, samplingOf(demo)),
  };
}

export type TextsSection = Awaited<ReturnType<typeof writeTexts>>;

/** Sampled through exits, then greedy: exits and repetitions draft, the full model verifies. */
export async function writeTexts(demo: Demo, { used: heads }: DemoHeads, policy: Policy) {
  const exits = await continuePrompt(demo, heads, { ...samplingOf(demo), policy, allowUncertified: true });
  const plain = await continuePrompt(demo, demo.model, {});
  const lossless = await continuePrompt(demo, heads, { policy, lossless: true });
  return { exits, lossless, identical: lossless.summary.text === plain.summary.text };
}

export type SpeedSection = Awaited<ReturnType<typeof compareSpeeds>>;

/** Share of the demo's seconds. */
const TIMING_SHARE = 0.8;
const FEWEST_RUNS = 5;

export async function compareSpeeds(demo: Demo, { used: heads }: DemoHeads, policy: Policy) {
  const { model, io, maxNewTokens, prompts, seconds } = demo;
  const tokens = Math.min(2 * maxNewTokens, roomIn(model));
  const { runs, results } = await timeWays(io, heads, policy, prompts, {
    runs: Math.max(FEWEST_RUNS, demo.runs),
    maxNewTokens: tokens,
    budget: TIMING_SHARE * seconds,
  });
  return { runs, tokens, results };
}
