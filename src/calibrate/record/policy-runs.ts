/**
 * Counts of what candidate policies did when they were run (run-policies.ts), document by document, as plain data. They
 * serve every split of the documents.
 */
import type { FillName } from "../../exits/fill/index.js";
import type { ScoreName, Threshold } from "../../exits/heads/index.js";
import { orientThreshold, type Tally, type ThresholdVector } from "../procedures/index.js";
import type { Counted } from "./documents.js";
import type { Subject } from "./subject.js";

/** The policies to run: what they share, and the thresholds of each. */
export interface RunCandidates {
  readonly score: ScoreName;
  readonly fill: FillName;
  /** [candidates][exits], strictest first. */
  readonly thresholds: readonly (readonly Threshold[])[];
}

/** What every candidate did on one document. */
export interface DocumentCounts {
  /** [candidates, exits] tokens that left at each exit. */
  readonly left: readonly number[];
  /** [candidates, exits] of these, the tokens that differ from the full model's. */
  readonly wrong: readonly number[];
  /** [candidates] tokens that ran all blocks and still differ from the full model's. */
  readonly deep: readonly number[];
}

/** Plain, JSON-able. */
export interface PolicyRuns extends RunCandidates {
  readonly format: "early-exits/policy-runs";
  readonly version: 1;
  readonly subject: Subject;
  readonly sequenceLength: number;
  readonly documents: readonly (Counted & { readonly tokens: number; readonly counts: DocumentCounts })[];
}

/** The counts as a tally, of some of the documents in this order. */
export function tallyRuns(
  { documents, thresholds, subject }: PolicyRuns,
  order: readonly number[] = documents.map((_, d) => d),
): Tally {
  const chosen = order.map((d) => documents[d]!);
  return {
    documents: chosen.length,
    candidates: thresholds.length,
    exits: subject.depths.length,
    tokens: Int32Array.from(chosen, ({ tokens }) => tokens),
    left: Int32Array.from(chosen.flatMap(({ counts }) => counts.left)),
    wrong: Int32Array.from(chosen.flatMap(({ counts }) => counts.wrong)),
    deep: Int32Array.from(chosen.flatMap(({ counts }) => counts.deep)),
    active: Uint8Array.from(thresholds.flatMap((vector) => vector.map((threshold) => (threshold === "never" ? 0 : 1)))),
  };
}

/** The thresholds of runs as vectors of oriented scores. */
export function runVectors({ thresholds, score }: PolicyRuns): ThresholdVector[] {
  return thresholds.map((vector) => vector.map((threshold) => orientThreshold(threshold, score)));
}

/** Some candidates of a tally, by index; -1 stands for "never exit". */
export function pickVectors(tally: Tally, picked: readonly number[]): Tally {
  const { documents, candidates, exits } = tally;
  const pick = (from: Int32Array, width: number): Int32Array =>
    Int32Array.from({ length: documents * picked.length * width }, (_, i) => {
      const row = Math.floor(i / width);
      const column = i % width;
      const document = Math.floor(row / picked.length);
      const candidate = picked[row % picked.length]!;
      return candidate < 0 ? 0 : from[(document * candidates + candidate) * width + column]!;
    });
  const active = picked.flatMap((candidate) =>
    Array.from({ length: exits }, (_, exit) => (candidate < 0 ? 0 : tally.active[candidate * exits + exit]!)),
  );
  return {
    ...tally,
    candidates: picked.length,
    left: pick(tally.left, exits),
    wrong: pick(tally.wrong, exits),
    deep: pick(tally.deep, 1),
    active: Uint8Array.from(active),
  };
}
