/**
 * Confidence scores of a row of logits z, with p = softmax(z), both sorted in descending order:
 *   entropy   -Σ p log p in nats (v2's choice; low means confident)      maxProb   p₁
 *   margin    z₁ - z₂ of the logits (v1's choice)                        probGap   p₁ - p₂ (CALM, Schuster et al. 2022)
 * `rowStats` computes the five numbers that all four follow from, so no softmax is stored. Public scores and thresholds
 * are raw values, each with its direction. Comparisons are inclusive, in calibration and in decoding. A
 * token leaves at the first exit whose score passes its threshold.
 */
import { PolicyError } from "../../errors.js";
import { exponential } from "../../model/elementary.js";
import { ROW_STATS, type Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { rowStats } from "../../tensor/ops/reduce.js";

export const scoreNames = ["entropy", "maxProb", "margin", "probGap"] as const;
export type ScoreName = (typeof scoreNames)[number];

/** A raw score, or one of the two decisions that need none (JSON has no infinity). */
export type Threshold = number | "always" | "never";

/** From which the scores of one position follow. */
export interface Confidence {
  /** The lowest id on ties. */
  readonly argmax: number;
  readonly top1: number;
  readonly top2: number;
  readonly logSumExp: number;
  /** Nats. */
  readonly entropy: number;
}

/** Statistics of a head's logits or, with a preview, of its vectors [R, C]. */
export interface LogitsReader {
  readonly scores: readonly ScoreName[];
  /** R·5 numbers in the layout of `rowStats`. With a preview, log-sum-exp and entropy are NaN. */
  readonly stats: (logits: Tensor) => Promise<Float32Array>;
  /** R·V numbers, over the whole vocabulary. */
  readonly allLogits: (logits: Tensor) => Promise<Float32Array>;
  /** -log p(id) in nats per row of logits: [R]. */
  readonly losses: (logits: Tensor, ids: readonly number[]) => Tensor;
}

/** "low" scores exit (entropy), or "high" ones. */
export function scoreDirection(name: ScoreName): "low" | "high" {
  return name === "entropy" ? "low" : "high";
}

export function scoreOf({ top1, top2, logSumExp, entropy }: Confidence, name: ScoreName): number {
  switch (name) {
    case "entropy":
      return entropy;
    case "maxProb":
      return exponential(top1 - logSumExp);
    case "margin":
      return top1 - top2;
    case "probGap":
      return exponential(top1 - logSumExp) - exponential(top2 - logSumExp);
  }
}

/** Negates a score if low means confident, so that larger is always more confident; its own inverse. */
export function orientScore(score: number, name: ScoreName): number {
  return scoreDirection(name) === "low" ? -score : score;
}

/** A NaN score never passes. */
export function exitFires(score: number, threshold: Threshold, name: ScoreName): boolean {
  if (threshold === "always") return true;
  if (threshold === "never") return false;
  return orientScore(score, name) >= orientScore(threshold, name);
}

/**
 * Which rows leave at an exit: the rule of decoding and of runs on given text. Calibration counts many thresholds on
 * recorded columns at once (calibrate/procedures/token-table.ts), and its verifier states the rule anew.
 */
export function decide(
  confidences: readonly Confidence[],
  name: ScoreName,
  threshold: Threshold,
): { readonly scores: readonly number[]; readonly left: readonly boolean[] } {
  const scores = confidences.map((confidence) => scoreOf(confidence, name));
  return { scores, left: scores.map((score) => exitFires(score, threshold, name)) };
}

/** Throws a PolicyError for an unknown name. */
export function checkScoreName(name: unknown): ScoreName {
  if (scoreNames.includes(name as ScoreName)) return name as ScoreName;
  throw new PolicyError(
    "score-unknown",
    `score: expected one of ${scoreNames.join(", ")}, found ${JSON.stringify(name)}`,
    { name },
  );
}

/** Row r of statistics [R, 5]. */
export function confidenceAt(stats: Float32Array, r: number): Confidence {
  const at = r * ROW_STATS.width;
  return {
    argmax: stats[at + ROW_STATS.argmax]!,
    top1: stats[at + ROW_STATS.top1]!,
    top2: stats[at + ROW_STATS.top2]!,
    logSumExp: stats[at + ROW_STATS.logSumExp]!,
    entropy: stats[at + ROW_STATS.entropy]!,
  };
}

/** Row r of statistics [R, 5]. */
export function scoreAt({ stats }: { readonly stats: Float32Array }, r: number, name: ScoreName): number {
  return scoreOf(confidenceAt(stats, r), name);
}

/** Rows of logits [R, V]: R·5 numbers. */
export function readStats(logits: Tensor): Promise<Float32Array> {
  return valuesOf(() => rowStats(logits));
}

export async function readConfidences(logits: Tensor): Promise<Confidence[]> {
  return confidencesIn(await readStats(logits));
}

export function confidencesIn(stats: Float32Array): Confidence[] {
  const confidences: Confidence[] = [];
  for (let r = 0; r < stats.length / ROW_STATS.width; r++) confidences.push(confidenceAt(stats, r));
  return confidences;
}
