/** Section 5: plain decoding, exits and lossless decoding, timed in turn on the same prompts. */
import type { Policy } from "early-exits";
import { compareWays, type Way, type WayResult } from "early-exits/evaluate";
import { withProgress } from "../progress.js";
import { type Demo, roomIn } from "./demo.js";
import type { DemoHeads } from "./heads-section.js";

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
  const { model, io, maxNewTokens } = demo;
  const ways: Way[] = [
    { name: "plain", options: {} },
    { name: "exits", options: { policy } },
    { name: "lossless", options: { policy, lossless: true } },
  ];
  const tokens = Math.min(2 * maxNewTokens, roomIn(model));
  const { runs, results } = await withProgress(io, "generate", (report) =>
    compareWays(heads, ways, demo.prompts, {
      runs: Math.max(FEWEST_RUNS, demo.runs),
      maxNewTokens: tokens,
      budget: TIMING_SHARE * demo.seconds,
      now: io.now,
      signal: io.signal,
      onRun: (event) => report({ ...event, text: "runs" }),
    }),
  );
  return { runs, tokens, results };
}
