/** What a test yields, in the terms of the certificate. */
import { type FillName, isExactFill } from "../../exits/fill/index.js";
import type { ScoreName } from "../../exits/heads/index.js";
import type { CertificateCounts, CertificateTest } from "../certificate/index.js";
import { type Counts, rawThreshold, type Tally, type ThresholdVector } from "../procedures/index.js";

export interface TestResult {
  readonly tests: readonly CertificateTest[];
  /** The cheapest accepted vector, or "never exit". */
  readonly vector: ThresholdVector;
  /** Nothing was accepted, and "never exit" is no fallback, since another model is the reference. */
  readonly impossible: boolean;
  /** What this vector does on all test documents: a tally of one candidate. */
  readonly tally: Tally;
  /**
   * 0 if a vector that exits was accepted; otherwise about how many more units would be needed, null if no number would
   * do.
   */
  readonly furtherUnits: number | null;
}

/** The cheapest accepted candidate, the earliest of equals; "never" if none is accepted. */
export function cheapest(accepted: readonly number[], costs: readonly number[]): number | "never" {
  if (accepted.length === 0) return "never";
  return accepted.reduce((best, candidate) => (costs[candidate]! < costs[best]! ? candidate : best));
}

/** What "never exit" does, compared with the model itself: nothing. */
export function neverTally(documents: readonly { readonly tokens: number }[], never: ThresholdVector): Tally {
  const size = documents.length * never.length;
  return {
    documents: documents.length,
    candidates: 1,
    exits: never.length,
    tokens: Int32Array.from(documents, ({ tokens }) => tokens),
    left: new Int32Array(size),
    wrong: new Int32Array(size),
    deep: new Int32Array(documents.length),
    active: new Uint8Array(never.length),
  };
}

/** Score and fill of the thresholds, and whether another model is the reference. */
export interface Terms {
  readonly score: ScoreName;
  readonly fill: FillName;
  readonly other: boolean;
}

/** What one candidate of a tally does, document after document. */
export function countsOf(
  { documents, candidates, exits, left, wrong, deep }: Tally,
  candidate: number,
  vector: ThresholdVector,
  { score, fill, other }: Terms,
): CertificateCounts {
  const rows = (from: Counts, width: number): number[] =>
    Array.from({ length: documents * width }, (_, i) => {
      const document = Math.floor(i / width);
      return from[(document * candidates + candidate) * width + (i % width)]!;
    });
  return {
    thresholds: vector.map((threshold) => rawThreshold(threshold, score)),
    left: rows(left, exits),
    wrong: rows(wrong, exits),
    deep: isExactFill(fill) && !other ? [] : rows(deep, 1),
  };
}
