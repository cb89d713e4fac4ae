/**
 * The test, recomputed: counts, risk and p-value of every candidate, which are accepted, and which is chosen; then the
 * accepted vector, whose losses and outcome follow from its counts, and the number of missing units.
 */
import type { Certificate, CertificateCounts, CertificateTest } from "../certificate/certificate.js";
import { LIMITS } from "./limits.js";
import { type Check, close, closeOrNull, same, sha256, sum } from "./verify-values.js";

// Checks that the counts of a threshold vector fit its documents, and derives the losses.

/** False if the lists do not even have the lengths. */
function checkCounts(
  c: Certificate,
  counts: CertificateCounts,
  rows: readonly Row[],
  name: string,
  check: Check,
): boolean {
  if (c.settings.answers !== undefined) return checkAnswers(c, counts, rows, name, check);
  const { thresholds, left, wrong, deep, written } = counts;
  const most = rows.map((row) => row.tokens);
  const tokens = written ?? most;
  const exits = c.policy.exits.length;
  const other = c.reference.kind === "other";
  const lossScale = scaleOf(c);
  const exact = exactFills.includes(c.policy.fill) && !other;
  const never = thresholds.every((threshold) => threshold === "never");
  const fits =
    thresholds.length === exits &&
    tokens.length === most.length &&
    tokens.every((count, d) => count <= most[d]!) &&
    (written !== undefined) === (c.settings.ownText !== undefined && (other || !never)) &&
    left.length === tokens.length * exits &&
    wrong.length === left.length &&
    deep.length === (exact ? 0 : tokens.length) &&
    counts.answers === undefined;
  check(fits, `${name}: the counts do not fit ${tokens.length} documents, ${exits} exits and fill ${c.policy.fill}`);
  if (!fits) return false;
  check(
    wrong.every((count, i) => count <= left[i]! * lossScale && (left[i] === 0 || thresholds[i % exits] !== "never")),
    `${name}: more tokens are wrong than left, or tokens left at an unused exit`,
  );
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

/** The same of answers, whose losses are not counts: an equal answer loses nothing, and each loss has its values. */
function checkAnswers(
  c: Certificate,
  { thresholds, left, wrong, deep, answers }: CertificateCounts,
  rows: readonly Row[],
  name: string,
  check: Check,
): boolean {
  const exits = c.policy.exits.length;
  const fits =
    thresholds.length === exits &&
    left.length === rows.length * exits &&
    wrong.length === 0 &&
    deep.length === 0 &&
    [answers?.losses, answers?.written, answers?.hashes].every((list) => list?.length === rows.length);
  check(fits, `${name}: the counts do not fit ${rows.length} answers at ${exits} exits`);
  if (!fits) return false;
  const never = thresholds.every((threshold) => threshold === "never");
  const always = thresholds.indexOf("always");
  rows.forEach(({ tokens, answer }, row) => {
    const [loss, written] = [answers!.losses[row]!, answers!.written[row]!];
    const leaving = left.slice(row * exits, (row + 1) * exits);
    const equal = answers!.hashes[row] === answer;
    check(
      written <= c.settings.answers!.maxNewTokens &&
        sum(leaving) <= written &&
        leaving.every((count, exit) => count === 0 || thresholds[exit] !== "never") &&
        (always < 0 || sum(leaving.slice(0, always + 1)) === written),
      `${name}: answer ${row} is too long, or more tokens left than it has, or others than its thresholds let leave`,
    );
    check(
      legalLoss(c, loss) && (equal ? loss === 0 && written === tokens : !never && (c.loss !== "changed" || loss === 1)),
      `${name}: the loss of answer ${row} is ${loss}, which is no value of the loss "${c.loss}" for such an answer`,
    );
  });
  return true;
}

function legalLoss({ loss }: Certificate, value: number): boolean {
  if (loss === "rougeL" || loss === "own") return value >= 0;
  return value === 0 || value === 1 || (loss === "accuracy" && value === -1);
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

/** The loss of each document: that of its answer, 1 if any token changed (anyChange), or their share. */
function lossesOf(c: Certificate, counts: CertificateCounts, rows: readonly Row[]): readonly number[] {
  if (counts.answers !== undefined) return counts.answers.losses;
  return rows.map(({ tokens }, d) => {
    const changed = changedIn(c, counts, d);
    return c.loss === "anyChange" ? Number(changed > 0) : changed / (counts.written?.[d] ?? tokens);
  });
}

// The units of a test. Copies are read twice: once, a document and its copies being one (in its group, if groups are
// units), and as given, each a document of its own. Keys are SHA-256 of "seed:name", with the name of a group, or the
// hash of a document (":n" for the n-th repetition of the same tokens); as given, units are in the order of their keys,
// and tested are those from the first test document's key on. Of a mean, groups say
//   design effect    1 + (Σ m_g² / n - 1) max(0, ρ),   ρ = (B - W) / (B + (m₀ - 1) W),
//                    m₀ = (n - Σ m_g² / n) / (k - 1)
// with B and W the mean squares between and within k groups of m_g documents, n in all (analysis of variance).

/** A row of the counts. */
interface Row {
  /** The place of its document, or of the one that it is a copy of. */
  readonly document: number;
  readonly tokens: number;
  /** SHA-256 of the full model's answer. */
  readonly answer: string | undefined;
  readonly key: string;
  readonly tested: boolean;
  readonly testedAsGiven: boolean;
}

/** Test documents; with copies all documents given, those of the grid split in both readings first. */
export async function rowsOf({ documents, split, unit }: Certificate): Promise<Row[]> {
  const seen = new Map<string, number>();
  const all = await Promise.all(
    documents.flatMap(({ copies = [], ...leader }, document) =>
      [leader, ...copies].map(async ({ hash, tokens, group, answer }) => {
        const before = seen.get(hash) ?? 0;
        seen.set(hash, before + 1);
        const name = unit === "group" ? group! : before === 0 ? hash : `${hash}:${before}`;
        const key = await sha256(`${split.seed}:${name}`);
        return { document, tokens, answer, key, tested: document >= split.grid };
      }),
    ),
  );
  const cut = all.find(({ tested }) => tested)!.key;
  const rows = all.map((row) => ({ ...row, testedAsGiven: row.key >= cut }));
  const copied = all.length > documents.length;
  const isGrid = ({ tested, testedAsGiven }: Row) => !tested && !testedAsGiven;
  return [...(copied ? rows.filter(isGrid) : []), ...rows.filter((row) => !isGrid(row))];
}

/** The loss of each test document: the mean over it and its copies. */
function documentMeans(rows: readonly Row[], losses: readonly number[]): number[] {
  return meansBy(rows, losses, ({ document, tested }) => (tested ? document : undefined));
}

/** The losses of the test's units once, and as given, in the orders in which they are read. */
function readingsOf(c: Certificate, rows: readonly Row[], losses: readonly number[]): number[][] {
  const once = meansBy(c.documents.slice(c.split.grid), documentMeans(rows, losses), ({ hash, group }) =>
    c.unit === "group" ? group : hash,
  );
  const order = [...rows.keys()].sort((a, b) =>
    rows[a]!.key < rows[b]!.key ? -1 : Number(rows[a]!.key > rows[b]!.key),
  );
  const asGiven = meansBy(
    order.map((row) => rows[row]!),
    order.map((row) => losses[row]!),
    ({ key, testedAsGiven }) => (testedAsGiven ? key : undefined),
  );
  return [once, asGiven];
}

/** Means of those of one name, in the order of first sight. */
function meansBy<One>(
  list: readonly One[],
  losses: readonly number[],
  nameOf: (one: One) => string | number | undefined,
): number[] {
  const sums = new Map<string | number, { total: number; count: number }>();
  list.forEach((one, i) => {
    const name = nameOf(one);
    if (name === undefined) return;
    const { total, count } = sums.get(name) ?? { total: 0, count: 0 };
    sums.set(name, { total: total + losses[i]!, count: count + 1 });
  });
  return Array.from(sums.values(), ({ total, count }) => total / count);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
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

export function checkAccepted(c: Certificate, rows: readonly Row[], check: Check): void {
  const { accepted, policy } = c;
  if (!checkCounts(c, accepted, rows, "accepted", check)) return;
  check(
    same(
      accepted.thresholds,
      policy.exits.map(({ threshold }) => threshold),
    ),
    "the certified thresholds are not the policy's",
  );
  checkChosen(c, check);
  const losses = documentMeans(rows, lossesOf(c, accepted, rows));
  check(
    losses.length === accepted.losses.length && losses.every((loss, d) => close(loss, accepted.losses[d]!)),
    "the stored losses do not follow from the counts",
  );
  checkDesignEffect(c, losses, check);
  checkMeasured(c, rows, check);
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
  const countsIn = ({ thresholds, left, wrong, deep, answers }: CertificateCounts): unknown => {
    return [thresholds, left, wrong, deep, answers ?? null];
  };
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

/** Copies aside. */
function checkMeasured(c: Certificate, rows: readonly Row[], check: Check): void {
  const { accepted, measured, policy, numLayers } = c;
  const exits = policy.exits.length;
  const own = [...rows.keys()].filter((row) => rows[row]!.tested && rows[row]!.document !== rows[row - 1]?.document);
  const { answers } = accepted;
  const { written } = answers ?? accepted;
  const tokens = own.map((row) => written?.[row] ?? rows[row]!.tokens);
  const total = sum(tokens);
  const countAt = (counts: readonly number[], exit: number) => sum(own.map((row) => counts[row * exits + exit]!));
  const changed = own.map((row) =>
    answers === undefined ? changedIn(c, accepted, row) : Number(answers.hashes[row] !== rows[row]!.answer),
  );
  const agreements = changed.map((count, d) => 1 - count / (answers === undefined ? tokens[d]! : 1));
  const left = policy.exits.map((_, exit) => countAt(accepted.left, exit));
  const depth = sum(policy.exits.map((exit, i) => exit.depth * left[i]!)) + (total - sum(left)) * numLayers;
  check(
    measured.documents === tokens.length &&
      measured.positions === total &&
      close(measured.agreement, 1 - sum(changed) / (answers === undefined ? total : own.length)) &&
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
    const right = answers === undefined ? leaving - countAt(accepted.wrong, i) / scaleOf(c) : null;
    check(
      found?.depth === exitDepth &&
        found.reached === reached &&
        found.left === leaving &&
        closeOrNull(found.coverage, reached === 0 ? null : leaving / reached) &&
        closeOrNull(found.agreement, right === null || leaving === 0 ? null : right / leaving),
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
// with stakes of at most 1; of accuracy, whose losses d are in [-1, 1], the wealth of one who bets on (1 + d) / 2
// against (1 + level) / 2 with stakes of at most 2 / (1 + level)

// The verifier's own P(Bin(n, p) <= k) for up to some million trials: terms are added from the largest on, over some
// nine standard deviations; logarithms of factorials by Stirling's series.

export function binomialAtMost(k: number, n: number, p: number): number {
  if (k >= n) return 1;
  const logTerm = (i: number) =>
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

/** The larger of both readings', whose losses are in the order in which units are read. */
function meanP(c: Certificate, readings: readonly (readonly number[])[]): number {
  const { loss, unit, agreement, delta, documents, split } = c;
  const level = 1 - agreement;
  const single = documents.slice(split.grid).every(({ copies }) => copies === undefined);
  const values = readings.map((losses, reading) => {
    const bits = loss === "anyChange" || loss === "changed" || loss === "worse";
    const binary = bits && unit === "document" && (single || reading === 1);
    if (loss === "accuracy") {
      const halves = losses.map((difference) => (1 + difference) / 2);
      return bettingP(halves, (1 + level) / 2, delta, 2 / (1 + level));
    }
    return binary ? binomialAtMost(sum(losses), losses.length, level) : bettingP(losses, level, delta);
  });
  return Math.max(...values);
}

/** Fixes each stake from the losses so far; delta sets its size. */
function bettingP(losses: readonly number[], level: number, delta: number, most = 1): number {
  let total = 0.5;
  let squares = 0.25;
  let variance = 0.25;
  let wealth = 0; // its logarithm
  let largest = 0;
  losses.forEach((loss, i) => {
    const stake = Math.min(most, Math.sqrt((-2 * Math.log(delta)) / (losses.length * variance)));
    wealth += Math.log1p(-stake * (loss - level));
    largest = Math.max(largest, wealth);
    total += loss;
    squares += (loss - total / (i + 2)) ** 2;
    variance = squares / (i + 2);
  });
  return Math.exp(-largest);
}

export function checkTest(c: Certificate, test: CertificateTest, rows: readonly Row[], check: Check): void {
  const copied = c.documents.some(({ copies }) => copies !== undefined);
  const { candidates, planned, accepted, chosen } = test;
  const vectors = new Set(candidates.map(({ thresholds }) => thresholds.join()));
  check(vectors.size === candidates.length, "test: a candidate was tested twice");
  const fair: boolean[] = [];
  const pValues: number[] = [];
  for (const [i, candidate] of candidates.entries()) {
    const name = `candidate ${i}`;
    if (!checkCounts(c, candidate, rows, name, check)) return;
    const losses = lossesOf(c, candidate, rows);
    const readings = readingsOf(c, rows, losses);
    const risk = mean(readings[0]!);
    const pValue = meanP(c, readings);
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
    fair.push(!copied || mean(meansBy(rows, losses, ({ key }) => key)) <= 1 - c.agreement);
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

export function checkFurther(c: Certificate, rows: readonly Row[], check: Check): void {
  const certified = c.test !== null && c.test.chosen !== "never";
  const units = certified ? 0 : missingUnits(c, rows);
  check(c.furtherUnits === units, `furtherUnits is stored as ${c.furtherUnits}; the counts give ${units}`);
  const documents = units === null ? null : missingDocuments(c, units);
  check(
    c.furtherDocuments === documents,
    `furtherDocuments is stored as ${c.furtherDocuments}; the counts give ${documents}`,
  );
}

/** Documents to add so that the test gains this many units. */
function missingDocuments({ documents, split, unit, settings }: Certificate, units: number): number {
  if (units === 0) return 0;
  const tested = documents.slice(split.grid);
  const counted = unit === "group" ? new Set(tested.map(({ group }) => group)).size : tested.length;
  const needed = (tested.length * (counted + units)) / counted;
  return Math.max(1, Math.ceil(needed / (1 - settings.gridShare)) - documents.length);
}

/** null if no number of further units would do. */
function missingUnits(c: Certificate, rows: readonly Row[]): number | null {
  const { test, agreement, delta } = c;
  if (test === null || test.accepted > 0) return null;
  const readings = readingsOf(c, rows, lossesOf(c, test.candidates[0]!, rows));
  if (readings.some((losses) => mean(losses) >= 1 - agreement)) return null;
  const units = readings[0]!.length;
  const most = Math.min(100 * units, Math.max(units, LIMITS.repeated));
  const repeated = (losses: readonly number[], n: number) =>
    Array.from({ length: Math.round((n * losses.length) / units) }, (_, i) => losses[i % losses.length]!);
  const passes = (n: number) =>
    meanP(
      c,
      readings.map((losses) => repeated(losses, n)),
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
