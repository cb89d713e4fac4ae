/**
 * How many units are missing, recomputed: the units of the test are repeated cyclically until the p-value of the
 * candidate that came closest is small enough; the documents to add follow from the share that goes to the grid split.
 */
import type { Certificate, CertificateTest } from "../certificate/index.js";
import { LIMITS } from "./limits.js";
import { countsAt, lossesOf } from "./verify-counts.js";
import { binomialAtMost } from "./verify-binomial.js";
import { meanP } from "./verify-p-values.js";
import { unitMeans, unitStarts } from "./verify-units.js";
import { type Check, sum } from "./verify-values.js";

/** Checks both numbers. */
export function checkFurther(c: Certificate, check: Check): void {
  const certified = c.tests.some(({ chosen }) => chosen !== "never");
  const units = certified ? 0 : missingUnits(c);
  check(c.furtherUnits === units, `furtherUnits is stored as ${c.furtherUnits}; the counts give ${units}`);
  const documents = units === null ? null : missingDocuments(c, units);
  check(
    c.furtherDocuments === documents,
    `furtherDocuments is stored as ${c.furtherDocuments}; the counts give ${documents}`,
  );
}

/** Documents to add so that the test gains this many units, if they resemble those given. */
function missingDocuments({ unit, documents, split, settings: { gridShare } }: Certificate, units: number): number {
  if (units === 0) return 0;
  const tested = documents.slice(split.grid);
  const groups = new Set(tested.map(({ group }) => group)).size;
  const counted = { document: tested.length, group: groups, token: sum(tested.map(({ tokens }) => tokens)) }[unit];
  const needed = (tested.length * (counted + units)) / counted;
  return Math.max(1, Math.ceil(needed / (1 - gridShare)) - documents.length);
}

/** null if no number of further units would do, as far as can be said. */
function missingUnits(c: Certificate): number | null {
  const [test] = c.tests;
  if (test === undefined || c.procedure === "byExit" || test.accepted.length > 0) return null;
  const level = 1 - c.agreement;
  if (c.procedure === "crc") {
    const { risk } = test.candidates[0]!;
    const n = unitStarts(c, 0, test.documents).length - 1;
    return risk < level ? Math.max(1, Math.ceil((1 - level) / (level - risk)) - n) : null;
  }
  const delta = c.procedure === "bonferroni" ? test.delta / test.planned : test.delta;
  const hopeful = test.candidates.filter(({ risk }) => risk < level);
  if (hopeful.length === 0) return null;
  const closest = hopeful.reduce((best, one) => (one.pValue! < best.pValue! ? one : best));
  return search(extrapolation(c, test, closest), delta);
}

interface Extrapolation {
  readonly units: number;
  /** The largest number of units that is tried: a hundred times those seen, or fewer if there are many. */
  readonly most: number;
  readonly pValueAt: (n: number) => number;
}

function extrapolation(
  c: Certificate,
  test: CertificateTest,
  candidate: CertificateTest["candidates"][number],
): Extrapolation {
  const level = 1 - c.agreement;
  const tokens = c.documents.slice(c.split.grid).map((document) => document.tokens);
  const starts = unitStarts(c, 0, test.documents);
  const terms = { level, delta: test.delta, bound: c.bound };
  const repeated = (values: readonly number[], n: number): number[] =>
    Array.from({ length: n }, (_, i) => values[i % values.length]!);
  if (c.claim !== "selective") {
    const losses = unitMeans(lossesOf(c, candidate, tokens), starts);
    return {
      units: losses.length,
      most: mostUnits(losses.length, 1),
      pValueAt: (n) => meanP(repeated(losses, n), terms),
    };
  }
  const exits = candidate.thresholds.length;
  const used = candidate.thresholds.flatMap((threshold, exit) => (threshold === "never" ? [] : [exit]));
  const columns = used.map((exit) => {
    const leaving = countsAt(candidate.left, exits, exit);
    const mistaken = countsAt(candidate.wrong, exits, exit).map((count) => count / c.lossScale);
    const excess = tokens.map((count, d) =>
      Math.min(1, Math.max(0, level + (mistaken[d]! - level * leaving[d]!) / count)),
    );
    return { left: sum(leaving), wrong: sum(mistaken), units: unitMeans(excess, starts) };
  });
  const all = sum(tokens);
  const units = c.unit === "token" ? all : starts.length - 1;
  const pValueAt = (n: number): number =>
    columns.reduce((worst, { left, wrong, units: means }) => {
      if (left === 0) return 1;
      if (c.unit !== "token") return Math.max(worst, meanP(repeated(means, n), terms));
      const leaving = Math.round((left * n) / all);
      return Math.max(worst, binomialAtMost(Math.min(leaving, Math.ceil((wrong * n) / all)), leaving, level));
    }, 0);
  // The p-value of tokens takes the same time for any number of them.
  return { units, most: c.unit === "token" ? 100 * units : mostUnits(units, used.length), pValueAt };
}

/** With so many lists of losses, each repeated up to this length. */
function mostUnits(units: number, lists: number): number {
  return Math.min(100 * units, Math.max(units, Math.floor(LIMITS.repeated / lists)));
}

/** The smallest n - units with a p-value within delta; null if there is none among those that are tried. */
function search({ pValueAt, units, most }: Extrapolation, delta: number): number | null {
  let low = units - 1;
  let high = units;
  while (pValueAt(high) > delta) {
    if (high >= most) return null;
    low = high;
    high = Math.min(most, 2 * high);
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (pValueAt(middle) > delta) low = middle;
    else high = middle;
  }
  return high - units;
}
