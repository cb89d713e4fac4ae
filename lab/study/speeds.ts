/**
 * Wall-clock speeds of the study's models: plain decoding of all models in turn, and the ways of decoding of each model
 * in turn. Needs a quiet machine for a few minutes; everything else is done before.
 */
import { type ExitHeads, generate, type Model } from "early-exits";
import { compareWays, type Way, type WayResult } from "early-exits/evaluate";
import { processIo } from "../../apps/cli/process-io.js";
import { withProgress } from "../../apps/cli/progress.js";
import { drain, type Timing, timingOf } from "../speed/timing.js";
import type { StudiedBackbone, Texts } from "./backbone.js";

export const RUNS = 24;
export const NEW_TOKENS = 100;
const PROMPT_TOKENS = 24;

export interface BackboneSpeeds {
  readonly plain: WayResult;
  /** With the certified policies, in the order of their levels; relative to the same model's plain decoding. */
  readonly levels: readonly WayResult[];
  readonly lossless: WayResult;
}

/** The first tokens of documents. */
function promptsOf(model: Model, documents: readonly string[]): number[][] {
  return documents.slice(0, RUNS).map((text) => model.tokenizer.encode(text).slice(0, PROMPT_TOKENS));
}

/** Greedy decoding of test prompts: plain, with each certified policy, and lossless, drafting by the last. */
export async function backboneSpeeds(
  heads: ExitHeads,
  { levels }: StudiedBackbone,
  texts: Texts,
): Promise<BackboneSpeeds> {
  const { model } = heads;
  const ways: Way[] = [
    { name: "plain", options: {} },
    ...levels.map(({ agreement, policy }) => ({ name: String(agreement), options: { policy } })),
    { name: "lossless", options: { policy: levels.at(-1)!.policy, lossless: true } },
  ];
  const io = processIo();
  const { results } = await withProgress(io, "generate", (report) =>
    compareWays(heads, ways, promptsOf(model, texts.test), {
      runs: RUNS,
      maxNewTokens: NEW_TOKENS,
      signal: io.signal,
      onRun: (event) => report({ ...event, text: "runs" }),
    }),
  );
  return { plain: results[0]!, levels: results.slice(1, -1), lossless: results.at(-1)! };
}

/** Tokens per second of plain greedy decoding; the models take turns on the same prompts. */
export async function plainSpeeds(models: readonly Model[], texts: Texts): Promise<Timing[]> {
  const prompts = promptsOf(models[0]!, texts.test);
  const speeds = models.map<number[]>(() => []);
  // Run -1 warms up.
  for (let run = -1; run < RUNS; run++) {
    for (const index of models.keys()) {
      const generation = generate(models[index]!, prompts[Math.max(0, run)]!, {
        maxNewTokens: NEW_TOKENS,
        stopAtEndOfText: false,
      });
      await drain(generation);
      if (run >= 0) speeds[index]!.push(generation.summary.tokensPerSecond);
    }
  }
  return speeds.map(timingOf);
}
