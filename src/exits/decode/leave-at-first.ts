/**
 * Leaving at the first exit whose score passes its threshold: the rule of decoding, runs on given text and evaluation.
 * Calibration counts many thresholds on recorded columns at once (calibrate/procedures/token-table.ts), and its
 * verifier states the rule anew.
 */
import { type Confidence, exitFires, scoreOf } from "../heads/score.js";
import type { Policy } from "../plan/policy.js";

/** A head, evaluated for the rows that came to its exit. */
export interface ExitVisit {
  /** One for each row. */
  readonly confidences: readonly Confidence[];
  leave(left: readonly boolean[], scores: readonly number[]): unknown;
}

/**
 * Takes rows from exit to exit, shallow to deep. `visit` evaluates an exit for the rows that are left; "never" exits
 * are skipped. Returns the rows that leave nowhere.
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
