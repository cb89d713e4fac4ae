/**
 * The certified vector, recomputed: it is the one that the tests chose, and its losses and measured outcome follow from
 * its counts.
 */
import type { Certificate, CertificateCounts } from "../certificate/index.js";
import { changedIn, checkCounts, countsAt, lossesOf } from "./verify-counts.js";
import { inflationOf } from "./verify-units.js";
import { type Check, close, closeOrNull, same, sum } from "./verify-values.js";

/** Checks the accepted counts and what was measured. */
export function checkAccepted(c: Certificate, check: Check): void {
  const { accepted, policy } = c;
  const tokens = c.documents.slice(c.split.grid).map((document) => document.tokens);
  if (!checkCounts(c, accepted, tokens, "accepted", check)) return;
  check(
    same(
      accepted.thresholds,
      policy.exits.map(({ threshold }) => threshold),
    ),
    "the certified thresholds are not the policy's",
  );
  if (c.procedure === "byExit") checkChosenByExit(c, check);
  else checkChosen(c, check);
  const losses = lossesOf(c, accepted, tokens);
  check(
    losses.length === accepted.losses.length && losses.every((loss, d) => close(loss, accepted.losses[d]!)),
    "the stored losses do not follow from the counts",
  );
  checkDesignEffect(c, losses, check);
  checkMeasured(c, tokens, check);
}

/** The vector is the chosen candidate, or "never exit" if none was accepted. */
function checkChosen({ accepted, tests: [test] }: Certificate, check: Check): void {
  const chosen = test === undefined || test.chosen === "never" ? undefined : test.candidates[test.chosen];
  if (chosen === undefined) {
    check(
      accepted.thresholds.every((threshold) => threshold === "never"),
      "no candidate was accepted, but the certified policy exits",
    );
    return;
  }
  const countsIn = ({ thresholds, left, wrong, deep }: CertificateCounts): unknown => [thresholds, left, wrong, deep];
  check(
    same(countsIn(accepted), countsIn(chosen)),
    "the thresholds or counts of the certified vector are not those of the chosen candidate",
  );
}

/** Exit by exit: each threshold is the one chosen for its exit, and counts agree where thresholds do. */
function checkChosenByExit({ accepted, tests, policy }: Certificate, check: Check): void {
  check(
    tests.every(({ exit, chosen, candidates }) => {
      const candidate = chosen === "never" ? undefined : candidates[chosen];
      return accepted.thresholds[exit!] === (candidate?.thresholds[exit!] ?? "never");
    }),
    "the certified thresholds are not those chosen exit by exit",
  );
  const exits = policy.exits.length;
  for (const { exit, first, documents, candidates, chosen } of tests) {
    /** Per document, the counts of exits [0, end); `shift` is the first document's index in `from`. */
    const upTo = ({ left, wrong }: CertificateCounts, end: number, shift: number): number[][] =>
      Array.from({ length: documents }, (_, d) => {
        const row = (shift + d) * exits;
        return [...left.slice(row, row + end), ...wrong.slice(row, row + end)];
      });
    candidates.forEach((candidate, i) => {
      // Exits before this one have their final thresholds, and so has this one in the chosen candidate.
      const end = exit! + (i === chosen ? 1 : 0);
      check(
        same(upTo(accepted, end, first), upTo(candidate, end, 0)),
        `test of exit ${exit}, candidate ${i}: its counts at the first exits are not those of the policy`,
      );
    });
  }
}

/** By how much the groups that documents name make the mean loss less certain than independent documents would. */
function checkDesignEffect(c: Certificate, losses: readonly number[], check: Check): void {
  const { groups, unit, documents, split } = c;
  const names = documents.slice(split.grid).map(({ group }) => group ?? "");
  const expected = unit === "group" || groups.count === 0 ? null : inflationOf(losses, names);
  check(
    closeOrNull(groups.designEffect, expected),
    `groups: the design effect is stored as ${groups.designEffect}; the counts give ${expected}`,
  );
}

function checkMeasured(c: Certificate, tokens: readonly number[], check: Check): void {
  const { accepted, measured, policy, numLayers } = c;
  const exits = policy.exits.length;
  const total = sum(tokens);
  const changed = tokens.map((_, d) => changedIn(c, accepted, d));
  const agreements = changed.map((count, d) => 1 - count / tokens[d]!);
  const left = policy.exits.map((_, exit) => sum(countsAt(accepted.left, exits, exit)));
  const depth = sum(policy.exits.map((exit, i) => exit.depth * left[i]!)) + (total - sum(left)) * numLayers;
  check(
    measured.documents === tokens.length &&
      measured.positions === total &&
      close(measured.agreement, 1 - sum(changed) / total) &&
      close(measured.documentAgreement, sum(agreements) / tokens.length) &&
      close(measured.coverage, sum(left) / total) &&
      close(measured.meanDepth, depth / total),
    "measured: documents, positions, agreement, coverage or depth do not follow from the counts",
  );
  check(
    measured.exits.length === exits,
    `measured: ${measured.exits.length} exits are stored; the policy has ${exits}`,
  );
  let reached = total;
  policy.exits.forEach(({ depth: exitDepth }, i) => {
    const found = measured.exits[i];
    const leaving = left[i]!;
    const wrong = sum(countsAt(accepted.wrong, exits, i)) / c.lossScale;
    check(
      found?.depth === exitDepth &&
        found.reached === reached &&
        found.left === leaving &&
        closeOrNull(found.coverage, reached === 0 ? null : leaving / reached) &&
        closeOrNull(found.agreement, leaving === 0 ? null : (leaving - wrong) / leaving),
      `measured: the numbers of exit ${i} do not follow from the counts`,
    );
    reached -= leaving;
  });
}
