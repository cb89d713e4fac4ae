/**
 * Which candidates will be tested, in which order. The grid split alone decides, so the test documents stay unseen. The
 * sequence starts at the strictest candidate that the grid split predicts to pass with a margin:
 *   predicted p-value, on the grid documents repeated up to the size of the test, <= δ/10
 * A stricter candidate lets so few tokens leave that it would fail for lack of data and end the sequence at once. For
 * claim (B), exits predicted to fail are dropped first, because each exit can veto its vector.
 */
import { type Candidate, costsOf, type ExitCosts } from "./candidate.js";
import { type SelectiveOptions, selectivePValues } from "./certify-selective.js";
import { type MeanBound, meanPValue } from "./mean-p-value.js";
import { columnOf, type LossMatrix, overallLosses, repeatTo, resizeTally, type Tally } from "./tally.js";
import { tallyVectors, type ThresholdVector, type TokenTable } from "./token-table.js";

export interface PlanOptions {
  readonly epsilon: number;
  readonly delta: number;
  /** Number of units in the test: documents, or groups of them; documents if tokens are the units. */
  readonly units: number;
}

export interface TestSequence {
  /** In the order of testing; empty if nothing is worth a test. */
  readonly vectors: readonly ThresholdVector[];
  /** Per vector, the mean cost of a token on the grid split. */
  readonly costs: readonly number[];
  /** Per vector, the p-value that the grid split predicts for the test. */
  readonly predicted: readonly number[];
}

/** A sequence without candidates. */
export const nothing: TestSequence = { vectors: [], costs: [], predicted: [] };

export interface OverallPlanOptions extends PlanOptions {
  readonly bound: MeanBound;
  /** The loss of a document under each candidate. @default the share of its tokens that change */
  readonly losses?: (tally: Tally) => LossMatrix;
}

export interface SelectivePlanOptions extends PlanOptions {
  readonly unit: NonNullable<SelectiveOptions["unit"]>;
  /** @default "wsr" */
  readonly bound?: SelectiveOptions["bound"];
}

/**
 * Plans the test of claim (A), or of any other mean loss, from candidates such as those of `proposeOverall` and their
 * tally on the grid split.
 */
export function planOverall(
  grid: Tally,
  candidates: readonly Pick<Candidate, "thresholds" | "cost">[],
  { epsilon, delta, units, bound, losses = overallLosses }: OverallPlanOptions,
): TestSequence {
  if (candidates.length === 0) return nothing;
  const onGrid = losses(grid);
  const predicted = candidates.map((_, candidate) =>
    meanPValue(repeatTo(columnOf(onGrid, candidate), units), { epsilon, delta, bound }),
  );
  const start = startOf(predicted, delta);
  const kept = candidates.slice(start);
  return {
    vectors: kept.map(({ thresholds }) => thresholds),
    costs: kept.map(({ cost }) => cost),
    predicted: predicted.slice(start),
  };
}

/** Plans the test of claim (B), from the candidates of `proposeSelective`. */
export function planSelective(
  grid: TokenTable,
  candidates: readonly Candidate[],
  costs: ExitCosts,
  options: SelectivePlanOptions,
): TestSequence {
  const { delta } = options;
  if (candidates.length === 0) return nothing;
  const proposed = candidates.map(({ thresholds }) => thresholds);
  const first = predictedPValues(tallyVectors(grid, proposed), options);
  const hopeful = proposed.map((vector, candidate) =>
    vector.map((threshold, exit) => ((first[candidate]![exit] ?? 0) > delta ? Infinity : threshold)),
  );
  const kept = distinct(hopeful.filter((vector) => vector.some((threshold) => threshold < Infinity)));
  if (kept.length === 0) {
    // No candidate is predicted to pass. Test the likeliest, so that the report can say how many units are missing.
    const pValues = first.map(worstOf);
    const likeliest = pValues.indexOf(Math.min(...pValues));
    return { vectors: [proposed[likeliest]!], costs: [candidates[likeliest]!.cost], predicted: [pValues[likeliest]!] };
  }
  const tally = tallyVectors(grid, kept);
  return startSelective(tally, kept, costsOf(tally, costs), options);
}

/** Plans the test of claim (B) for given vectors, from their tally on the grid split. */
export function startSelective(
  grid: Tally,
  vectors: readonly ThresholdVector[],
  costs: readonly number[],
  options: SelectivePlanOptions,
): TestSequence {
  const predicted = predictedPValues(grid, options).map(worstOf);
  const start = startOf(predicted, options.delta);
  return { vectors: vectors.slice(start), costs: costs.slice(start), predicted: predicted.slice(start) };
}

/** The p-values that the grid split predicts for a test of so many units. */
function predictedPValues(
  grid: Tally,
  { epsilon, delta, units, unit, bound }: SelectivePlanOptions,
): (number | null)[][] {
  return selectivePValues(resizeTally(grid, units), { epsilon, delta, unit, ...(bound && { bound }) });
}

/** The p-value of a vector: the largest over the exits that it uses. */
function worstOf(exits: readonly (number | null)[]): number {
  return Math.max(0, ...exits.map((p) => p ?? 0));
}

/**
 * The expected cost of a token under the policy that the sequence will lead to: that of the cheapest candidate before
 * the first predicted failure; `full` if none is predicted to pass.
 */
export function expectedCost({ costs, predicted }: TestSequence, delta: number, full: number): number {
  const failure = predicted.findIndex((p) => p > delta);
  return Math.min(full, ...costs.slice(0, failure < 0 ? costs.length : failure));
}

/** The strictest candidate predicted to pass with p <= δ/10, or the one predicted to come closest if there is none. */
export function startOf(predicted: readonly number[], delta: number): number {
  const safe = predicted.findIndex((p) => p <= delta / 10);
  return safe >= 0 ? safe : predicted.indexOf(Math.min(...predicted));
}

function distinct(vectors: readonly ThresholdVector[]): ThresholdVector[] {
  return [...new Map(vectors.map((vector) => [vector.join(), vector])).values()];
}
