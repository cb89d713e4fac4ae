/**
 * The number of missing units, recomputed: the test's units are repeated cyclically until the first candidate's p-value
 * is small enough; the documents to add follow from the grid split's share.
 */
import type { Certificate } from "../certificate/certificate.js";
import { LIMITS } from "./limits.js";
import { lossesOf } from "./verify-counts.js";
import { meanP } from "./verify-p-values.js";
import { testedTokens, unitMeans, unitStarts } from "./verify-units.js";
import type { Check } from "./verify-values.js";

export function checkFurther(c: Certificate, check: Check): void {
  const certified = c.test !== null && c.test.chosen !== "never";
  const units = certified ? 0 : missingUnits(c);
  check(c.furtherUnits === units, `furtherUnits is stored as ${c.furtherUnits}; the counts give ${units}`);
  const documents = units === null ? null : missingDocuments(c, units);
  check(
    c.furtherDocuments === documents,
    `furtherDocuments is stored as ${c.furtherDocuments}; the counts give ${documents}`,
  );
}

/** Documents to add so that the test gains this many units. */
function missingDocuments(c: Certificate, units: number): number {
  if (units === 0) return 0;
  const tested = c.documents.length - c.split.grid;
  const counted = unitStarts(c).length - 1;
  const needed = (tested * (counted + units)) / counted;
  return Math.max(1, Math.ceil(needed / (1 - c.settings.gridShare)) - c.documents.length);
}

/** null if no number of further units would do. */
function missingUnits(c: Certificate): number | null {
  const { test, agreement, delta } = c;
  if (test === null || test.accepted > 0) return null;
  const [first] = test.candidates;
  if (first!.risk >= 1 - agreement) return null;
  const losses = unitMeans(lossesOf(c, first!, testedTokens(c)), unitStarts(c));
  const units = losses.length;
  const most = Math.min(100 * units, Math.max(units, LIMITS.repeated));
  const passes = (n: number): boolean =>
    meanP(
      c,
      Array.from({ length: n }, (_, i) => losses[i % units]!),
    ) <= delta;
  let low = units - 1;
  let high = units;
  while (!passes(high)) {
    if (high >= most) return null;
    low = high;
    high = Math.min(most, 2 * high);
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (passes(middle)) high = middle;
    else low = middle;
  }
  return high - units;
}
