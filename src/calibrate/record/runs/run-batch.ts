/**
 * Candidate policies on given text (teacher-forced), as `generate` would run them: positions before the first judged
 * one are a prompt; from there on the policy emits a token at each position, which is compared with the reference's on
 * the same prefix, computed with all keys and values (for sampled text, the distributions); then the document's own
 * token follows. Documents run together, each with the tokens it would get alone. Argmaxes take a few passes
 * (run-forced.ts), distributions go token by token (run-tokens.ts).
 */
import type { CancelSignal } from "../../../cancel-signal.js";
import type { ExitHeads } from "../../../exits/heads/exit-heads.js";
import { createPolicy } from "../../../exits/plan/policy.js";
import type { HashedDocument } from "../documents.js";
import type { Judge } from "../judge.js";
import type { DocumentCounts, RunCandidates } from "../policy-runs.js";
import { runnerAtOnce } from "./run-forced.js";
import { runnerByTokens } from "./run-tokens.js";

interface RunBatchOptions {
  readonly judge: Judge;
  readonly signal: CancelSignal | undefined;
  /** Called after every candidate. */
  readonly onCandidate: (candidate: number) => Promise<void>;
}

/** The counts of each text, of one candidate after another. */
export async function runBatch(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { score, fill, thresholds }: RunCandidates,
  { judge, signal, onCandidate }: RunBatchOptions,
): Promise<DocumentCounts[][]> {
  const counts = texts.map(() =>
    thresholds.map((vector) => ({ left: vector.map(() => 0), wrong: vector.map(() => 0), deep: [0] })),
  );
  const runner = await (judge.greedy ? runnerAtOnce : runnerByTokens)(heads, texts, judge, signal);
  try {
    for (const [candidate, vector] of thresholds.entries()) {
      // A policy that never exits is the full model.
      if (judge.other || vector.some((threshold) => threshold !== "never")) {
        await runner.run(createPolicy(heads, vector, { score, fill }), (text, { exit, loss }) => {
          const { left, wrong, deep } = counts[text]![candidate]!;
          if (exit === undefined) deep[0]! += loss;
          else {
            left[exit]!++;
            wrong[exit]! += loss;
          }
        });
      }
      await onCandidate(candidate);
    }
  } finally {
    runner.dispose();
  }
  return counts;
}
