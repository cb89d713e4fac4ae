/** The test, recomputed: counts, risk and p-value of every candidate, which are accepted, and which is chosen. */
import type { Certificate, CertificateTest } from "../certificate/certificate.js";
import { checkCounts, lossesOf } from "./verify-counts.js";
import { meanP } from "./verify-p-values.js";
import { testedTokens, unitMeans, unitStarts, weightedMean } from "./verify-units.js";
import { type Check, close, sum } from "./verify-values.js";

export function checkTest(c: Certificate, test: CertificateTest, check: Check): void {
  const tokens = testedTokens(c);
  const copies = c.documents.slice(c.split.grid).map((document) => document.copies ?? 1);
  const starts = unitStarts(c);
  const { candidates, planned, accepted, chosen } = test;
  const vectors = new Set(candidates.map(({ thresholds }) => thresholds.join()));
  check(vectors.size === candidates.length, "test: a candidate was tested twice");
  const fair: boolean[] = [];
  const pValues: number[] = [];
  for (const [i, candidate] of candidates.entries()) {
    const name = `candidate ${i}`;
    if (!checkCounts(c, candidate, tokens, name, check)) return;
    const losses = lossesOf(c, candidate, tokens);
    const units = unitMeans(losses, starts);
    const risk = sum(units) / units.length;
    const pValue = meanP(c, units);
    check(close(candidate.risk, risk), `${name}: its risk is stored as ${candidate.risk}; the counts give ${risk}`);
    check(
      close(candidate.pValue, pValue),
      `${name}: its p-value is stored as ${candidate.pValue}; the counts give ${pValue}`,
    );
    check(
      candidate.cost <= c.costs.full * 2 + Math.max(...c.costs.reach) + sum(c.costs.head),
      `${name}: its cost is impossible`,
    );
    pValues.push(pValue);
    fair.push(copies.every((count) => count === 1) || weightedMean(losses, starts, copies) <= 1 - c.agreement);
  }
  // A sequence ends with its first failure.
  const failure = pValues.findIndex((pValue) => !(pValue <= c.delta));
  const passing = failure < 0 ? candidates.length : failure;
  check(
    accepted === passing,
    `test: ${accepted} candidates are said to be accepted; by their p-values it is ${passing}`,
  );
  const tested = Math.min(planned, passing + 1);
  check(candidates.length === tested, `test: it lists ${candidates.length} tested candidates; expected ${tested}`);
  let cheapest: number | "never" = "never";
  for (let i = 0; i < passing; i++) {
    if (fair[i]! && (cheapest === "never" || candidates[i]!.cost < candidates[cheapest]!.cost)) cheapest = i;
  }
  check(chosen === cheapest, `test: "${chosen}" was chosen; the cheapest accepted candidate is "${cheapest}"`);
}
