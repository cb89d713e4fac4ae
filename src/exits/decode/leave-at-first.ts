/**
 * Leaving at the first exit whose score passes its threshold: the rule that decoding, runs of policies on given text
 * and evaluation share. Calibration counts many vectors of thresholds on recorded columns at once
 * (calibrate/procedures/token-table.ts), and its verifier states the rule anew.
 */
import { type Confidence, exitFires, scoreOf } from "../heads/score.js";
import type { Policy } from "../plan/policy.js";

/** An exit's head, evaluated for the rows that came to it. */
export interface ExitVisit {
  /** One for each row. */
  readonly confidences: readonly Confidence[];
  /** Receives the raw score of each row, and whether it leaves. */
  leave(left: readonly boolean[], scores: readonly number[]): unknown;
}

/**
 * Takes rows from exit to exit, shallow to deep. `visit` evaluates an exit for the rows that no exit before it let
 * leave; exits that let none leave are skipped. Returns the rows that leave nowhere.
 */
export async function leaveAtFirst<Row>(
  { score: name, exits }: Pick<Policy, "score" | "exits">,
  rows: readonly Row[],
  visit: (exit: number, open: readonly Row[]) => ExitVisit | Promise<ExitVisit>,
): Promise<readonly Row[]> {
  let open = rows;
  for (const [exit, { threshold }] of exits.entries()) {
    if (threshold === "never" || open.length === 0) continue;
    const visited = await visit(exit, open);
    const scores = visited.confidences.map((confidence) => scoreOf(confidence, name));
    const left = scores.map((score) => exitFires(score, threshold, name));
    await visited.leave(left, scores);
    open = open.filter((_, r) => !left[r]);
  }
  return open;
}
