/**
 * Tests whole threshold vectors, one after another, on all test documents: by fixed-sequence testing, by Bonferroni's
 * correction, or by conformal risk control, which bounds the mean loss without p-values.
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
import { lossesOf } from "./losses.js";
import type { ScoredSequence, Split } from "./plan-sequence.js";
import { type CertifySettings, selectiveBound } from "./settings.js";
import { cheapest, countsOf, type TestResult } from "./test-result.js";

/** Tests the vectors of a sequence in their order. */
export async function testVectors(
  evidence: Evidence,
  split: Split,
  sequence: ScoredSequence,
  settings: CertifySettings,
): Promise<TestResult> {
  const { vectors, score } = sequence;
  const never = evidence.subject.depths.map(() => Infinity);
  const tallyTest = (asked: readonly ThresholdVector[]): Promise<Tally> =>
    evidence.tally(split.grid, split.grid + split.test, score, asked);
  const other = judgedBy(evidence.subject).reference.kind === "other";
  if (vectors.length === 0) {
    return { tests: [], vector: never, impossible: other, tally: await tallyTest([never]), furtherUnits: null };
  }
  const tally = await tallyTest(vectors);
  const decision = decide(tally, sequence.costs, settings);
  const { chosen, furtherUnits } = decision;
  const tests = [describeTest(tally, decision, sequence, { ...settings, other })];
  return chosen === "never"
    ? { tests, vector: never, impossible: other, tally: await tallyTest([never]), furtherUnits }
    : { tests, vector: vectors[chosen]!, impossible: false, tally: pickVectors(tally, [chosen]), furtherUnits };
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

function decide(tally: Tally, costs: readonly number[], settings: CertifySettings): Decision {
  const { epsilon, delta, claim, unit, bound } = settings;
  if (settings.procedure === "crc") return controlRisk(lossesOf(claim)(tally), epsilon, costs);
  const procedure = settings.procedure === "bonferroni" ? "bonferroni" : "fixedSequence";
  return claim === "selective"
    ? certifySelective(tally, { epsilon, delta, costs, procedure, unit, bound: selectiveBound(settings) })
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
