/** Do the counts of a threshold vector fit its documents, and which losses follow from them? */
import type { Certificate, CertificateCounts } from "./certificate.js";
import { type Check, sum } from "./verify-values.js";

/** Checks counts against the number of tokens in each document. */
export function checkCounts(
  { thresholds, left, wrong, deep }: CertificateCounts,
  tokens: readonly number[],
  exits: number,
  name: string,
  check: Check,
): void {
  check(
    thresholds.length === exits &&
      left.length === tokens.length * exits &&
      wrong.length === left.length &&
      (deep.length === 0 || deep.length === tokens.length),
    `${name}: the counts do not fit ${tokens.length} documents and ${exits} exits`,
  );
  const whole = [...left, ...wrong, ...deep].every((count) => Number.isInteger(count) && count >= 0);
  check(
    whole && wrong.every((count, i) => count <= left[i]! && (left[i] === 0 || thresholds[i % exits] !== "never")),
    `${name}: a count is not a whole number, more tokens are wrong than left, or tokens left at an unused exit`,
  );
  check(
    tokens.every((count, d) => sum(left.slice(d * exits, (d + 1) * exits)) + (deep[d] ?? 0) <= count),
    `${name}: in a document more tokens left or changed than it has`,
  );
}

/** Number of tokens of a document that differ from the full model's. */
export function changedIn({ wrong, deep }: CertificateCounts, exits: number, document: number): number {
  return sum(wrong.slice(document * exits, (document + 1) * exits)) + (deep[document] ?? 0);
}

/** The loss of each document: 1 if any token changed (anyChange), or the share of its tokens that changed. */
export function lossesOf(c: Certificate, counts: CertificateCounts, tokens: readonly number[]): number[] {
  return tokens.map((count, d) => {
    const changed = changedIn(counts, c.policy.exits.length, d);
    return c.claim === "anyChange" ? Math.min(1, changed) : changed / count;
  });
}

/** The counts of one exit, document after document. */
export function countsAt(counts: readonly number[], exits: number, exit: number): number[] {
  return counts.filter((_, i) => i % exits === exit);
}
