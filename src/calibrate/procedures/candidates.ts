/**
 * Which threshold vectors are worth testing: a short list, strictest first, made on a grid split that the test never
 * sees.
 *   overall    for each slack s = ε/m, 2ε/m, …, ε: the cheapest vector whose mean share of changed tokens per document is <= s. Vectors come
 *              from minimising cost + λ·loss for a range of λ, one exit at a time until nothing changes, and then relaxing one exit as far
 *              as s allows. Not the global optimum (that is a hard problem): a good vector is enough, the test decides what it is worth.
 *   selective  for each slack: exit by exit, on the tokens that the exits before refused, the laxest threshold with a share of wrong tokens
 *              <= s; an exit that does not pay for its head is left out.
 * Scores are sorted once into at most 256 bins per exit (equal scores share one), so each step is one pass over the
 * tokens that adds up integers: the result does not depend on the order of tokens. Of large tables the search for cuts
 * sees some of the documents only; what it finds is measured on all of them.
 */
import { requireInteger } from "../../errors.js";
import { requireLevel } from "../bounds/index.js";
import { requireTokenTable, type ThresholdVector, type TokenTable } from "./token-table.js";

/**
 * What a token costs, in any one unit. A head that is evaluated costs its share, taken or not; one with threshold
 * "never" is not evaluated.
 */
export interface ExitCosts {
  /** [exits] blocks up to each exit. */
  readonly reach: readonly number[];
  /** [exits] evaluating each head. */
  readonly head: readonly number[];
  /** All blocks and the final head. */
  readonly full: number;
}

/** A vector worth testing. */
export interface Candidate {
  readonly thresholds: ThresholdVector;
  /** On the grid split: mean share of changed tokens per document. */
  readonly risk: number;
  /** On the grid split: mean cost of a token. */
  readonly cost: number;
}

export interface ProposeOptions {
  readonly epsilon: number;
  /** Slacks tried; vectors that repeat are dropped, so fewer may come back. @default 20 */
  readonly count?: number;
}

/** Vectors for claim (A). */
export function proposeOverall(
  table: TokenTable,
  costs: ExitCosts,
  { epsilon, count = 20 }: ProposeOptions,
): Candidate[] {
  checkProposal("proposeOverall", table, epsilon, count);
  const binned = binTokens(table);
  const searched = thin(binned);
  const path: Plan[] = [];
  let cuts = binned.edges.map(() => 0);
  // λ: what a changed token may cost. From the strictest (a token must save 1/λ) to "any saving will do".
  const strict = (40 * costs.full) / epsilon;
  const lax = costs.full / 4;
  for (let step = 0; step < PATH; step++) {
    cuts = descend(searched, costs, cuts, strict * (lax / strict) ** (step / (PATH - 1)));
    path.push(evaluate(binned, costs, cuts));
  }
  const never = evaluate(
    binned,
    costs,
    binned.edges.map(() => 0),
  );
  let [base, sweeps]: [Plan | undefined, readonly Sweep[]] = [undefined, []];
  const chosen = slacksOf(epsilon, count).map((slack) => {
    const cheapest = path
      .filter(({ risk }) => risk <= slack)
      .reduce((best, plan) => (plan.cost < best.cost ? plan : best), never);
    if (cheapest !== base) {
      [base, sweeps] = [cheapest, cheapest.cuts.map((_, exit) => sweep(binned, costs, cheapest.cuts, exit))];
    }
    return relax(binned, costs, cheapest, sweeps, slack);
  });
  return finish(binned, chosen);
}

/** Vectors for claim (B). */
export function proposeSelective(
  table: TokenTable,
  costs: ExitCosts,
  { epsilon, count = 20 }: ProposeOptions,
): Candidate[] {
  checkProposal("proposeSelective", table, epsilon, count);
  const binned = binTokens(table);
  const chosen = slacksOf(epsilon, count).map((slack) => {
    const cuts = binned.edges.map(() => 0);
    for (let exit = 0; exit < cuts.length; exit++) {
      cuts[exit] = laxestCut(sweep(binned, costs, cuts, exit), costs.head[exit]!, slack);
    }
    return evaluate(binned, costs, cuts);
  });
  return finish(binned, chosen);
}

/**
 * Vectors for claim (B) that differ at one exit only: thresholds there, those before it as they are in `vector`, and no
 * exit after it.
 */
export function proposeAtExit(
  table: TokenTable,
  costs: ExitCosts,
  { vector, exit, epsilon, count = 20 }: ProposeOptions & { readonly vector: ThresholdVector; readonly exit: number },
): Candidate[] {
  checkProposal("proposeAtExit", table, epsilon, count);
  const binned = binTokens(table);
  const cuts = vector.map((threshold, e) =>
    e < exit ? binned.edges[e]!.filter((edge) => edge >= threshold).length : 0,
  );
  const here = sweep(binned, costs, cuts, exit);
  const chosen = slacksOf(epsilon, count)
    .map((slack) => cuts.with(exit, laxestCut(here, costs.head[exit]!, slack)))
    .filter((proposed) => proposed[exit]! > 0);
  return finish(
    binned,
    chosen.map((proposed) => evaluate(binned, costs, proposed)),
  );
}

/** The laxest cut at an exit with a share of wrong tokens <= slack; 0 where that does not pay for its head. */
function laxestCut({ left, wrong, gain, reached }: Sweep, head: number, slack: number): number {
  let leftSum = 0;
  let wrongSum = 0;
  let saved = -head * reached;
  let worth = 0;
  let cut = 0;
  for (let bin = 0; bin < left.length; bin++) {
    leftSum += left[bin]!;
    wrongSum += wrong[bin]!;
    saved += gain[bin]!;
    if (leftSum > 0 && wrongSum <= slack * leftSum) [cut, worth] = [bin + 1, saved];
  }
  return worth > 0 ? cut : 0;
}

const BINS = 256;
const PATH = 24;
/** Tokens that the search for cuts looks at, about. */
const SEARCHED = 12_000;
/** Document shares in fixed point, so that sums are exact and do not depend on the order of tokens. */
const UNIT = 2 ** 24;

interface Binned {
  readonly tokens: number;
  readonly documents: number;
  readonly starts: Int32Array;
  /** Per exit: [tokens] 0 is the surest bin. */
  readonly bins: readonly Uint16Array[];
  /** Per exit: the least oriented score in each bin. */
  readonly edges: readonly (readonly number[])[];
  readonly agrees: readonly Uint8Array[];
  /** [tokens] UNIT / the tokens of its document. */
  readonly share: Float64Array;
}

interface Plan {
  /** Per exit: how many of the surest bins leave there; 0 is "never". */
  readonly cuts: readonly number[];
  readonly risk: number;
  readonly cost: number;
}

function binTokens({ documents, starts, oriented, agrees }: TokenTable): Binned {
  const tokens = starts[documents]!;
  const edges = oriented.map((column) => {
    const sorted = column.slice().sort();
    const quantiles = Array.from(
      { length: BINS },
      (_, b) => sorted[Math.max(0, tokens - Math.ceil((tokens * (b + 1)) / BINS))]!,
    );
    return quantiles.filter((edge, b) => edge !== quantiles[b - 1]); // falling; equal scores share a bin
  });
  const bins = oriented.map((column, exit) => {
    const indices = new Uint16Array(tokens);
    for (let t = 0; t < tokens; t++) indices[t] = firstAtMost(edges[exit]!, column[t]!);
    return indices;
  });
  const share = new Float64Array(tokens);
  for (let d = 0; d < documents; d++) {
    share.fill(Math.round(UNIT / (starts[d + 1]! - starts[d]!)), starts[d], starts[d + 1]);
  }
  return { tokens, documents, starts, bins, edges, agrees, share };
}

/** Every k-th document, about SEARCHED tokens in all. */
function thin(binned: Binned): Binned {
  const step = Math.ceil(binned.tokens / SEARCHED);
  if (step === 1) return binned;
  const chosen = Array.from({ length: Math.ceil(binned.documents / step) }, (_, i) => i * step);
  const starts = new Int32Array(chosen.length + 1);
  chosen.forEach((d, i) => {
    starts[i + 1] = starts[i]! + binned.starts[d + 1]! - binned.starts[d]!;
  });
  const tokens = starts[chosen.length]!;
  const gather = <Column extends Float64Array | Uint8Array | Uint16Array>(from: Column, to: Column): Column => {
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
    agrees: binned.agrees.map((column) => gather(column, new Uint8Array(tokens))),
    share: gather(binned.share, new Float64Array(tokens)),
  };
}

/** Index of the first of falling edges that is <= score; the last edge is the least score of all. */
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

interface Sweep {
  /** Tokens that reach the exit. */
  readonly reached: number;
  /** Per bin of these tokens: how many; how many of them this exit gets wrong. */
  readonly left: Float64Array;
  readonly wrong: Float64Array;
  /**
   * Per bin: cost saved, and document share of loss added, if they leave here instead of going on with the other cuts
   * as they are.
   */
  readonly gain: Float64Array;
  readonly harm: Float64Array;
}

/** One pass over the tokens that reach `exit`. */
function sweep(
  { tokens, bins, edges, agrees, share }: Binned,
  costs: ExitCosts,
  cuts: readonly number[],
  exit: number,
): Sweep {
  const size = edges[exit]!.length;
  const left = new Float64Array(size);
  const wrong = new Float64Array(size);
  const harm = new Float64Array(size);
  const exits = edges.length;
  // tokens by where they would go on to and by bin: counted here, priced below
  const onward = new Float64Array((exits + 1) * size);
  let reached = 0;
  for (let t = 0; t < tokens; t++) {
    if (leavesAt(bins, cuts, t, 0, exit) < exit) continue;
    reached++;
    const bin = bins[exit]![t]!;
    const next = leavesAt(bins, cuts, t, exit + 1, exits);
    const wrongHere = 1 - agrees[exit]![t]!;
    const wrongThere = next < exits ? 1 - agrees[next]![t]! : 0;
    left[bin]!++;
    wrong[bin]! += wrongHere;
    harm[bin]! += share[t]! * (wrongHere - wrongThere);
    onward[next * size + bin]!++;
  }
  const without = prices(
    costs,
    cuts.map((cut, e) => e !== exit && cut > 0),
  );
  const here = costs.reach[exit]! + headsBefore(costs, cuts, exit);
  const gain = new Float64Array(size);
  for (let next = exit + 1; next <= exits; next++) {
    for (let bin = 0; bin < size; bin++) gain[bin]! += onward[next * size + bin]! * (without[next]! - here);
  }
  return { reached, left, wrong, gain, harm };
}

/** The first exit in [from, to) where token t leaves; `to` where none. */
function leavesAt(bins: readonly Uint16Array[], cuts: readonly number[], t: number, from: number, to: number): number {
  for (let exit = from; exit < to; exit++) {
    if (bins[exit]![t]! < cuts[exit]!) return exit;
  }
  return to;
}

/** Cost of a token by the exit where it leaves; the last entry is full depth. */
function prices({ reach, head, full }: ExitCosts, used: readonly boolean[]): number[] {
  let heads = 0;
  const early = reach.map((blocks, exit) => blocks + (heads += used[exit] === true ? head[exit]! : 0));
  return [...early, full + heads];
}

function headsBefore({ head }: ExitCosts, cuts: readonly number[], exit: number): number {
  return head.reduce((sum, cost, e) => sum + (e < exit && cuts[e]! > 0 ? cost : 0), 0);
}

/** Cuts that minimise cost + λ·loss when moved one exit at a time, deepest first, from the given ones. */
function descend(binned: Binned, costs: ExitCosts, from: readonly number[], lambda: number): number[] {
  const cuts = [...from];
  for (let round = 0; round < 3; round++) {
    let changed = false;
    for (let exit = cuts.length - 1; exit >= 0; exit--) {
      const { gain, harm, reached } = sweep(binned, costs, cuts, exit);
      // costs are summed over tokens, losses averaged over documents
      const price = (lambda * binned.tokens) / (binned.documents * UNIT);
      let best = 0;
      let bestCut = 0;
      let sum = -costs.head[exit]! * reached;
      for (let bin = 0; bin < gain.length; bin++) {
        sum += gain[bin]! - price * harm[bin]!;
        if (sum > best) [best, bestCut] = [sum, bin + 1];
      }
      changed ||= cuts[exit] !== bestCut;
      cuts[exit] = bestCut;
    }
    if (!changed) break;
  }
  return cuts;
}

/** The plan with one exit relaxed as far as the slack allows, at the exit where that saves most. */
function relax(binned: Binned, costs: ExitCosts, plan: Plan, sweeps: readonly Sweep[], slack: number): Plan {
  const room = (slack - plan.risk) * binned.documents * UNIT;
  let best = 0;
  let bestCuts = plan.cuts;
  for (const [exit, { gain, harm, reached }] of sweeps.entries()) {
    const from = plan.cuts[exit]!;
    let saved = from === 0 ? -costs.head[exit]! * reached : 0;
    let harmed = 0;
    for (let bin = from; bin < gain.length; bin++) {
      saved += gain[bin]!;
      harmed += harm[bin]!;
      if (harmed <= room && saved > best) [best, bestCuts] = [saved, plan.cuts.with(exit, bin + 1)];
    }
  }
  return evaluate(binned, costs, bestCuts);
}

function evaluate({ tokens, documents, bins, agrees, share }: Binned, costs: ExitCosts, cuts: readonly number[]): Plan {
  const exits = cuts.length;
  const leaving = new Float64Array(exits + 1);
  let harm = 0;
  for (let t = 0; t < tokens; t++) {
    const exit = leavesAt(bins, cuts, t, 0, exits);
    leaving[exit]!++;
    if (exit < exits && agrees[exit]![t] === 0) harm += share[t]!;
  }
  const price = prices(
    costs,
    cuts.map((cut) => cut > 0),
  );
  return {
    cuts,
    risk: harm / (documents * UNIT),
    cost: leaving.reduce((sum, count, exit) => sum + (count * price[exit]!) / tokens, 0),
  };
}

/** Strictest slack first, without repeats and without "never exit", which needs no test. */
function finish({ edges }: Binned, plans: readonly Plan[]): Candidate[] {
  const seen = new Set([edges.map(() => 0).join()]);
  return plans.flatMap(({ cuts, risk, cost }) => {
    const key = cuts.join();
    if (seen.has(key)) return [];
    seen.add(key);
    return [{ thresholds: cuts.map((cut, exit) => (cut === 0 ? Infinity : edges[exit]![cut - 1]!)), risk, cost }];
  });
}

const slacksOf = (epsilon: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (epsilon * (i + 1)) / count);

function checkProposal(where: string, table: TokenTable, epsilon: number, count: number): void {
  requireTokenTable(where, table);
  requireLevel(`${where}, epsilon`, epsilon);
  requireInteger(`${where}: count`, count, 1, 1000);
}
