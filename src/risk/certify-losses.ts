/**
 * The statistics of the claim E[loss of a unit] <= ε, for losses in [0, 1]. Candidates are tested in a fixed order:
 *   p-value         for the null hypothesis "this candidate's mean loss exceeds ε": the exact binomial tail where every
 *                   loss is 0 or 1 by definition, otherwise the betting bound (WSR), for differences in [-1, 1] too
 *   fixed sequence  accept in order while p <= δ; stop BEFORE the first failure
 * P(some accepted candidate has a mean loss above ε) <= δ, because the first such candidate in the order must pass
 * before any: δ is not divided, but candidates and order must be fixed before these losses are seen. Accepting the
 * first failure voids the guarantee: its risk is typically just above ε.
 */
import { differencePValue, wsrPValue } from "./betting-bound.js";
import { binomialTail } from "./binomial.js";
import { requireInside, requireLosses } from "./check.js";
import { fixedSequence } from "./multiple-tests.js";

export interface LossMatrix {
  /** Documents, or groups of them. */
  readonly units: number;
  readonly candidates: number;
  /** Each loss is 0 or 1 by definition, not only in this sample: any change, in single documents. */
  readonly binary: boolean;
  /** Losses are differences in [-1, 1]: of accuracy, which a candidate may gain. @default false */
  readonly signed?: boolean;
  /** [units, candidates] */
  readonly values: Float64Array;
}

interface CertifyOptions {
  /** Largest permitted risk, 1 - agreement, in (0, 1). */
  readonly epsilon: number;
  /** The probability that the certificate is wrong, in (0, 1). */
  readonly delta: number;
}

interface Certification {
  /** Up to the first failure: the p-value for the null hypothesis "this candidate's mean loss exceeds epsilon". */
  readonly pValues: readonly number[];
  /** Per candidate, the mean loss. */
  readonly risks: readonly number[];
  readonly accepted: number;
  /** About how many more such units would certify the first candidate; 0 if it is accepted, null if no number would. */
  readonly furtherUnits: number | null;
}

/**
 * Takes candidates in the order of testing, and the losses of the same in other units: a claim about either then holds,
 * because a p-value is the largest of all readings'.
 */
export function certifyLosses(
  losses: LossMatrix,
  { epsilon, delta }: CertifyOptions,
  ...others: readonly LossMatrix[]
): Certification {
  const readings = [losses, ...others];
  const columnsOf = (candidate: number): Float64Array[] => readings.map((reading) => columnOf(reading, candidate));
  const largest = (columns: readonly Float64Array[]): number =>
    Math.max(...columns.map((column, i) => meanPValue(column, { ...readings[i]!, epsilon, delta })));
  const all = Array.from({ length: losses.candidates }, (_, candidate) => columnsOf(candidate));
  const pValues: number[] = [];
  for (const columns of all) {
    const pValue = largest(columns);
    pValues.push(pValue);
    if (pValue > delta) break;
  }
  const accepted = fixedSequence(pValues, delta).length;
  const pValueAt = (n: number): number =>
    largest(all[0]!.map((column) => repeatTo(column, Math.round((n * column.length) / losses.units))));
  const hopeful = readings.every((reading) => meansOf(reading)[0]! < epsilon);
  return {
    pValues,
    risks: meansOf(losses),
    accepted,
    furtherUnits: accepted > 0 ? 0 : hopeful ? furtherUnits(pValueAt, losses.units, delta) : null,
  };
}

/** Per candidate, the mean loss. */
export function meansOf({ units, candidates, values }: LossMatrix): number[] {
  const sums = Array.from({ length: candidates }, () => 0);
  values.forEach((value, i) => {
    sums[i % candidates]! += value;
  });
  return sums.map((sum) => sum / units);
}

type MeanTest = CertifyOptions & Pick<LossMatrix, "binary" | "signed">;

/** p-value for the null hypothesis "the mean of these losses exceeds epsilon"; delta tunes the stakes of the bet. */
export function meanPValue(losses: Float64Array, { epsilon, delta, binary, signed = false }: MeanTest): number {
  if (signed) return differencePValue(losses, epsilon, delta);
  if (!binary) return wsrPValue(losses, epsilon, delta);
  return binomialTail(requireLosses("certifyLosses", losses), losses.length, epsilon);
}

/** The smallest number of error-free units that certifies "risk <= level" at confidence 1 - delta. */
export function errorFreeUnits(level: number, delta: number): number {
  requireInside("errorFreeUnits: level", level);
  requireInside("errorFreeUnits: delta", delta);
  return Math.ceil(Math.log(delta) / Math.log1p(-level));
}

/** Losses to which the units' are repeated at most: a verifier does it again, in seconds. */
const REPEATED = 500_000;

/**
 * About how many units more it takes until pValueAt(n) <= delta, the p-value of n units at the observed error rate. It
 * need not decrease strictly. Searches up to a hundred times the units: the sample says too little about more.
 */
function furtherUnits(pValueAt: (n: number) => number, units: number, delta: number): number | null {
  const most = Math.min(100 * units, Math.max(units, REPEATED));
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

export function columnOf({ units, candidates, values }: LossMatrix, candidate: number): Float64Array {
  const column = new Float64Array(units);
  for (let unit = 0; unit < units; unit++) column[unit] = values[unit * candidates + candidate]!;
  return column;
}

/** Repeats the units cyclically to n: what such a sample may look like. */
export function repeatTo(units: Float64Array, n: number): Float64Array {
  if (n <= units.length) return units.subarray(0, n);
  const repeated = new Float64Array(n);
  for (let filled = 0; filled < n; filled += units.length) repeated.set(units.subarray(0, n - filled), filled);
  return repeated;
}
