/**
 * Shows before any training if exits can pay off, from the costs of blocks, heads, fills and the final head. With b(k)
 * the cost of a block and u(k) that of the final head for k rows together, h that of one head, and b = b(1), u = u(1):
 *
 *   plain     L·b + u per token
 *   lossy     a token that leaves at depth d:   d·b + all heads up to there + the fill
 *             a token that never leaves:        L·b + all heads + u
 *             Break-even coverage: the share of the tokens reaching each exit that must leave there for the mean to
 *             equal plain decoding.
 *   lossless  a round with γ drafts from the exit at depth d:
 *               γ·(d·b + h)                     drafts
 *               + d·b                           the last draft runs the blocks below the exit too
 *               + (L - d)·b(γ+1) + u(γ+1)       verification: the blocks above, for γ + 1 rows together
 *             It yields (1 - α^(γ+1)) / (1 - α) tokens if each draft is accepted with probability α.
 *
 * Left out: text, choosing and the event loop; and whether heads can be trained that leave so often and are right (see
 * calibrate).
 */
import { requireNumber } from "../../errors.js";
import { keyValueLayers, type ModelConfig } from "../../model/index.js";
import { fillCost, type FillName } from "../fill/fill.js";
import { headCost, type HeadShape, usualHeads } from "../heads/head-shape.js";
import { placeExits } from "../heads/placement.js";
import {
  blockCost,
  costOfRows,
  FURTHER_ROW,
  growingCosts,
  QUOTED_CONTEXT,
  type UnitCosts,
} from "../cost/unit-costs.js";
import type { UnitTimes } from "../cost/unit-times.js";

export interface PlanCosts extends UnitCosts {
  readonly numLayers: number;
  readonly depths: readonly number[];
  /** Per exit, of a token that leaves there. */
  readonly fills: readonly number[];
}

/** Break-even with plain decoding, and the largest speedups. */
export interface BreakEven {
  /**
   * Smallest share of the tokens reaching an exit, the same at each, that must leave for lossy decoding to cost no more
   * than plain; null if it costs more even at 1.
   */
  readonly coverage: number | null;
  /** Speedup if every token left at the first exit. */
  readonly limit: number;
  /** Drafts at one fixed exit: the one that needs the lowest acceptance. */
  readonly lossless: {
    readonly depth: number;
    /** Smallest acceptance at which the best draft length is no slower than plain; null if not even 1 is. */
    readonly acceptance: number | null;
    /** Speedup if every draft were accepted. */
    readonly limit: number;
  };
}

/** Longest draft considered. */
const LONGEST_DRAFT = 16;

/** Expected tokens of a round with γ drafts, each accepted with probability α: (1 - α^(γ+1)) / (1 - α). */
export function tokensPerRound(acceptance: number, draftLength: number): number {
  requireNumber("tokensPerRound: acceptance", acceptance, 1);
  return acceptance === 1 ? draftLength + 1 : (1 - acceptance ** (draftLength + 1)) / (1 - acceptance);
}

/** L·b(1) + u(1). */
export function plainCost({ numLayers, block, finalHead }: PlanCosts): number {
  return numLayers * costOfRows(block, 1) + costOfRows(finalHead, 1);
}

/** Mean cost of a token if the share coverage[e] of the tokens reaching exit e leaves there. */
export function lossyCost(costs: PlanCosts, coverage: readonly number[]): number {
  let going = 1; // share of the tokens that reach the exit
  let heads = 0; // cost of all heads evaluated so far
  let mean = 0;
  for (const [exit, depth] of costs.depths.entries()) {
    heads += costs.heads[exit]!;
    const leaving = going * coverage[exit]!;
    mean += leaving * (depth * costOfRows(costs.block, 1) + heads + costs.fills[exit]!);
    going -= leaving;
  }
  return mean + going * (plainCost(costs) + heads);
}

/**
 * Mean cost of a token with `draftLength` drafts a round at exit number `exit` (0-based), each accepted with
 * probability `acceptance`.
 */
export function losslessCost(costs: PlanCosts, exit: number, acceptance: number, draftLength: number): number {
  const { numLayers, block, finalHead } = costs;
  const depth = costs.depths[exit]!;
  const below = depth * costOfRows(block, 1);
  const draft = below + costs.heads[exit]!;
  const rows = draftLength + 1;
  const verify = below + (numLayers - depth) * costOfRows(block, rows) + costOfRows(finalHead, rows);
  return (draftLength * draft + verify) / tokensPerRound(acceptance, draftLength);
}

/** The best draft length (at least 1) and its speedup over plain decoding. */
export function bestDraftLength(
  costs: PlanCosts,
  exit: number,
  acceptance: number,
): { readonly draftLength: number; readonly speedup: number } {
  const speedups = Array.from(
    { length: LONGEST_DRAFT },
    (_, i) => plainCost(costs) / losslessCost(costs, exit, acceptance, i + 1),
  );
  const best = speedups.indexOf(Math.max(...speedups));
  return { draftLength: best + 1, speedup: speedups[best]! };
}

export function breakEven(costs: PlanCosts): BreakEven {
  const plain = plainCost(costs);
  const lossySpeedup = (share: number): number => {
    const coverage = costs.depths.map(() => share);
    return plain / lossyCost(costs, coverage);
  };
  const lossless = costs.depths.map((depth, exit): BreakEven["lossless"] => ({
    depth,
    acceptance: smallestShare((share) => bestDraftLength(costs, exit, share).speedup),
    limit: bestDraftLength(costs, exit, 1).speedup,
  }));
  return {
    coverage: smallestShare(lossySpeedup),
    limit: lossySpeedup(1),
    lossless: lossless.reduce((best, exit) => ((exit.acceptance ?? 2) < (best.acceptance ?? 2) ? exit : best)),
  };
}

/**
 * Bisects for the smallest share in [0, 1] with a speedup of at least 1, to within 1e-6: a speedup past 1 grows with
 * the share. Null if there is none.
 */
function smallestShare(speedup: (share: number) => number): number | null {
  if (speedup(1) < 1) return null;
  let low = 0;
  let high = 1;
  while (high - low > 1e-6) {
    const middle = (low + high) / 2;
    if (speedup(middle) >= 1) high = middle;
    else low = middle;
  }
  return high;
}

/** One head (`usualHeads`) at one placement: a row of `planExits`. */
export interface BreakEvenRow extends BreakEven {
  readonly kind: string;
  readonly depths: readonly number[];
  /** As a multiple of a block's. */
  readonly headInBlocks: number;
}

export interface PlanExitsOptions {
  /** @default [1, 2, 3] */
  readonly exits?: readonly number[];
  /** @default "project" */
  readonly fill?: FillName;
  /** Context length at which attention is counted. @default QUOTED_CONTEXT, or the model's own limit if shorter */
  readonly context?: number;
  /**
   * Cost of a further row of a batch, as a share of the first: small if reading weights takes most of the time.
   * @default 0.28
   */
  readonly furtherRow?: number;
  /**
   * Cost of the final head, as a share of the full product: below 1 if screened (bytes read over bytes of the weights).
   * @default 1
   */
  readonly finalHeadShare?: number;
}

export const planDefaults = {
  exits: [1, 2, 3],
  fill: "project",
  /** Fewer if the model's limit is shorter. */
  context: QUOTED_CONTEXT,
  furtherRow: FURTHER_ROW,
} as const satisfies PlanExitsOptions;

/**
 * Computes the break-even of every kind of head with every number of exits, in multiply-adds.
 *
 * @example
 * ```ts
 * import { planExits } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const [plan] = planExits(model.config, { exits: [2] });
 * console.log(plan!.kind, plan!.depths, plan!.coverage!.toFixed(2)); // dense [ 5, 9 ] 0.09
 * ```
 */
export function planExits(
  config: ModelConfig,
  {
    exits = planDefaults.exits,
    fill = planDefaults.fill,
    context = Math.min(planDefaults.context, config.maxPositionEmbeddings),
    furtherRow = planDefaults.furtherRow,
    finalHeadShare = 1,
  }: PlanExitsOptions = {},
): BreakEvenRow[] {
  requireNumber("planExits: furtherRow", furtherRow, 1);
  requireNumber("planExits: finalHeadShare", finalHeadShare, 1);
  const { numLayers } = config;
  const block = blockCost(config, context);
  const rowOf = (kind: string, shape: HeadShape, count: number): BreakEvenRow => {
    const depths = placeExits(numLayers, count);
    const head = headCost(config, shape);
    const costs: PlanCosts = {
      numLayers,
      depths,
      block: growingCosts(block, furtherRow),
      finalHead: growingCosts(finalHeadShare * headCost(config, { kind: "dense" }), furtherRow),
      heads: depths.map(() => head),
      fills: depths.map((depth) => fillCost(fill, config, depth) + deferredBlocks(fill, config, depth) * block),
    };
    return { kind, depths, headInBlocks: head / block, ...breakEven(costs) };
  };
  const counts = exits.filter((count) => count < numLayers);
  return Object.entries(usualHeads(config)).flatMap(([kind, shape]) =>
    counts.map((count) => rowOf(kind, shape, count)),
  );
}

/**
 * Blocks that a token leaving at `depth` runs after all: `lazy` defers all that it skipped, so it saves no
 * multiply-adds; `shared` runs those up to the one whose keys and values are shared.
 */
function deferredBlocks(fill: FillName, config: ModelConfig, depth: number): number {
  switch (fill) {
    case "lazy":
      return config.numLayers - depth;
    case "shared":
      return Math.max(0, keyValueLayers(config) - 1 - depth);
    case "project":
      return 0;
  }
}

/** Milliseconds of existing heads, measured on this machine. */
export function measuredCosts(numLayers: number, depths: readonly number[], times: UnitTimes): PlanCosts {
  return { ...times, numLayers, depths, fills: times.fills.map(({ cost }) => cost) };
}
