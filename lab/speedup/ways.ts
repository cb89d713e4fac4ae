/**
 * The ways of decoding that are compared: plain, certified policies, the paper's thresholds at the same levels (no
 * guarantee), and lossless decoding.
 */
import { exactFill } from "early-exits";
import { calibratePaper } from "early-exits/calibrate";
import { createRng } from "early-exits/tensor";
import type { Way } from "early-exits/evaluate";
import type { Subject } from "./subject.js";
import { beginnings } from "./texts.js";

export interface NamedWay extends Way {
  /** The agreement that was asked for; undefined if the way is lossless. */
  readonly level?: number;
  readonly kind: "plain" | "certified" | "paper" | "lossless";
}

/** Prompts from documents in random order. */
export function promptsOf(
  { heads, texts }: Subject,
  part: "calibration" | "test",
  count: number,
): readonly (readonly number[])[] {
  return beginnings(heads.model, createRng(7).shuffle(texts[part]), count);
}

/** The ways that differ in their policy. */
export function lossyWays({ heads, certified, calibration }: Subject): NamedWay[] {
  const fill = exactFill(heads.model.config);
  const paper = certified.map(({ level }): NamedWay => {
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
    ...paper,
  ];
}

/** All ways. Drafts may be less certain than lossy exits, so they use the least certified agreement. */
export function allWays({ certified, times }: Subject, lossy: readonly NamedWay[]): NamedWay[] {
  const { level, policy } = certified.at(-1)!;
  return [
    { name: "plain", kind: "plain", options: {} },
    ...lossy,
    { name: `lossless, drafting at ${level}`, kind: "lossless", options: { policy, lossless: { costs: times } } },
  ];
}
