/**
 * The test, recomputed: counts, risk and p-value of every candidate, which are accepted, and which is chosen; then the
 * accepted vector, whose losses and outcome follow from its counts, and the number of missing units.
 */
import type { Certificate, CertificateCounts, CertificateTest } from "../certificate/certificate.js";
import { LIMITS } from "./limits.js";
import { type Check, close, closeOrNull, same, sum } from "./verify-values.js";

// Checks that the counts of a threshold vector fit its documents, and derives the losses.

/** False if the lists do not even have the lengths. */
function checkCounts(
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
function scaleOf({ loss }: Certificate): number {
  return loss === "totalVariation" ? LIMITS.lossScale : 1;
}

/** Includes those at full depth. */
function changedIn(c: Certificate, { wrong, deep }: CertificateCounts, document: number): number {
  const exits = c.policy.exits.length;
  const row = document * exits;
  return (sum(wrong.slice(row, row + exits)) + (deep[document] ?? 0)) / scaleOf(c);
}

/** The loss of each document: 1 if any token changed (anyChange), or their share. */
function lossesOf(c: Certificate, counts: CertificateCounts, tokens: readonly number[]): number[] {
  return tokens.map((count, d) => {
    const changed = changedIn(c, counts, d);
    return c.loss === "anyChange" ? Number(changed > 0) : changed / count;
  });
}

function countsAt(counts: readonly number[], exits: number, exit: number): number[] {
  return counts.filter((_, i) => i % exits === exit);
}

// The units of a test, documents or groups of consecutive ones, and what groups and copies say about a mean:
//   weighted mean    Σ_u (Σ_{d in u} c_d x_d / n_u) / Σ_u (Σ_{d in u} c_d / n_u),  c_d copies, n_u documents of unit u
//   design effect    1 + (Σ m_g² / n - 1) max(0, ρ),   ρ = (B - W) / (B + (m₀ - 1) W),
//                    m₀ = (n - Σ m_g² / n) / (k - 1)
// with B and W the mean squares between and within k groups of m_g documents, n in all (analysis of variance).

function testedTokens({ documents, split }: Certificate): number[] {
  return documents.slice(split.grid).map(({ tokens }) => tokens);
}

/** Unit u of the test holds the test documents starts[u] .. starts[u + 1] - 1. */
function unitStarts({ unit, documents, split }: Certificate): number[] {
  const tested = documents.slice(split.grid);
  const starts = tested.flatMap(({ group }, d) =>
    d === 0 || unit !== "group" || group !== tested[d - 1]!.group ? [d] : [],
  );
  return [...starts, tested.length];
}

function unitMeans(values: readonly number[], starts: readonly number[]): number[] {
  return starts.slice(1).map((end, u) => {
    const begin = starts[u]!;
    return sum(values.slice(begin, end)) / (end - begin);
  });
}

/** Documents weighted by their copies. */
function weightedMean(values: readonly number[], starts: readonly number[], copies: readonly number[]): number {
  const weights = unitMeans(copies, starts);
  const weighted = unitMeans(
    values.map((value, d) => value * copies[d]!),
    starts,
  );
  return sum(weighted) / sum(weights);
}

/** The factor by which groups inflate the variance of the mean; null if they cannot tell. */
function inflationOf(values: readonly number[], groups: readonly string[]): number | null {
  const members = new Map<string, number[]>();
  values.forEach((value, d) => {
    const group = members.get(groups[d]!);
    if (group === undefined) members.set(groups[d]!, [value]);
    else group.push(value);
  });
  const n = values.length;
  const k = members.size;
  if (k < 2 || k === n) return null;
  const mean = sum(values) / n;
  const sizes = Array.from(members.values(), (group) => group.length);
  const squares = sum(sizes.map((size) => size * size)) / n;
  let between = 0;
  let within = 0;
  for (const group of members.values()) {
    const own = sum(group) / group.length;
    between += group.length * (own - mean) ** 2;
    within += sum(group.map((value) => (value - own) ** 2));
  }
  between /= k - 1;
  within /= n - k;
  const size = (n - squares) / (k - 1);
  const spread = between + (size - 1) * within;
  if (!(spread > 0)) return null;
  return 1 + (squares - 1) * Math.max(0, (between - within) / spread);
}

// The certified vector, recomputed: it is the one that the test chose; its losses and outcome follow from its counts.

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

// The verifier's own p-values of the null hypothesis "the mean of these losses exceeds the level", for n losses in
// [0, 1]. Where each loss is 0 or 1 by definition (any change, in single documents)
//   P(Bin(n, level) <= their sum)
// and otherwise
//   1 / the largest wealth of a bettor against "mean > level" (Waudby-Smith and Ramdas 2024)

// The verifier's own P(Bin(n, p) <= k) for up to some million trials: terms are added from the largest on, over some
// nine standard deviations; logarithms of factorials by Stirling's series.

export function binomialAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1;
  const logTerm = (i: number): number =>
    logFactorial(n) - logFactorial(i) - logFactorial(n - i) + i * Math.log(p) + (n - i) * Math.log1p(-p);
  const largest = Math.min(k, Math.floor((n + 1) * p));
  let total = 0;
  for (let i = largest, term = 1; i >= 0 && term > 1e-18; i--, term *= ((i + 1) * (1 - p)) / ((n - i) * p)) {
    total += term;
  }
  for (let i = largest + 1, term = 1; i <= k; i++) {
    term *= ((n - i + 1) * p) / (i * (1 - p));
    total += term;
    if (term < 1e-18) break;
  }
  return Math.min(1, total * Math.exp(logTerm(largest)));
}

function logFactorial(n: number): number {
  if (n < 20) {
    return Math.log(Array.from({ length: n }, (_, i) => i + 1).reduce((product, factor) => product * factor, 1));
  }
  const series = 1 / (12 * n) - 1 / (360 * n ** 3) + 1 / (1260 * n ** 5);
  return n * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI * n) + series;
}

/** Losses are in the order of the documents. */
function meanP({ loss, unit, agreement, delta }: Certificate, losses: readonly number[]): number {
  const level = 1 - agreement;
  if (loss === "anyChange" && unit === "document") return binomialAtMost(sum(losses), losses.length, level);
  return bettingP(losses, level, delta);
}

/** Fixes each stake from the losses so far; delta sets its size. */
function bettingP(losses: readonly number[], level: number, delta: number): number {
  let total = 0.5;
  let squares = 0.25;
  let variance = 0.25;
  let wealth = 0; // its logarithm
  let largest = 0;
  losses.forEach((loss, i) => {
    const stake = Math.min(1, Math.sqrt((-2 * Math.log(delta)) / (losses.length * variance)));
    wealth += Math.log1p(-stake * (loss - level));
    largest = Math.max(largest, wealth);
    total += loss;
    squares += (loss - total / (i + 2)) ** 2;
    variance = squares / (i + 2);
  });
  return Math.exp(-largest);
}

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

// The number of missing units, recomputed: the test's units are repeated cyclically until the first candidate's p-value
// is small enough; the documents to add follow from the grid split's share.

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
