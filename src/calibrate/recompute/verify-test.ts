/**
 * One test sequence, recomputed: the counts, risk and p-value of every candidate, which candidates are accepted, and
 * which of them is chosen.
 */
import type { Certificate, CertificateCandidate, CertificateTest } from "../certificate/index.js";
import { checkCounts, countsAt, lossesOf } from "./verify-counts.js";
import { binomialAtMost } from "./verify-binomial.js";
import { meanP } from "./verify-p-values.js";
import { unitMeans, unitStarts, weightedMean } from "./verify-units.js";
import { type Check, close, same, sum } from "./verify-values.js";

/** The documents of a test. */
interface Tested {
  readonly tokens: readonly number[];
  readonly copies: readonly number[];
  /** Which of them make up each unit. */
  readonly starts: readonly number[];
}

/** What follows from the counts of a candidate. */
interface Judged {
  readonly risk: number;
  readonly pValue: number | null;
  /** Whether the loss, weighted by copies of documents, is within what the claim allows. */
  readonly fair: boolean;
}

/** Checks the test with this index. */
export function checkTest(c: Certificate, test: CertificateTest, index: number, check: Check): void {
  const where = `test ${index}`;
  if (!checkDocuments(c, test, index, check)) return;
  check(
    test.planned >= test.candidates.length,
    `${where}: ${test.candidates.length} candidates were tested, more than the ${test.planned} planned`,
  );
  const begin = c.split.grid + test.first;
  const documents = c.documents.slice(begin, begin + test.documents);
  const tested = {
    tokens: documents.map(({ tokens }) => tokens),
    copies: documents.map(({ copies }) => copies ?? 1),
    starts: unitStarts(c, test.first, test.documents),
  };
  const judged = judgeCandidates(c, test, tested, where, check);
  if (judged !== undefined) checkDecision(c, test, judged, where, check);
}

/** The test covers all test documents, or, exit by exit, its part of them. */
function checkDocuments(c: Certificate, { first, documents }: CertificateTest, index: number, check: Check): boolean {
  const exits = c.policy.exits.length;
  const available = c.documents.length - c.split.grid;
  const end = first + documents;
  const all = c.procedure !== "byExit";
  const starts = all ? [] : unitStarts(c, 0, available);
  const cutAt = (part: number): number => starts[Math.floor((part * (starts.length - 1)) / exits)]!;
  const [from, to] = all ? [0, available] : [cutAt(index), cutAt(index + 1)];
  const holds = first === from && end === to;
  check(
    holds,
    `test ${index}: it uses test documents [${first}, ${end}); expected ` +
      (all ? `all ${available} of them` : `[${from}, ${to}), part ${index + 1} of ${exits}`),
  );
  return holds;
}

/** Risks and p-values follow from the counts; undefined if these do not fit the documents. */
function judgeCandidates(
  c: Certificate,
  test: CertificateTest,
  tested: Tested,
  where: string,
  check: Check,
): Judged[] | undefined {
  const { tokens, starts } = tested;
  const judged: Judged[] = [];
  /** Per unit, the largest loss so far. */
  const worst = new Array<number>(starts.length - 1).fill(0);
  for (const [i, candidate] of test.candidates.entries()) {
    const name = `${where}, candidate ${i}`;
    if (!checkCounts(c, candidate, tokens, name, check)) return undefined;
    const one =
      c.claim === "selective" ? judgeExits(c, test, candidate, tested) : judgeLosses(c, candidate, tested, worst);
    check(
      close(candidate.risk, one.risk),
      `${name}: its risk is stored as ${candidate.risk}; the counts give ${one.risk}`,
    );
    check(
      one.pValue === null
        ? candidate.pValue === null
        : candidate.pValue !== null && close(candidate.pValue, one.pValue),
      `${name}: its p-value is stored as ${candidate.pValue}; the counts give ${one.pValue}`,
    );
    check(
      candidate.cost <= c.costs.full * 2 + Math.max(...c.costs.reach) + sum(c.costs.head),
      `${name}: its cost is impossible`,
    );
    if (test.exit !== null) checkOtherExits(c, test.exit, candidate, name, check);
    judged.push(one);
  }
  const vectors = new Set(test.candidates.map(({ thresholds }) => thresholds.join()));
  check(vectors.size === test.candidates.length, `${where}: a candidate was tested twice`);
  return judged;
}

/** Exit by exit: earlier exits have their final thresholds, and later ones none yet. */
function checkOtherExits(
  { policy }: Certificate,
  tested: number,
  { thresholds }: CertificateCandidate,
  name: string,
  check: Check,
): void {
  check(
    thresholds.every((threshold, exit) => {
      if (exit === tested) return true;
      return threshold === (exit < tested ? policy.exits[exit]!.threshold : "never");
    }),
    `${name}: exits before exit ${tested} must have the policy's thresholds, and exits after it "never"`,
  );
}

/** The accepted candidates are those that pass, and the cheapest fair one of them is chosen. */
function checkDecision(
  c: Certificate,
  test: CertificateTest,
  judged: readonly Judged[],
  where: string,
  check: Check,
): void {
  const { candidates, accepted, chosen, planned } = test;
  const passing = passingCandidates(c, test, judged);
  check(
    same(accepted, passing),
    `${where}: candidates ${listOf(accepted)} are marked as accepted; by their ` +
      `${c.procedure === "crc" ? "risks" : "p-values"} it should be ${listOf(passing)}`,
  );
  // A sequence ends with its first failure; Bonferroni tests all candidates.
  const tested = c.procedure === "bonferroni" ? planned : Math.min(planned, passing.length + 1);
  check(candidates.length === tested, `${where}: it lists ${candidates.length} tested candidates; expected ${tested}`);
  const fair = passing.filter((i) => judged[i]!.fair);
  const cheapest =
    fair.length === 0 ? "never" : fair.reduce((best, i) => (candidates[i]!.cost < candidates[best]!.cost ? i : best));
  check(chosen === cheapest, `${where}: "${chosen}" was chosen; the cheapest accepted candidate is "${cheapest}"`);
}

/** Those before the first failure; with Bonferroni, each whose p-value is within its share of delta. */
function passingCandidates(
  c: Certificate,
  { planned, delta }: CertificateTest,
  judged: readonly Judged[],
): readonly number[] {
  if (c.procedure === "bonferroni") {
    return judged.flatMap(({ pValue }, i) => (pValue! <= delta / planned ? [i] : []));
  }
  const failure = judged.findIndex(({ pValue, risk }) =>
    c.procedure === "crc" ? !(risk <= largestRisk(c)) : !(pValue! <= delta),
  );
  return judged.slice(0, failure < 0 ? undefined : failure).map((_, i) => i);
}

/** Under conformal risk control: (n R + 1) / (n + 1) <= 1 - agreement. */
function largestRisk(c: Certificate): number {
  const n = unitStarts(c, 0, c.documents.length - c.split.grid).length - 1;
  return ((1 - c.agreement) * (n + 1) - 1) / n;
}

function listOf(candidates: readonly number[]): string {
  return candidates.join(", ") || "none";
}

/** Risk and p-value of a mean loss; under conformal risk control, the mean of the largest losses so far, no p-value. */
function judgeLosses(
  c: Certificate,
  candidate: CertificateCandidate,
  { tokens, starts, copies }: Tested,
  worst: number[],
): Judged {
  const level = 1 - c.agreement;
  const losses = lossesOf(c, candidate, tokens);
  const units = unitMeans(losses, starts);
  units.forEach((loss, u) => {
    worst[u] = Math.max(worst[u]!, loss);
  });
  const fair = copies.every((count) => count === 1) || weightedMean(losses, starts, copies) <= level;
  if (c.procedure === "crc") return { risk: sum(worst) / worst.length, pValue: null, fair };
  return { risk: sum(units) / units.length, pValue: meanP(units, { level, delta: c.delta, bound: c.bound }), fair };
}

/** Risk and p-value of the worst exit in use; exit by exit, of the exit under test. */
function judgeExits(
  c: Certificate,
  test: CertificateTest,
  { thresholds, left, wrong }: CertificateCandidate,
  { tokens, starts, copies }: Tested,
): Judged {
  const level = 1 - c.agreement;
  const exits = thresholds.length;
  const repeated = copies.some((count) => count > 1);
  const used =
    test.exit === null ? thresholds.flatMap((threshold, exit) => (threshold === "never" ? [] : [exit])) : [test.exit];
  const judged = used.map((exit) => {
    const leaving = countsAt(left, exits, exit);
    const mistaken = countsAt(wrong, exits, exit).map((count) => count / c.lossScale);
    const m = sum(leaving);
    const k = sum(mistaken);
    if (m === 0) return { risk: 0, pValue: 1, fair: true };
    if (c.unit === "token") {
      const weighted = (values: readonly number[]): number => sum(values.map((value, d) => value * copies[d]!));
      const fair = !repeated || weighted(mistaken) <= level * weighted(leaving);
      return { risk: k / m, pValue: binomialAtMost(k, m, level), fair };
    }
    const excess = tokens.map((count, d) =>
      Math.min(1, Math.max(0, level + (mistaken[d]! - level * leaving[d]!) / count)),
    );
    const fair = !repeated || weightedMean(excess, starts, copies) <= level;
    return {
      risk: k / m,
      pValue: meanP(unitMeans(excess, starts), { level, delta: test.delta, bound: c.bound }),
      fair,
    };
  });
  return {
    risk: judged.reduce((worst, { risk }) => Math.max(worst, risk), 0),
    pValue: judged.reduce((worst, { pValue }) => Math.max(worst, pValue), 0),
    fair: judged.every(({ fair }) => fair),
  };
}
