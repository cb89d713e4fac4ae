/**
 * What will be tested, decided on the grid split alone: candidates (candidates.ts) in the order of testing. The
 * sequence starts at the strictest candidate that the grid split predicts to pass with room to spare: one that lets too
 * few tokens leave would fail for lack of data and end the sequence before it began. For claim (B), exits predicted to
 * fail are dropped first, since each can veto its vector.
 */
import { meanPValue, type MeanBound, overallLosses, selectivePValues, type Tally } from "./certify-losses.js";
import type { LossMatrix } from "./testing.js";
import type { Candidate, ExitCosts } from "./candidates.js";
import { tallyVectors, type ThresholdVector, type TokenTable } from "./token-table.js";

export interface PlanOptions {
  readonly epsilon: number;
  readonly delta: number;
  /** Documents that the test will have. */
  readonly documents: number;
}

export interface TestSequence {
  /** In the order of testing; empty where nothing is worth a test. */
  readonly vectors: readonly ThresholdVector[];
  /** Per vector, mean cost of a token on the grid split. */
  readonly costs: readonly number[];
  /** Per vector, the p-value to expect of the test. */
  readonly predicted: readonly number[];
}

/** A plan to test nothing. */
export const nothing: TestSequence = { vectors: [], costs: [], predicted: [] };

export interface OverallPlanOptions extends PlanOptions {
  readonly bound: MeanBound;
  /** What a document loses under each candidate. @default the share of its tokens that change */
  readonly losses?: (tally: Tally) => LossMatrix;
}

/**
 * A plan for claim (A), or any mean loss, from candidates such as those of `proposeOverall` and what they did on the
 * grid split.
 */
export function planOverall(
  grid: Tally,
  candidates: readonly Pick<Candidate, "thresholds" | "cost">[],
  { epsilon, delta, documents, bound, losses = overallLosses }: OverallPlanOptions,
): TestSequence {
  if (candidates.length === 0) return nothing;
  const { values } = losses(grid);
  const predicted = candidates.map((_, candidate) => {
    const sample = Float64Array.from(
      { length: documents },
      (_unused, d) => values[(d % grid.documents) * candidates.length + candidate]!,
    );
    return meanPValue(sample, { epsilon, delta, bound });
  });
  const start = startOf(predicted, delta);
  const kept = candidates.slice(start);
  return {
    vectors: kept.map(({ thresholds }) => thresholds),
    costs: kept.map(({ cost }) => cost),
    predicted: predicted.slice(start),
  };
}

/** A plan for claim (B), from the candidates of `proposeSelective`. */
export function planSelective(
  grid: TokenTable,
  candidates: readonly Candidate[],
  costs: ExitCosts,
  { epsilon, delta, documents, unit }: PlanOptions & { readonly unit: "token" | "document" },
): TestSequence {
  if (candidates.length === 0) return nothing;
  const proposed = candidates.map(({ thresholds }) => thresholds);
  const first = selectivePValues(resizeTally(tallyVectors(grid, proposed), documents), { epsilon, delta, unit });
  const hopeful = proposed.map((vector, candidate) =>
    vector.map((threshold, exit) => ((first[candidate]![exit] ?? 0) > delta ? Infinity : threshold)),
  );
  const kept = distinct(hopeful.filter((vector) => vector.some((threshold) => threshold < Infinity)));
  if (kept.length === 0) {
    // nothing is predicted to pass: try the likeliest, so that the report can say what is missing
    const pValues = first.map(worstOf);
    const likeliest = pValues.indexOf(Math.min(...pValues));
    return { vectors: [proposed[likeliest]!], costs: [candidates[likeliest]!.cost], predicted: [pValues[likeliest]!] };
  }
  const tally = tallyVectors(grid, kept);
  return startSelective(tally, kept, costsOf(tally, costs), { epsilon, delta, documents, unit });
}

/** Where a sequence of given vectors begins for claim (B), from what they did on the grid split. */
export function startSelective(
  grid: Tally,
  vectors: readonly ThresholdVector[],
  costs: readonly number[],
  { epsilon, delta, documents, unit }: PlanOptions & { readonly unit: "token" | "document" },
): TestSequence {
  const predicted = selectivePValues(resizeTally(grid, documents), { epsilon, delta, unit }).map(worstOf);
  const start = startOf(predicted, delta);
  return { vectors: vectors.slice(start), costs: costs.slice(start), predicted: predicted.slice(start) };
}

/** The p-value of a vector: the largest over the exits it uses. */
function worstOf(exits: readonly (number | null)[]): number {
  return Math.max(0, ...exits.map((p) => p ?? 0));
}

/** Mean cost of a token under each candidate of a tally. */
export function costsOf(
  { documents, candidates, exits, tokens, left, active }: Tally,
  { reach, head, full }: ExitCosts,
): number[] {
  const total = tokens.reduce((sum, count) => sum + count, 0);
  return Array.from({ length: candidates }, (_, candidate) => {
    let going = total;
    let cost = 0;
    for (let exit = 0; exit < exits; exit++) {
      if (active[candidate * exits + exit] === 0) continue;
      let leaving = 0;
      for (let d = 0; d < documents; d++) leaving += left[(d * candidates + candidate) * exits + exit]!;
      cost += going * head[exit]! + leaving * reach[exit]!;
      going -= leaving;
    }
    return (cost + going * full) / total;
  });
}

/**
 * What a token is expected to cost under the policy that the plan will lead to: the cheapest before the first predicted
 * failure; `full` where none passes.
 */
export function expectedCost({ costs, predicted }: TestSequence, delta: number, full: number): number {
  const failure = predicted.findIndex((p) => p > delta);
  return Math.min(full, ...costs.slice(0, failure < 0 ? costs.length : failure));
}

/** The strictest candidate predicted to pass with p <= δ/10; where none is, the one predicted to come closest. */
export function startOf(predicted: readonly number[], delta: number): number {
  const safe = predicted.findIndex((p) => p <= delta / 10);
  return safe >= 0 ? safe : predicted.indexOf(Math.min(...predicted));
}

/** The same documents again and again, up to `documents` of them: what a sample of that size may look like. */
export function resizeTally(tally: Tally, documents: number): Tally {
  const width = tally.candidates * tally.exits;
  const source = Array.from({ length: documents }, (_, d) => d % tally.documents);
  const rows = (from: Int32Array, size = width): Int32Array => {
    const to = new Int32Array(documents * size);
    source.forEach((d, i) => {
      to.set(from.subarray(d * size, (d + 1) * size), i * size);
    });
    return to;
  };
  return {
    ...tally,
    documents,
    tokens: Int32Array.from(source, (d) => tally.tokens[d]!),
    left: rows(tally.left),
    wrong: rows(tally.wrong),
    deep: rows(tally.deep, tally.candidates),
  };
}

function distinct(vectors: readonly ThresholdVector[]): ThresholdVector[] {
  return [...new Map(vectors.map((vector) => [vector.join(), vector])).values()];
}
