/** Section 5: plain decoding, exits and lossless decoding, timed in turn on the same prompts. */
import { exactFill, type Policy, tuneDrafting } from "../../index.js";
import { withFill } from "../../exits/index.js";
import { compareWays, type Way, type WayResult } from "../../evaluate/index.js";
import { withProgress } from "../progress.js";
import { type Demo, PROMPT_TOKENS, roomIn } from "./demo.js";
import { promptsOf } from "./documents.js";
import type { DemoHeads } from "./heads-section.js";

export interface SpeedSection {
  readonly runs: number;
  readonly tokens: number;
  /** The first is plain decoding. */
  readonly results: readonly WayResult[];
}

/** Prompts that drafting is tuned on. */
const TUNING_PROMPTS = 10;
/** Share of the demo's seconds. */
const TIMING_SHARE = 0.8;
const FEWEST_RUNS = 5;

export async function compareSpeeds(demo: Demo, { used: heads }: DemoHeads, policy: Policy): Promise<SpeedSection> {
  const { model, documents, io, maxNewTokens } = demo;
  // Drafts are verified, so their thresholds need not be those of lossy decoding: they are tuned for time, on other
  // prompts.
  const tuning = promptsOf(model, documents.calibration, PROMPT_TOKENS).slice(0, TUNING_PROMPTS);
  const drafting = await tuneDrafting(heads, tuning, { maxNewTokens, signal: io.signal });
  const ways: Way[] = [
    { name: "plain", options: {} },
    ...lossyWays(demo, policy),
    { name: "lossless", options: { policy: drafting.policy, lossless: drafting.lossless } },
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

/** Blocks that share keys and values lack none after an exit; for others, both ways to fill them are timed. */
function lossyWays({ model }: Demo, policy: Policy): Way[] {
  if (exactFill(model.config) === "shared") return [{ name: "exits", options: { policy } }];
  return (["lazy", "propagate"] as const).map((fill) => ({
    name: `exits, ${fill}`,
    options: { policy: withFill(policy, fill) },
  }));
}
