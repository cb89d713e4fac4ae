/** Verdicts: a result's meaning in words and numbers, a command's last lines. */
import type { Certificate } from "early-exits";
import type { PaperCalibration } from "early-exits/calibrate";
import type { WayResult } from "early-exits/evaluate";
import type { ExitQuality } from "early-exits/exits";
import { percent, speed } from "../format.js";

/** Ratios this close to 1 are within a machine's variation. */
const NOISE = 0.03;

/** Level at which heads are judged before anything is certified. */
const JUDGED_LEVEL = 0.9;

/** Verdict by counts, at an agreement of 0.90. */
export function trainingVerdict(after: readonly ExitQuality[]): string[] {
  const at = after.map(({ depth, levels }) => ({ depth, ...levels.find(({ level }) => level === JUDGED_LEVEL) }));
  const best = at.toSorted((a, b) => (b.speedup ?? 0) - (a.speedup ?? 0))[0];
  if (best?.speedup === undefined) return ["verdict: too few documents to hold some out; calibrate will tell"];
  const level = percent(JUDGED_LEVEL, 0);
  if (best.speedup <= 1 + NOISE) {
    return [
      `verdict: no exit pays at ${level} agreement by the counts of multiply-adds (${times(best.speedup)} at best); ` +
        "train on more documents, or for more --steps",
    ];
  }
  return [
    `verdict: at ${level} agreement, the exit after block ${best.depth} alone is worth ${times(best.speedup)} by the ` +
      "counts of multiply-adds; calibrate certifies a policy and times it",
  ];
}

export type Race = readonly [plain: WayResult, exits: WayResult];

export type Worth = "faster" | "even" | "slower" | "never exits";

/** Worth of a policy; without a race it never exits. */
export function worthOf(race: Race | undefined): Worth {
  const ratio = race?.[1].ratio.paired;
  if (ratio === undefined) return "never exits";
  if (ratio > 1 + NOISE) return "faster";
  return ratio < 1 - NOISE ? "slower" : "even";
}

/** Compares the runs one by one, because the machine may become slower during a race. */
export function calibrationVerdict(
  certificate: Certificate | PaperCalibration["certificate"],
  race: Race | undefined,
): string {
  const standing = "guarantee" in certificate ? "not certified (the paper's procedure promises nothing)" : "certified";
  if (race === undefined) return "verdict: not certified; this policy never exits, and decodes as the plain model does";
  const { low, paired, high } = race[1].ratio;
  const ratio = times(paired);
  const spread = `paired runs, quartiles ${low.toFixed(2)} to ${high.toFixed(2)}`;
  const words = {
    faster: `${ratio} as fast as plain decoding (${spread})`,
    even: `but no faster than plain decoding (${ratio}, ${spread})`,
    slower: `but slower than plain decoding (${ratio}, ${spread}): do not use it here`,
    "never exits": "",
  } as const satisfies Record<Worth, string>;
  const [plain, exits] = race.map(({ tokensPerSecond }) => speed(tokensPerSecond));
  return `verdict: ${standing}, ${words[worthOf(race)]}; medians ${exits} against ${plain} plain on this machine`;
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}
