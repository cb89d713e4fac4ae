/**
 * What will be tested, decided on the grid split alone: candidates (candidates.ts) in the order of testing. The sequence starts at the
 * strictest candidate that the grid split predicts to pass with room to spare: one that lets too few tokens leave would fail for lack of
 * data and end the sequence before it began. For claim (B), exits predicted to fail are dropped first, since each can veto its vector.
 */
import { meanPValue, type MeanBound, overallLosses, selectivePValues, type Tally } from "./certify-losses.js";
import type { Candidate, ExitCosts } from "./candidates.js";
import { tallyVectors, type ThresholdVector, type TokenTable } from "./token-table.js";

export interface PlanOptions {
  readonly epsilon: number;
  readonly delta: number;
  /** Documents that the test will have. */
  readonly documents: number;
}

export interface TestPlan {
  /** In the order of testing; empty where nothing is worth a test. */
  readonly vectors: readonly ThresholdVector[];
  /** Per vector, mean cost of a token on the grid split. */
  readonly costs: readonly number[];
}

/** A plan for claim (A), from the candidates of `proposeOverall`. */
export function planOverall(grid: TokenTable, candidates: readonly Candidate[], { epsilon, delta, documents, bound }: PlanOptions & { readonly bound: MeanBound }): TestPlan {
  if (candidates.length === 0) return { vectors: [], costs: [] };
  const vectors = candidates.map(({ thresholds }) => thresholds);
  const { values } = overallLosses(tallyVectors(grid, vectors));
  const predicted = vectors.map((_, candidate) => {
    const losses = Float64Array.from({ length: documents }, (_unused, d) => values[(d % grid.documents) * vectors.length + candidate]!);
    return meanPValue(losses, { epsilon, delta, bound });
  });
  const start = startOf(predicted, delta);
  return { vectors: vectors.slice(start), costs: candidates.slice(start).map(({ cost }) => cost) };
}

/** A plan for claim (B), from the candidates of `proposeSelective`. */
export function planSelective(grid: TokenTable, candidates: readonly Candidate[], costs: ExitCosts, { epsilon, delta, documents, unit }: PlanOptions & { readonly unit: "token" | "document" }): TestPlan {
  if (candidates.length === 0) return { vectors: [], costs: [] };
  const proposed = candidates.map(({ thresholds }) => thresholds);
  const predict = (tally: Tally): (number | null)[][] => selectivePValues(resize(tally, documents), { epsilon, delta, unit });
  const worst = (exits: readonly (number | null)[]): number => Math.max(0, ...exits.map((p) => p ?? 0));
  const first = predict(tallyVectors(grid, proposed));
  const hopeful = proposed.map((vector, candidate) => vector.map((threshold, exit) => ((first[candidate]![exit] ?? 0) > delta ? Infinity : threshold)));
  const kept = distinct(hopeful.filter((vector) => vector.some((threshold) => threshold < Infinity)));
  if (kept.length === 0) { // nothing is predicted to pass: try the likeliest, so that the report can say what is missing
    const pValues = first.map(worst);
    const likeliest = pValues.indexOf(Math.min(...pValues));
    return { vectors: [proposed[likeliest]!], costs: [candidates[likeliest]!.cost] };
  }
  const tally = tallyVectors(grid, kept);
  const start = startOf(predict(tally).map(worst), delta);
  return { vectors: kept.slice(start), costs: costsOf(tally, costs).slice(start) };
}

/** Mean cost of a token under each candidate of a tally. */
export function costsOf({ documents, candidates, exits, tokens, left, active }: Tally, { reach, head, full }: ExitCosts): number[] {
  const total = tokens.reduce((sum, count) => sum + count, 0);
  return Array.from({ length: candidates }, (_, candidate) => {
    let [going, cost] = [total, 0];
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

/** The strictest candidate predicted to pass with p <= δ/10; where none is, the one predicted to come closest. */
function startOf(predicted: readonly number[], delta: number): number {
  const safe = predicted.findIndex((p) => p <= delta / 10);
  return safe >= 0 ? safe : predicted.indexOf(Math.min(...predicted));
}

/** The same documents again and again, up to `documents` of them: what a sample of that size may look like. */
function resize(tally: Tally, documents: number): Tally {
  const width = tally.candidates * tally.exits;
  const source = Array.from({ length: documents }, (_, d) => d % tally.documents);
  const rows = (from: Int32Array): Int32Array => {
    const to = new Int32Array(documents * width);
    source.forEach((d, i) => { to.set(from.subarray(d * width, (d + 1) * width), i * width); });
    return to;
  };
  return { ...tally, documents, tokens: Int32Array.from(source, (d) => tally.tokens[d]!), left: rows(tally.left), wrong: rows(tally.wrong) };
}

function distinct(vectors: readonly ThresholdVector[]): ThresholdVector[] {
  return [...new Map(vectors.map((vector) => [vector.join(), vector])).values()];
}
