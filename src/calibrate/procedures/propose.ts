/**
 * Candidates, from strict to lax, on a grid split that the test never sees:
 *   for each slack s = ε/m, 2ε/m, …, ε: the cheapest vector found whose risk on the grid split is <= s
 *   with copies, ε (i/m)³ in place of ε i/m: they can be much harder than what the grid split shows
 * Vectors come from minimising cost + λ·loss for a range of λ by coordinate descent over the exits; then one exit is
 * relaxed as far as s permits. This need not find the global optimum (a hard problem): the test decides. For large
 * tables the search uses some of the documents, but evaluates each vector found on all.
 */
import { OptionError, requireInteger } from "../../errors.js";
import { requireInside } from "../../risk/check.js";
import type { ExitCosts } from "./tally.js";
import { type LossColumn, lossesIn, type ThresholdVector, type TokenTable } from "./token-table.js";

// The search space of thresholds. Each exit's oriented scores are sorted once into at most 256 bins of about equally
// many tokens; equal scores share a bin. A cut is the number of most confident bins that leave. What a vector of cuts
// costs and harms (`evaluateCuts`), and what each cut at one exit would change while the others stay (`sweep`), is one
// pass over the tokens each, in integers: the order of tokens does not matter.

const BINS = 256;
/** The search looks at about so many tokens. */
const SEARCHED = 12_000;
/** The search rounds a token's loss up to a multiple of 1/256. */
const LOSS_STEPS = 256;
/** Shares of documents in fixed point: sums are exact, whatever the order of tokens. */
const SHARE_UNIT = 2 ** 24;

interface BinnedTokens {
  /** Documents that the search looks at, and their tokens. */
  readonly documents: readonly number[];
  readonly tokens: number;
  readonly starts: Int32Array;
  /** Per exit: [tokens] index of the token's bin; 0 is the most confident bin. */
  readonly bins: readonly Uint16Array[];
  /** Per exit: the lowest oriented score in each bin, decreasing. */
  readonly edges: readonly (readonly number[])[];
  /** Per exit: [tokens] loss if the token leaves there, in 1/LOSS_STEPS. */
  readonly losses: readonly Uint16Array[];
  /** [tokens] loss if the token runs all blocks. */
  readonly deep?: Uint16Array;
  /** [documents] SHARE_UNIT / number of tokens. */
  readonly shares: Float64Array;
}

function binTokens(table: TokenTable): BinnedTokens {
  const { documents, starts, oriented } = table;
  const { lossScale, exits: losses, deep } = lossesIn(table);
  const tokens = starts[documents]!;
  const edges = oriented.map((column) => {
    const sorted = column.slice().sort();
    const quantiles = Array.from(
      { length: BINS },
      (_, b) => sorted[Math.max(0, tokens - Math.ceil((tokens * (b + 1)) / BINS))]!,
    );
    return quantiles.filter((edge, b) => edge !== quantiles[b - 1]);
  });
  const bins = oriented.map((column, exit) => {
    const indices = new Uint16Array(tokens);
    for (let t = 0; t < tokens; t++) indices[t] = firstAtMost(edges[exit]!, column[t]!);
    return indices;
  });
  const coarse = (column: LossColumn): Uint16Array => {
    const rounded = new Uint16Array(tokens);
    for (let t = 0; t < tokens; t++) rounded[t] = Math.ceil((column[t]! * LOSS_STEPS) / lossScale);
    return rounded;
  };
  return {
    documents: [...Array(documents).keys()],
    tokens,
    starts,
    bins,
    edges,
    losses: losses.map(coarse),
    ...(deep && { deep: coarse(deep) }),
    shares: Float64Array.from({ length: documents }, (_, d) => Math.round(SHARE_UNIT / (starts[d + 1]! - starts[d]!))),
  };
}

/** Looks at every k-th document, about SEARCHED tokens in all. */
function thin(binned: BinnedTokens): BinnedTokens {
  const { starts } = binned;
  const step = Math.ceil(binned.tokens / SEARCHED);
  if (step === 1) return binned;
  const documents = binned.documents.filter((d) => d % step === 0);
  return { ...binned, documents, tokens: documents.reduce((sum, d) => sum + starts[d + 1]! - starts[d]!, 0) };
}

/** Index of the first of the decreasing edges that is <= score. The last edge is the lowest score of all. */
function firstAtMost(edges: readonly number[], score: number): number {
  let low = 0;
  let high = edges.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle]! <= score) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Per exit, how many of the most confident bins leave there; 0 is "never". */
type Cuts = readonly number[];

interface EvaluatedCuts {
  readonly cuts: Cuts;
  readonly risk: number;
  readonly cost: number;
}

interface Sweep {
  readonly reached: number;
  /** [bins] cost saved if the tokens leave here instead of going on with the other cuts. */
  readonly gain: Float64Array;
  /** [bins] document share of loss added if they leave here, in SHARE_UNIT. */
  readonly harm: Float64Array;
}

type Sweeper = (cuts: Cuts, exit: number) => Sweep;

/** Sweeps do not depend on the cut at their own exit, so that most of a search meets known ones. */
function sweeper(binned: BinnedTokens, costs: ExitCosts): Sweeper {
  const known = new Map<string, Sweep>();
  return (cuts, exit) => {
    const key = `${exit} of ${cuts.with(exit, 0).join()}`;
    const found = known.get(key) ?? sweep(binned, costs, cuts, exit);
    known.set(key, found);
    return found;
  };
}

function sweep(
  { documents, starts, bins, edges, losses, deep, shares }: BinnedTokens,
  costs: ExitCosts,
  cuts: Cuts,
  exit: number,
): Sweep {
  const size = edges[exit]!.length;
  const harm = new Float64Array(size);
  const exits = edges.length;
  // [exits + 1, bins] tokens by where they would leave otherwise; counted here, priced below
  const onward = new Float64Array((exits + 1) * size);
  const ownBins = bins[exit]!;
  const ownLosses = losses[exit]!;
  let reached = 0;
  for (const d of documents) {
    const share = shares[d]!;
    for (let t = starts[d]!; t < starts[d + 1]!; t++) {
      if (leavesAt(bins, cuts, t, 0, exit) < exit) continue;
      reached++;
      const bin = ownBins[t]!;
      const next = leavesAt(bins, cuts, t, exit + 1, exits);
      const wrongThere = (next < exits ? losses[next]![t] : deep?.[t]) ?? 0;
      harm[bin]! += share * (ownLosses[t]! - wrongThere);
      onward[next * size + bin]!++;
    }
  }
  for (let bin = 0; bin < size; bin++) harm[bin]! /= LOSS_STEPS; // sums first: they are exact
  const without = tokenCosts(costs, cuts.with(exit, 0));
  const here = without[exit]!; // the blocks, and the heads before: its own cut is 0
  const gain = new Float64Array(size);
  for (let next = exit + 1; next <= exits; next++) {
    for (let bin = 0; bin < size; bin++) gain[bin]! += onward[next * size + bin]! * (without[next]! - here);
  }
  return { reached, gain, harm };
}

function evaluateCuts(
  { documents, tokens, starts, bins, losses, deep, shares }: BinnedTokens,
  costs: ExitCosts,
  cuts: Cuts,
): EvaluatedCuts {
  const exits = cuts.length;
  const leaving = new Float64Array(exits + 1);
  let harm = 0;
  for (const d of documents) {
    for (let t = starts[d]!; t < starts[d + 1]!; t++) {
      const exit = leavesAt(bins, cuts, t, 0, exits);
      leaving[exit]!++;
      harm += shares[d]! * ((exit < exits ? losses[exit]![t] : deep?.[t]) ?? 0);
    }
  }
  const price = tokenCosts(costs, cuts);
  return {
    cuts,
    risk: harm / LOSS_STEPS / (documents.length * SHARE_UNIT),
    cost: leaving.reduce((sum, count, exit) => sum + (count * price[exit]!) / tokens, 0),
  };
}

/** Without repeated vectors and "never exit". */
function vectorsOf({ edges }: BinnedTokens, found: readonly Cuts[]): ThresholdVector[] {
  const distinct = new Map(found.map((cuts) => [cuts.join(), cuts]));
  distinct.delete(edges.map(() => 0).join());
  return Array.from(distinct.values(), (cuts) =>
    cuts.map((cut, exit) => (cut === 0 ? Infinity : edges[exit]![cut - 1]!)),
  );
}

/** The first exit in [from, to) where token t leaves; else `to`. */
function leavesAt(bins: readonly Uint16Array[], cuts: Cuts, t: number, from: number, to: number): number {
  for (let exit = from; exit < to; exit++) {
    if (bins[exit]![t]! < cuts[exit]!) return exit;
  }
  return to;
}

/** [exits + 1] cost of a token by the exit at which it leaves; the last entry is full depth. */
function tokenCosts({ reach, head, full }: ExitCosts, cuts: Cuts): number[] {
  let heads = 0;
  const early = reach.map((blocks, exit) => {
    if (cuts[exit]! > 0) heads += head[exit]!;
    return blocks + heads;
  });
  return [...early, full + heads];
}

/** Values of λ tried. */
const PATH = 24;
const ROUNDS = 3;

interface ProposeOptions {
  readonly epsilon: number;
  /** Slacks tried; repeated vectors are dropped. @default 20 */
  readonly count?: number;
  /** True if documents hold copies. @default false */
  readonly copied?: boolean;
}

/** Throws an OptionError for scores that are not finite, an epsilon outside (0, 1) or an illegal count. */
export function proposeVectors(
  table: TokenTable,
  costs: ExitCosts,
  { epsilon, count = 20, copied = false }: ProposeOptions,
): ThresholdVector[] {
  requireInside("proposeVectors: epsilon", epsilon);
  requireInteger("proposeVectors: count", count, 1, 1000);
  const broken = table.oriented.findIndex((scores) => !scores.every(Number.isFinite));
  if (broken >= 0) {
    throw new OptionError(
      "score-nan",
      `calibrate: a score of exit ${broken} is not finite; the head's logits are broken`,
      { exit: broken },
    );
  }
  const binned = binTokens(table);
  const searched = thin(binned);
  const sweepSearched = sweeper(searched, costs);
  const sweepAll = searched === binned ? sweepSearched : sweeper(binned, costs);
  const never = binned.edges.map(() => 0);
  // Vectors for a range of λ, the price of a changed token, from strict to lax: almost any saving is worth one.
  const strict = (40 * costs.full) / epsilon;
  const lax = costs.full / 4;
  let last = evaluateCuts(binned, costs, never);
  const path = [last];
  for (let step = 0; step < PATH; step++) {
    const cuts = descend(searched, costs, sweepSearched, last.cuts, strict * (lax / strict) ** (step / (PATH - 1)));
    if (cuts.join() !== last.cuts.join()) path.push((last = evaluateCuts(binned, costs, cuts)));
  }
  const chosen = Array.from({ length: count }, (_, i) => {
    const slack = copied ? epsilon * ((i + 1) / count) ** 3 : (epsilon * (i + 1)) / count;
    const base = path
      .filter(({ risk }) => risk <= slack)
      .reduce((best, vector) => (vector.cost < best.cost ? vector : best), path[0]!);
    const sweeps = base.cuts.map((_cut, exit) => sweepAll(base.cuts, exit));
    return relax(binned, base, costs, sweeps, slack);
  });
  return vectorsOf(binned, chosen);
}

/** Coordinate descent on cost + λ·loss, deepest exit first. */
function descend(
  { tokens, documents }: BinnedTokens,
  costs: ExitCosts,
  sweepAt: Sweeper,
  from: Cuts,
  lambda: number,
): number[] {
  const cuts = [...from];
  // Costs are summed over tokens, losses are averaged over documents.
  const price = (lambda * tokens) / (documents.length * SHARE_UNIT);
  for (let round = 0; round < ROUNDS; round++) {
    let changed = false;
    for (let exit = cuts.length - 1; exit >= 0; exit--) {
      const { gain, harm, reached } = sweepAt(cuts, exit);
      let best = 0;
      let bestCut = 0;
      let sum = -costs.head[exit]! * reached;
      for (let bin = 0; bin < gain.length; bin++) {
        sum += gain[bin]! - price * harm[bin]!;
        if (sum > best) {
          best = sum;
          bestCut = bin + 1;
        }
      }
      changed ||= cuts[exit] !== bestCut;
      cuts[exit] = bestCut;
    }
    if (!changed) break;
  }
  return cuts;
}

/** Relaxes the exit where that saves most, as far as the slack permits. */
function relax(
  { documents }: BinnedTokens,
  base: EvaluatedCuts,
  costs: ExitCosts,
  sweeps: readonly Sweep[],
  slack: number,
): Cuts {
  const room = (slack - base.risk) * documents.length * SHARE_UNIT;
  let best = 0;
  let bestCuts = base.cuts;
  for (const [exit, { gain, harm, reached }] of sweeps.entries()) {
    const from = base.cuts[exit]!;
    let saved = from === 0 ? -costs.head[exit]! * reached : 0;
    let harmed = 0;
    for (let bin = from; bin < gain.length; bin++) {
      saved += gain[bin]!;
      harmed += harm[bin]!;
      if (harmed <= room && saved > best) {
        best = saved;
        bestCuts = base.cuts.with(exit, bin + 1);
      }
    }
  }
  return bestCuts;
}
