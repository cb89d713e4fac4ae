/**
 * The certified vector, recomputed: it is the one that the test chose; its losses and outcome follow from its counts.
 */
import type { Certificate, CertificateCounts } from "../certificate/certificate.js";
import { changedIn, checkCounts, countsAt, lossesOf, scaleOf } from "./verify-counts.js";
import { inflationOf, testedTokens } from "./verify-units.js";
import { type Check, close, closeOrNull, same, sum } from "./verify-values.js";

export function checkAccepted(c: Certificate, check: Check): void {
  const { accepted, policy } = c;
  const tokens = testedTokens(c);
  if (!checkCounts(c, accepted, tokens, "accepted", check)) return;
  check(
    same(
      accepted.thresholds,
      policy.exits.map(({ threshold }) => threshold),
    ),
    "the certified thresholds are not the policy's",
  );
  checkChosen(c, check);
  const losses = lossesOf(c, accepted, tokens);
  check(
    losses.length === accepted.losses.length && losses.every((loss, d) => close(loss, accepted.losses[d]!)),
    "the stored losses do not follow from the counts",
  );
  checkDesignEffect(c, losses, check);
  checkMeasured(c, tokens, check);
}

/** "never exit" if none was accepted. */
function checkChosen({ accepted, test }: Certificate, check: Check): void {
  const chosen = test === null || test.chosen === "never" ? undefined : test.candidates[test.chosen];
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

/** The factor by which named groups make the mean loss less certain than independent documents would. */
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
    const wrong = sum(countsAt(accepted.wrong, exits, i)) / scaleOf(c);
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
