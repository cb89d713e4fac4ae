/**
 * Candidates, from strict to lax, on a grid split that the test never sees:
 *   for each slack s = ε/m, 2ε/m, …, ε: the cheapest vector found whose risk on the grid split is <= s
 *   with copies, ε (i/m)³ in place of ε i/m: they can be much harder than what the grid split shows
 * Vectors come from minimising cost + λ·loss for a range of λ by coordinate descent over the exits; then one exit is
 * relaxed as far as s permits. This need not find the global optimum (a hard problem): the test decides. For large
 * tables the search uses some of the documents, but evaluates each vector found on all.
 */
import { OptionError, requireInteger } from "../../errors.js";
import { requireInside } from "../bounds/check.js";
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
  readonly tokens: number;
  readonly documents: number;
  readonly starts: Int32Array;
  /** Per exit: [tokens] index of the token's bin; 0 is the most confident bin. */
  readonly bins: readonly Uint16Array[];
  /** Per exit: the lowest oriented score in each bin, decreasing. */
  readonly edges: readonly (readonly number[])[];
  /** Per exit: [tokens] loss if the token leaves there, in 1/LOSS_STEPS. */
  readonly losses: readonly Uint16Array[];
  /** [tokens] loss if the token runs all blocks. */
  readonly deep?: Uint16Array;
  /** [tokens] SHARE_UNIT / number of tokens in the token's document. */
  readonly share: Float64Array;
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
  const share = new Float64Array(tokens);
  for (let d = 0; d < documents; d++) {
    share.fill(Math.round(SHARE_UNIT / (starts[d + 1]! - starts[d]!)), starts[d], starts[d + 1]);
  }
  const coarse = (column: LossColumn): Uint16Array =>
    Uint16Array.from(column, (loss) => Math.ceil((loss * LOSS_STEPS) / lossScale));
  return {
    tokens,
    documents,
    starts,
    bins,
    edges,
    losses: losses.map(coarse),
    ...(deep && { deep: coarse(deep) }),
    share,
  };
}

/** Keeps every k-th document, about SEARCHED tokens in all. */
function thin(binned: BinnedTokens): BinnedTokens {
  const step = Math.ceil(binned.tokens / SEARCHED);
  if (step === 1) return binned;
  const chosen = Array.from({ length: Math.ceil(binned.documents / step) }, (_, i) => i * step);
  const starts = new Int32Array(chosen.length + 1);
  chosen.forEach((d, i) => {
    starts[i + 1] = starts[i]! + binned.starts[d + 1]! - binned.starts[d]!;
  });
  const tokens = starts[chosen.length]!;
  const gather = <Column extends Float64Array | Uint16Array>(from: Column, to: Column): Column => {
    chosen.forEach((d, i) => {
      to.set(from.subarray(binned.starts[d], binned.starts[d + 1]), starts[i]);
    });
    return to;
  };
  return {
    tokens,
    documents: chosen.length,
    starts,
    edges: binned.edges,
    bins: binned.bins.map((column) => gather(column, new Uint16Array(tokens))),
    losses: binned.losses.map((column) => gather(column, new Uint16Array(tokens))),
    ...(binned.deep && { deep: gather(binned.deep, new Uint16Array(tokens)) }),
    share: gather(binned.share, new Float64Array(tokens)),
  };
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

function sweep(
  { tokens, bins, edges, losses, deep, share }: BinnedTokens,
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
  for (let t = 0; t < tokens; t++) {
    if (leavesAt(bins, cuts, t, 0, exit) < exit) continue;
    reached++;
    const bin = ownBins[t]!;
    const next = leavesAt(bins, cuts, t, exit + 1, exits);
    const wrongHere = ownLosses[t]!;
    const wrongThere = (next < exits ? losses[next]![t] : deep?.[t]) ?? 0;
    harm[bin]! += share[t]! * (wrongHere - wrongThere);
    onward[next * size + bin]!++;
  }
  for (let bin = 0; bin < size; bin++) harm[bin]! /= LOSS_STEPS; // sums first: they are exact
  const usedWithout = cuts.map((cut, e) => e !== exit && cut > 0);
  const without = tokenCosts(costs, usedWithout);
  const here = costs.reach[exit]! + headsBefore(costs, cuts, exit);
  const gain = new Float64Array(size);
  for (let next = exit + 1; next <= exits; next++) {
    for (let bin = 0; bin < size; bin++) gain[bin]! += onward[next * size + bin]! * (without[next]! - here);
  }
  return { reached, gain, harm };
}

function evaluateCuts(
  { tokens, documents, bins, losses, deep, share }: BinnedTokens,
  costs: ExitCosts,
  cuts: Cuts,
): EvaluatedCuts {
  const exits = cuts.length;
  const leaving = new Float64Array(exits + 1);
  let harm = 0;
  for (let t = 0; t < tokens; t++) {
    const exit = leavesAt(bins, cuts, t, 0, exits);
    leaving[exit]!++;
    harm += share[t]! * ((exit < exits ? losses[exit]![t] : deep?.[t]) ?? 0);
  }
  const used = cuts.map((cut) => cut > 0);
  const price = tokenCosts(costs, used);
  return {
    cuts,
    risk: harm / LOSS_STEPS / (documents * SHARE_UNIT),
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
function tokenCosts({ reach, head, full }: ExitCosts, used: readonly boolean[]): number[] {
  let heads = 0;
  const early = reach.map((blocks, exit) => {
    if (used[exit] === true) heads += head[exit]!;
    return blocks + heads;
  });
  return [...early, full + heads];
}

function headsBefore({ head }: ExitCosts, cuts: Cuts, exit: number): number {
  return head.reduce((sum, cost, e) => sum + (e < exit && cuts[e]! > 0 ? cost : 0), 0);
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

/** Throws an OptionError unless every document has tokens, columns fit, scores are finite and losses in range. */
function requireTokenTable({ documents, exits, starts, oriented, agrees, losses }: TokenTable): void {
  const tokens = starts.at(-1);
  const lossColumns = [...(losses?.exits ?? []), ...(losses?.deep === undefined ? [] : [losses.deep])];
  const fits =
    documents >= 1 &&
    exits >= 1 &&
    starts.length === documents + 1 &&
    starts.every((start, d) => d === 0 || start > starts[d - 1]!) &&
    [oriented, agrees, losses?.exits ?? agrees].every(({ length }) => length === exits) &&
    [...oriented, ...agrees, ...lossColumns].every(({ length }) => length === tokens) &&
    lossColumns.every((column) => column.every((loss) => loss >= 0 && loss <= losses!.lossScale));
  if (!fits) {
    throw new OptionError(
      "lengths-differ",
      `calibrate: the columns do not fit ${documents} documents and ${exits} exits; expected at least one of each, ` +
        "documents with tokens, and a score, an agreement and a loss in range for every token",
      { documents, exits },
    );
  }
  const exit = oriented.findIndex((scores) => !scores.every(Number.isFinite));
  if (exit < 0) return;
  throw new OptionError("score-nan", `calibrate: a score of exit ${exit} is not finite; the head's logits are broken`, {
    exit,
  });
}

/** Throws an OptionError for a malformed table, an epsilon outside (0, 1) or an illegal count. */
export function proposeVectors(
  table: TokenTable,
  costs: ExitCosts,
  { epsilon, count = 20, copied = false }: ProposeOptions,
): ThresholdVector[] {
  requireTokenTable(table);
  requireInside("proposeVectors: epsilon", epsilon);
  requireInteger("proposeVectors: count", count, 1, 1000);
  const binned = binTokens(table);
  const never = binned.edges.map(() => 0);
  const path = lambdaPath(binned, costs, epsilon);
  const start = evaluateCuts(binned, costs, never);
  const sweepsOf = new Map<EvaluatedCuts, readonly Sweep[]>();
  const chosen = Array.from({ length: count }, (_, i) => {
    const slack = copied ? epsilon * ((i + 1) / count) ** 3 : (epsilon * (i + 1)) / count;
    const base = path
      .filter(({ risk }) => risk <= slack)
      .reduce((best, vector) => (vector.cost < best.cost ? vector : best), start);
    const sweeps = sweepsOf.get(base) ?? base.cuts.map((_cut, exit) => sweep(binned, costs, base.cuts, exit));
    sweepsOf.set(base, sweeps);
    return relax(binned, costs, base, sweeps, slack);
  });
  return vectorsOf(binned, chosen);
}

/** Vectors for a range of λ, the price of a changed token, from strict to lax. */
function lambdaPath(binned: BinnedTokens, costs: ExitCosts, epsilon: number): EvaluatedCuts[] {
  const searched = thin(binned);
  const strict = (40 * costs.full) / epsilon;
  const lax = costs.full / 4; // almost any saving is worth a changed token
  let cuts: Cuts = binned.edges.map(() => 0);
  return Array.from({ length: PATH }, (_, step) => {
    const lambda = strict * (lax / strict) ** (step / (PATH - 1));
    cuts = descend(searched, costs, cuts, lambda);
    return evaluateCuts(binned, costs, cuts);
  });
}

/** Coordinate descent on cost + λ·loss, deepest exit first. */
function descend(binned: BinnedTokens, costs: ExitCosts, from: Cuts, lambda: number): number[] {
  const cuts = [...from];
  // Costs are summed over tokens, losses are averaged over documents.
  const price = (lambda * binned.tokens) / (binned.documents * SHARE_UNIT);
  for (let round = 0; round < ROUNDS; round++) {
    let changed = false;
    for (let exit = cuts.length - 1; exit >= 0; exit--) {
      const { gain, harm, reached } = sweep(binned, costs, cuts, exit);
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
  costs: ExitCosts,
  base: EvaluatedCuts,
  sweeps: readonly Sweep[],
  slack: number,
): Cuts {
  const room = (slack - base.risk) * documents * SHARE_UNIT;
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
