/**
 * Tests whole threshold vectors, one after another, on all test documents: by fixed-sequence testing, by Bonferroni's
 * correction, or by conformal risk control, which bounds the mean loss without p-values. The model sees each test
 * document once, whatever the outcome.
 */
import type { CertificateCandidate, CertificateTest } from "../certificate/index.js";
import {
  certifyLosses,
  certifySelective,
  conformalRiskControl,
  type LossMatrix,
  type Tally,
  type ThresholdVector,
} from "../procedures/index.js";
import { type Evidence, judgedBy, pickVectors } from "../record/index.js";
import { isFair, lossesOf } from "./losses.js";
import { type ScoredSequence, selective, type Split, tokenOrDocument } from "./plan-sequence.js";
import type { CertifySettings } from "./settings.js";
import { cheapest, countsOf, neverTally, type TestResult } from "./test-result.js";

/** Tests the vectors of a sequence in their order. */
export async function testVectors(
  evidence: Evidence,
  split: Split,
  sequence: ScoredSequence,
  settings: CertifySettings,
): Promise<TestResult> {
  const { vectors, score } = sequence;
  const never = evidence.subject.depths.map(() => Infinity);
  const tested = evidence.documents.slice(split.grid);
  const other = judgedBy(evidence.subject).reference.kind === "other";
  const tallyTest = (asked: readonly ThresholdVector[]): Promise<Tally> =>
    evidence.tally(split.grid, split.grid + split.test, score, asked);
  if (vectors.length === 0) {
    const tally = other ? await tallyTest([never]) : neverTally(tested, never);
    return { tests: [], vector: never, impossible: other, tally, furtherUnits: null };
  }
  // Against another model, what "never exit" does must be seen too.
  const all = await tallyTest(other ? [...vectors, never] : vectors);
  const tally = pickVectors(
    all,
    vectors.map((_, candidate) => candidate),
  );
  const copies = tested.map((document) => document.copies);
  const decision = decide(tally, sequence, copies, settings);
  const { chosen, furtherUnits } = decision;
  const tests = [describeTest(tally, decision, sequence, { ...settings, other })];
  if (chosen !== "never") {
    const picked = pickVectors(tally, [chosen]);
    return { tests, vector: vectors[chosen]!, impossible: false, tally: picked, furtherUnits };
  }
  const untouched = other ? pickVectors(all, [vectors.length]) : neverTally(tested, never);
  return { tests, vector: never, impossible: other, tally: untouched, furtherUnits };
}

/** Which candidates are accepted, and why. */
interface Decision {
  readonly accepted: readonly number[];
  readonly chosen: number | "never";
  /** Per candidate. */
  readonly risks: readonly number[];
  /** Per candidate; null under conformal risk control. */
  readonly pValues: readonly (number | null)[];
  readonly furtherUnits: number | null;
}

/** Of the accepted candidates, the cheapest whose loss keeps the claim if copies of documents count too. */
function decide(
  tally: Tally,
  sequence: ScoredSequence,
  copies: readonly number[],
  settings: CertifySettings,
): Decision {
  const { epsilon, claim, unit = "document" } = settings;
  const decision = testAll(tally, sequence, settings);
  const fair = decision.accepted.filter((candidate) => isFair(tally, candidate, { claim, unit, epsilon, copies }));
  const chosen = cheapest(fair, sequence.costs);
  const furtherUnits = chosen === "never" && decision.accepted.length > 0 ? null : decision.furtherUnits;
  return { ...decision, chosen, furtherUnits };
}

function testAll(tally: Tally, { costs, bound }: ScoredSequence, settings: CertifySettings): Decision {
  const { epsilon, delta, claim } = settings;
  if (settings.procedure === "crc") return controlRisk(lossesOf(claim)(tally), epsilon, costs);
  const procedure = settings.procedure === "bonferroni" ? "bonferroni" : "fixedSequence";
  const unit = tokenOrDocument(settings);
  return claim === "selective"
    ? certifySelective(tally, { epsilon, delta, costs, procedure, unit, bound: selective(bound) })
    : certifyLosses(lossesOf(claim)(tally), { epsilon, delta, costs, procedure, bound });
}

/** Conformal risk control, which accepts if the mean loss R̂ <= ε (n+1)/n - 1/n, that is, n >= (1 - ε) / (ε - R̂). */
function controlRisk(losses: LossMatrix, epsilon: number, costs: readonly number[]): Decision {
  const { accepted, worstSoFar } = conformalRiskControl(losses, epsilon);
  const strictest = worstSoFar[0]!;
  const needed = strictest < epsilon ? Math.ceil((1 - epsilon) / (epsilon - strictest)) : null;
  const further = needed === null ? null : Math.max(1, needed - losses.units);
  return {
    accepted,
    chosen: cheapest(accepted, costs),
    risks: worstSoFar,
    pValues: costs.map(() => null),
    furtherUnits: accepted.length > 0 ? 0 : further,
  };
}

/** The test as the certificate holds it: with the counts of every candidate up to the first failure. */
function describeTest(
  tally: Tally,
  { accepted, chosen, risks, pValues }: Decision,
  { vectors, costs, score }: ScoredSequence,
  { procedure, delta, fill, other }: CertifySettings & { readonly other: boolean },
): CertificateTest {
  const planned = vectors.length;
  const tested = procedure === "bonferroni" ? planned : Math.min(planned, accepted.length + 1);
  const candidates = vectors.slice(0, tested).map((vector, i): CertificateCandidate => ({
    ...countsOf(tally, i, vector, { score, fill, other }),
    cost: costs[i]!,
    risk: risks[i]!,
    pValue: pValues[i] ?? null,
  }));
  return {
    exit: null,
    delta,
    first: 0,
    documents: tally.documents,
    candidates,
    planned,
    accepted: [...accepted],
    chosen,
  };
}
