/**
 * The test of a sequence on all test documents: which candidates are accepted, and which is chosen. The model sees each
 * test document once, whatever the outcome. If documents were given more than once, the loss that counts every copy
 * must keep the claim too:
 *   Σ_u (Σ_{d in u} c_d x_d / n_u) / Σ_u (Σ_{d in u} c_d / n_u)  <=  ε     c_d copies, n_u documents of unit u
 */
import { type FillName, isExactFill } from "../../exits/fill/fill.js";
import type { ScoreName } from "../../exits/heads/score.js";
import type { CertificateCandidate, CertificateCounts, CertificateTest } from "../certificate/certificate.js";
import { byDocument, lossesOf, type LossMatrix, type Tally, unitMeans } from "../procedures/tally.js";
import { certifyLosses, cheapest } from "../procedures/certify-losses.js";
import { rawThreshold, type ThresholdVector } from "../procedures/token-table.js";
import { type Evidence, tallyIn } from "../record/evidence.js";
import { judgedBy, lossOf } from "../record/subject.js";
import { pickVectors } from "../record/policy-runs.js";
import type { ScoredSequence } from "./plan-test.js";
import type { CertifySettings } from "./settings.js";

export interface TestResult {
  /** null if there was no candidate. */
  readonly test: CertificateTest | null;
  /** The cheapest accepted vector, or "never exit". */
  readonly vector: ThresholdVector;
  /** Nothing was accepted, and another model is the reference, so that "never exit" is no fallback. */
  readonly impossible: boolean;
  /** Its counts on all test documents. */
  readonly tally: Tally;
  /**
   * 0 if a vector that exits was accepted; otherwise about how many more units are needed, null if no number would do.
   */
  readonly furtherUnits: number | null;
}

export async function runTest(
  evidence: Evidence,
  sequence: ScoredSequence,
  settings: CertifySettings,
): Promise<TestResult> {
  const { vectors, costs, score } = sequence;
  const { subject, documents, grid } = evidence;
  const { epsilon, delta, fill } = settings;
  const loss = lossOf(subject, settings.loss);
  const never = subject.depths.map(() => Infinity);
  const tested = documents.slice(grid);
  const other = judgedBy(subject).reference.kind === "other";
  // Against another model, "never exit" must run too.
  const asked = other ? [...vectors, never] : vectors;
  const all = asked.length === 0 ? undefined : await tallyIn(evidence, grid, documents.length, score, asked);
  const unchanged = other ? pickVectors(all!, [vectors.length]) : neverTally(tested, never);
  const nothing = { vector: never, impossible: other, tally: unchanged };
  if (vectors.length === 0) return { ...nothing, test: null, furtherUnits: null };
  const tally = pickVectors(all!, [...vectors.keys()]);
  const decision = certifyLosses(lossesOf(tally, loss), { epsilon, delta, costs });
  const { accepted, risks, pValues } = decision;
  const byCopies = lossesOf(byDocument(tally), loss);
  const copies = tested.map((document) => document.copies);
  const fair = [...vectors.keys()]
    .slice(0, accepted)
    .filter((candidate) => isFair(byCopies, candidate, { tally, copies, epsilon }));
  const place = cheapest(fair.map((candidate) => costs[candidate]!));
  const chosen = place === "never" ? place : fair[place]!;
  const candidates = vectors.slice(0, accepted + 1).map((vector, i): CertificateCandidate => ({
    ...countsOf(tally, i, vector, { score, fill, other }),
    cost: costs[i]!,
    risk: risks[i]!,
    pValue: pValues[i]!,
  }));
  const test = { candidates, planned: vectors.length, accepted, chosen };
  if (chosen === "never") return { ...nothing, test, furtherUnits: accepted > 0 ? null : decision.furtherUnits };
  return { test, vector: vectors[chosen]!, impossible: false, tally: pickVectors(tally, [chosen]), furtherUnits: 0 };
}

/** Every copy of a document counts here. */
function isFair(
  { candidates, values }: LossMatrix,
  candidate: number,
  { tally, copies, epsilon }: { readonly tally: Tally; readonly copies: readonly number[]; readonly epsilon: number },
): boolean {
  if (copies.every((count) => count === 1)) return true;
  const sumOfMeans = (of: Float64Array): number => unitMeans(of, tally).reduce((sum, value) => sum + value, 0);
  const weighted = Float64Array.from(copies, (count, d) => count * values[d * candidates + candidate]!);
  return sumOfMeans(weighted) / sumOfMeans(Float64Array.from(copies)) <= epsilon;
}

/** Compared with the model itself, "never exit" changes nothing. */
function neverTally(documents: readonly { readonly tokens: number }[], never: ThresholdVector): Tally {
  const size = documents.length * never.length;
  return {
    documents: documents.length,
    candidates: 1,
    exits: never.length,
    tokens: Int32Array.from(documents, ({ tokens }) => tokens),
    left: new Int32Array(size),
    wrong: new Float64Array(size),
    deep: new Float64Array(documents.length),
    active: new Uint8Array(never.length),
  };
}

interface Terms {
  readonly score: ScoreName;
  readonly fill: FillName;
  readonly other: boolean;
}

export function countsOf(
  { documents, candidates, exits, left, wrong, deep }: Tally,
  candidate: number,
  vector: ThresholdVector,
  { score, fill, other }: Terms,
): CertificateCounts {
  const rows = (from: Int32Array | Float64Array, width: number): number[] =>
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
