/**
 * The ways of decoding that are compared: plain, certified policies, the paper's thresholds at the same levels (no
 * guarantee), lossless decoding, and LayerSkip's fixed exit with a fixed draft length. Drafting is tuned on the
 * beginnings of calibration documents, separately for greedy and for sampled text.
 */
import { exactFill, type SamplingOptions } from "early-exits";
import { calibratePaper, cheapestDrafting, recordDrafting, type TunedDrafting } from "early-exits/calibrate";
import { createRng } from "early-exits/tensor";
import type { Way } from "early-exits/evaluate";
import { beginnings, cheapestFixedExit, type FixedExit } from "../lossless/index.js";
import type { Subject } from "./subject.js";

/** For drafting: acceptance is counted by classes of scores, and one prompt per run would fill too few of them. */
const TUNING_PROMPTS = 100;

export interface NamedWay extends Way {
  /** The agreement that was asked for; undefined if the way is lossless. */
  readonly level?: number;
  readonly kind: "plain" | "certified" | "paper" | "lossless";
}

/** Settings of lossless decoding, tuned on the same texts. */
export interface Drafting {
  readonly tuned: TunedDrafting;
  readonly fixed: FixedExit;
}

/** Prompts from documents in random order. */
export function promptsOf(
  { heads, texts }: Subject,
  part: "calibration" | "test",
  count: number,
): readonly (readonly number[])[] {
  return beginnings(heads.model, createRng(7).shuffle(texts[part]), count);
}

export async function tuneFor(subject: Subject, tokens: number, sampling: SamplingOptions): Promise<Drafting> {
  const { heads, times } = subject;
  const recorded = await recordDrafting(heads, promptsOf(subject, "calibration", TUNING_PROMPTS), {
    maxNewTokens: tokens,
    stopAtEndOfText: false,
    ...sampling,
  });
  return { tuned: cheapestDrafting(heads, recorded, times), fixed: cheapestFixedExit(heads, recorded, times) };
}

/** The ways that differ in their policy. */
export async function lossyWays({ heads, certified, calibration }: Subject): Promise<NamedWay[]> {
  const fill = exactFill(heads.model.config);
  const paper = certified.map(async ({ level }): Promise<NamedWay> => {
    const { policy } = calibratePaper(calibration, { agreement: level, score: "entropy", fill });
    return { name: `paper's rule, ${level}`, kind: "paper", level, options: { policy } };
  });
  return [
    ...certified.map(({ level, policy }): NamedWay => ({
      name: `certified ${level}`,
      kind: "certified",
      level,
      options: { policy },
    })),
    ...(await Promise.all(paper)),
  ];
}

/** All ways. Drafts may be less certain than lossy exits, so they also use the least certified agreement. */
export function allWays(
  { certified, times }: Subject,
  lossy: readonly NamedWay[],
  { tuned, fixed }: Drafting,
): NamedWay[] {
  const least = certified.at(-1)!;
  return [
    { name: "plain", kind: "plain", options: {} },
    ...lossy,
    {
      name: `lossless, drafting at ${least.level}`,
      kind: "lossless",
      options: { policy: least.policy, lossless: { costs: times } },
    },
    { name: "lossless, tuned for time", kind: "lossless", options: { policy: tuned.policy, lossless: tuned.lossless } },
    {
      name: "LayerSkip's fixed exit, tuned",
      kind: "lossless",
      options: { policy: fixed.policy, lossless: { draftLimit: fixed.draftLimit } },
    },
  ];
}
