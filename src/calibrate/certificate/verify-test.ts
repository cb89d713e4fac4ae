/**
 * One test sequence, recomputed: the counts, risk and p-value of every candidate, which candidates are accepted, and
 * which of them is chosen.
 */
import type { Certificate, CertificateCandidate, CertificateTest } from "./certificate.js";
import { checkCounts, countsAt, lossesOf } from "./verify-counts.js";
import { binomialAtMost, meanP } from "./verify-p-values.js";
import { type Check, close, same, sum } from "./verify-values.js";

/** Checks the test with this index. */
export function checkTest(c: Certificate, test: CertificateTest, index: number, check: Check): void {
  const where = `test ${index}`;
  checkDocuments(c, test, index, check);
  check(
    test.planned >= test.candidates.length,
    `${where}: ${test.candidates.length} candidates were tested, more than the ${test.planned} planned`,
  );
  checkCandidates(c, test, where, check);
  checkDecision(c, test, where, check);
}

/** The test covers all test documents, or, exit by exit, its part of them. */
function checkDocuments(c: Certificate, { first, documents }: CertificateTest, index: number, check: Check): void {
  const exits = c.policy.exits.length;
  const available = c.documents.length - c.split.grid;
  const end = first + documents;
  const byExit = c.procedure === "byExit";
  const expected = byExit ? "some" : "all";
  check(
    first >= 0 && documents >= 1 && end <= available && (byExit || documents === available),
    `test ${index}: it uses test documents [${first}, ${end}); expected ${expected} of [0, ${available})`,
  );
  if (!byExit) return;
  check(
    first === Math.floor((index * available) / exits) && end === Math.floor(((index + 1) * available) / exits),
    `test ${index}: its documents are not part ${index + 1} of ${exits} of the test documents`,
  );
}

/** Risks and p-values follow from the counts. */
function checkCandidates(c: Certificate, test: CertificateTest, where: string, check: Check): void {
  const begin = c.split.grid + test.first;
  const tokens = c.documents.slice(begin, begin + test.documents).map((document) => document.tokens);
  /** Per document, the largest loss so far. */
  const worst = new Array<number>(test.documents).fill(0);
  test.candidates.forEach((candidate, i) => {
    const name = `${where}, candidate ${i}`;
    checkCounts(candidate, tokens, c.policy.exits.length, name, check);
    check(Number.isFinite(candidate.cost) && candidate.cost >= 0, `${name}: its cost is not a number >= 0`);
    const losses = lossesOf(c, candidate, tokens);
    losses.forEach((loss, d) => {
      worst[d] = Math.max(worst[d]!, loss);
    });
    const { risk, pValue } =
      c.claim === "selective" ? judgeExits(c, test, candidate, tokens) : judgeLosses(c, losses, worst);
    check(close(candidate.risk, risk), `${name}: its risk is stored as ${candidate.risk}; the counts give ${risk}`);
    check(
      pValue === null ? candidate.pValue === null : candidate.pValue !== null && close(candidate.pValue, pValue),
      `${name}: its p-value is stored as ${candidate.pValue}; the counts give ${pValue}`,
    );
    if (test.exit !== null && c.procedure === "byExit") checkOtherExits(c, test.exit, candidate, name, check);
  });
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

/** The accepted candidates are those that pass, and the cheapest of them is chosen. */
function checkDecision(c: Certificate, test: CertificateTest, where: string, check: Check): void {
  const { candidates, accepted, chosen, planned } = test;
  const passing = passingCandidates(c, test);
  check(
    same(accepted, passing),
    `${where}: candidates ${listOf(accepted)} are marked as accepted; by their ` +
      `${c.procedure === "crc" ? "risks" : "p-values"} it should be ${listOf(passing)}`,
  );
  // A sequence ends with its first failure; Bonferroni tests all candidates.
  const tested = c.procedure === "bonferroni" ? planned : Math.min(planned, passing.length + 1);
  check(candidates.length === tested, `${where}: it lists ${candidates.length} tested candidates; expected ${tested}`);
  const cheapest =
    passing.length === 0
      ? "never"
      : passing.reduce((best, i) => (candidates[i]!.cost < candidates[best]!.cost ? i : best));
  check(chosen === cheapest, `${where}: "${chosen}" was chosen; the cheapest accepted candidate is "${cheapest}"`);
}

/** Those before the first failure; with Bonferroni, each whose p-value is within its share of delta. */
function passingCandidates(
  c: Certificate,
  { candidates, planned, delta, documents: n }: CertificateTest,
): readonly number[] {
  if (c.procedure === "bonferroni") {
    return candidates.flatMap(({ pValue }, i) => (pValue! <= delta / planned ? [i] : []));
  }
  const largestRisk = ((1 - c.agreement) * (n + 1) - 1) / n;
  const failure = candidates.findIndex(({ pValue, risk }) =>
    c.procedure === "crc" ? !(risk <= largestRisk) : !(pValue! <= delta),
  );
  return candidates.slice(0, failure < 0 ? undefined : failure).map((_, i) => i);
}

function listOf(candidates: readonly number[]): string {
  return candidates.join(", ") || "none";
}

/** Risk and p-value of a mean loss; under conformal risk control, the mean of the largest losses so far, no p-value. */
function judgeLosses(
  c: Certificate,
  losses: readonly number[],
  worst: readonly number[],
): { risk: number; pValue: number | null } {
  if (c.procedure === "crc") return { risk: sum(worst) / worst.length, pValue: null };
  const pValue = meanP(losses, { level: 1 - c.agreement, delta: c.delta, bound: c.bound });
  return { risk: sum(losses) / losses.length, pValue };
}

/** Risk and p-value of the worst exit in use; exit by exit, of the exit under test. */
function judgeExits(
  c: Certificate,
  test: CertificateTest,
  { thresholds, left, wrong }: CertificateCandidate,
  tokens: readonly number[],
): { risk: number; pValue: number } {
  const level = 1 - c.agreement;
  const exits = thresholds.length;
  const used =
    test.exit === null ? thresholds.flatMap((threshold, exit) => (threshold === "never" ? [] : [exit])) : [test.exit];
  const judged = used.map((exit) => {
    const leaving = countsAt(left, exits, exit);
    const mistaken = countsAt(wrong, exits, exit);
    const m = sum(leaving);
    const k = sum(mistaken);
    if (m === 0) return { risk: 0, pValue: 1 };
    if (c.unit === "token") return { risk: k / m, pValue: binomialAtMost(k, m, level) };
    const excess = tokens.map((count, d) =>
      Math.min(1, Math.max(0, level + (mistaken[d]! - level * leaving[d]!) / count)),
    );
    return { risk: k / m, pValue: meanP(excess, { level, delta: test.delta, bound: c.bound }) };
  });
  return {
    risk: Math.max(0, ...judged.map(({ risk }) => risk)),
    pValue: Math.max(0, ...judged.map(({ pValue }) => pValue)),
  };
}
