/**
 * The search space of thresholds. Each exit's oriented scores are sorted once into at most 256 bins of about equally
 * many tokens; equal scores share a bin. A cut is the number of most confident bins that leave. What a vector of cuts
 * costs and harms (`evaluateCuts`), and what each cut at one exit would change while the others stay (`sweep`), is one
 * pass over the tokens each, in integers: the order of tokens does not matter.
 */
import type { ExitCosts } from "./tally.js";
import { type LossColumn, lossesIn, type ThresholdVector, type TokenTable } from "./token-table.js";

const BINS = 256;
/** The search looks at about so many tokens. */
const SEARCHED = 12_000;
/** The search rounds a token's loss up to a multiple of 1/256. */
const LOSS_STEPS = 256;
/** Shares of documents in fixed point: sums are exact, whatever the order of tokens. */
export const SHARE_UNIT = 2 ** 24;

export interface BinnedTokens {
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

export function binTokens(table: TokenTable): BinnedTokens {
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
export function thin(binned: BinnedTokens): BinnedTokens {
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
export type Cuts = readonly number[];

export interface EvaluatedCuts {
  readonly cuts: Cuts;
  readonly risk: number;
  readonly cost: number;
}

export interface Sweep {
  readonly reached: number;
  /** [bins] cost saved if the tokens leave here instead of going on with the other cuts. */
  readonly gain: Float64Array;
  /** [bins] document share of loss added if they leave here, in SHARE_UNIT. */
  readonly harm: Float64Array;
}

export function sweep(
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
  let reached = 0;
  for (let t = 0; t < tokens; t++) {
    if (leavesAt(bins, cuts, t, 0, exit) < exit) continue;
    reached++;
    const bin = bins[exit]![t]!;
    const next = leavesAt(bins, cuts, t, exit + 1, exits);
    const wrongHere = losses[exit]![t]!;
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

export function evaluateCuts(
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
export function vectorsOf({ edges }: BinnedTokens, found: readonly Cuts[]): ThresholdVector[] {
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
