/** Checks that the counts of a threshold vector fit its documents, and derives the losses. */
import type { Certificate, CertificateCounts } from "../certificate/certificate.js";
import { LIMITS } from "./limits.js";
import { type Check, sum } from "./verify-values.js";

/** False if the lists do not even have the lengths. */
export function checkCounts(
  c: Certificate,
  { thresholds, left, wrong, deep }: CertificateCounts,
  tokens: readonly number[],
  name: string,
  check: Check,
): boolean {
  const exits = c.policy.exits.length;
  const other = c.reference.kind === "other";
  const lossScale = scaleOf(c);
  const exact = exactFills.includes(c.policy.fill) && !other;
  const fits =
    thresholds.length === exits &&
    left.length === tokens.length * exits &&
    wrong.length === left.length &&
    deep.length === (exact ? 0 : tokens.length);
  check(fits, `${name}: the counts do not fit ${tokens.length} documents, ${exits} exits and fill ${c.policy.fill}`);
  if (!fits) return false;
  check(
    wrong.every((count, i) => count <= left[i]! * lossScale && (left[i] === 0 || thresholds[i % exits] !== "never")),
    `${name}: more tokens are wrong than left, or tokens left at an unused exit`,
  );
  const never = thresholds.every((threshold) => threshold === "never");
  check(
    tokens.every((count, d) => {
      const early = sum(left.slice(d * exits, (d + 1) * exits));
      const changed = deep[d] ?? 0;
      return early <= count && changed <= (count - early) * lossScale && !(never && changed > 0 && !other);
    }),
    `${name}: in a document more tokens left or changed than it has`,
  );
  const always = thresholds.indexOf("always");
  check(
    always < 0 || tokens.every((count, d) => sum(left.slice(d * exits, d * exits + always + 1)) === count),
    `${name}: tokens passed an exit at which all of them leave`,
  );
  return true;
}

/** Fills that leave tokens at full depth as they are. */
export const exactFills: readonly string[] = ["lazy", "shared"];

/** The count of a token that is certain to change. */
export function scaleOf({ loss }: Certificate): number {
  return loss === "totalVariation" ? LIMITS.lossScale : 1;
}

/** Includes those at full depth. */
export function changedIn(c: Certificate, { wrong, deep }: CertificateCounts, document: number): number {
  const exits = c.policy.exits.length;
  const row = document * exits;
  return (sum(wrong.slice(row, row + exits)) + (deep[document] ?? 0)) / scaleOf(c);
}

/** The loss of each document: 1 if any token changed (anyChange), or their share. */
export function lossesOf(c: Certificate, counts: CertificateCounts, tokens: readonly number[]): number[] {
  return tokens.map((count, d) => {
    const changed = changedIn(c, counts, d);
    return c.loss === "anyChange" ? Number(changed > 0) : changed / count;
  });
}

export function countsAt(counts: readonly number[], exits: number, exit: number): number[] {
  return counts.filter((_, i) => i % exits === exit);
}
