/**
 * Whether exits can pay, before any training: from what blocks, heads, fills and the final head cost. Plain decoding
 * costs L·b(1) + u(1) a token, with b(k) a block and u(k) the final head for k rows at once.
 *   lossy     a token that leaves at depth d costs d·b + the heads on the way + the fill; one that stays all blocks, all heads and u.
 *             The break-even coverage is the share of the tokens reaching each exit that must leave there for the mean to equal plain.
 *   lossless  a round at a fixed exit drafts γ tokens at d·b + h each; the blocks above verify γ + 1 rows at once, and the last row runs
 *             the blocks below too: γ·(d·b + h) + d·b + (L - d)·b(γ + 1) + u(γ + 1), for (1 - α^(γ+1)) / (1 - α) tokens at acceptance α.
 * What it leaves out: text, choosing, the event loop; and whether heads can be trained that leave so often and are
 * right (calibrate).
 */
import { requireNumber } from "../../errors.js";
import { keyValueLayers, type ModelConfig } from "../../model/index.js";
import { fillCost, type FillName } from "../fill/index.js";
import { headCost, type HeadKind, headKinds, placeExits } from "../heads/index.js";
import {
  blockCost,
  costOfRows,
  FURTHER_ROW,
  growingCosts,
  QUOTED_CONTEXT,
  type UnitCosts,
  type UnitTimes,
} from "../cost/index.js";

/** Costs in any one unit, and where the exits are. */
export interface PlanCosts extends UnitCosts {
  readonly numLayers: number;
  readonly depths: readonly number[];
  /** The fill of a token that leaves at each exit. */
  readonly fills: readonly number[];
}

export interface BreakEven {
  /**
   * Least share of the tokens reaching each exit that must leave there, the same at every exit; null where not even 1
   * pays.
   */
  readonly coverage: number | null;
  /** Speedup if every token left at the first exit. */
  readonly limit: number;
  /**
   * Lossless decoding at one fixed exit, the best of them: least acceptance that pays at the best draft length for it;
   * null where not even 1 pays.
   */
  readonly lossless: { readonly depth: number; readonly acceptance: number | null; readonly limit: number };
}

/** Draft lengths that are looked at. */
const LONGEST_DRAFT = 16;

/** Expected tokens of a round at acceptance α and draft length γ. */
export function tokensPerRound(acceptance: number, draftLength: number): number {
  requireNumber("tokensPerRound: acceptance", acceptance, 0, 1);
  return acceptance === 1 ? draftLength + 1 : (1 - acceptance ** (draftLength + 1)) / (1 - acceptance);
}

/** Cost of a token in plain decoding. */
export function plainCost({ numLayers, block, finalHead }: PlanCosts): number {
  return numLayers * costOfRows(block, 1) + costOfRows(finalHead, 1);
}

/** Mean cost of a token of which the share coverage[e] of those reaching exit e leaves there. */
export function lossyCost(costs: PlanCosts, coverage: readonly number[]): number {
  let going = 1;
  let heads = 0;
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
 * Mean cost of a token in lossless decoding that drafts γ tokens a round at exit number `exit`, each accepted with
 * probability α.
 */
export function losslessCost(costs: PlanCosts, exit: number, acceptance: number, draftLength: number): number {
  const { numLayers, block, finalHead } = costs;
  const depth = costs.depths[exit]!;
  const below = depth * costOfRows(block, 1);
  const draft = below + costs.heads[exit]!;
  const verify =
    below + (numLayers - depth) * costOfRows(block, draftLength + 1) + costOfRows(finalHead, draftLength + 1);
  return (draftLength * draft + verify) / tokensPerRound(acceptance, draftLength);
}

/** The best draft length at an exit and acceptance, at least one, and the speedup it gives over plain decoding. */
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
  const lossy = (coverage: number): number =>
    plain /
    lossyCost(
      costs,
      costs.depths.map(() => coverage),
    );
  const exits = costs.depths.map((depth, exit) => ({
    depth,
    acceptance: leastThatPays((share) => bestDraftLength(costs, exit, share).speedup),
    limit: bestDraftLength(costs, exit, 1).speedup,
  }));
  return {
    coverage: leastThatPays(lossy),
    limit: lossy(1),
    lossless: exits.reduce((best, exit) => ((exit.acceptance ?? 2) < (best.acceptance ?? 2) ? exit : best)),
  };
}

/**
 * The least share in [0, 1] with a speedup of 1 or more, to within 1e-6; speedups grow with it from where they pass 1.
 */
function leastThatPays(speedup: (share: number) => number): number | null {
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

export interface BreakEvenRow extends BreakEven {
  readonly kind: HeadKind;
  readonly depths: readonly number[];
  /** One head, in blocks. */
  readonly headInBlocks: number;
}

/** Fills that a plan knows; `recompute` costs more the longer the text. */
export type PlanFill = Exclude<FillName, "recompute">;
export const planFills = ["lazy", "propagate", "project", "shared"] as const satisfies readonly PlanFill[];

export interface PlanExitsOptions {
  /** How many exits, each tried. @default [1, 2, 3] */
  readonly exits?: readonly number[];
  /** @default "project" */
  readonly fill?: PlanFill;
  /** Context at which attention is counted. @default QUOTED_CONTEXT, or the model's own if shorter */
  readonly context?: number;
  /**
   * What a further row of a batch costs, as a share of the first: small where reading weights takes the time. @default
   * 0.28
   */
  readonly furtherRow?: number;
}

export const planDefaults = { exits: [1, 2, 3], fill: "project" } as const satisfies PlanExitsOptions;

/** Every kind of head at every placement that fits, from the configuration alone, in multiply-adds. */
export function planExits(
  config: ModelConfig,
  {
    exits = planDefaults.exits,
    fill = planDefaults.fill,
    context = Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings),
    furtherRow = FURTHER_ROW,
  }: PlanExitsOptions = {},
): BreakEvenRow[] {
  requireNumber("planExits: furtherRow", furtherRow, 0, 1);
  const block = blockCost(config, context);
  return headKinds.flatMap((kind) =>
    exits
      .filter((count) => count < config.numLayers)
      .map((count): BreakEvenRow => {
        const depths = placeExits(config.numLayers, count);
        const head = headCost(config, kind);
        // Deferred blocks are run in the end: lazy saves no multiply-adds, its exits owe the blocks they skipped;
        // shared those up to the shared keys.
        const deferred = {
          lazy: (depth: number) => config.numLayers - depth,
          shared: (depth: number) => Math.max(0, keyValueLayers(config) - 1 - depth),
          propagate: () => 0,
          project: () => 0,
        };
        const owed = (depth: number): number => fillCost(fill, config, depth) + deferred[fill](depth) * block;
        const costs: PlanCosts = {
          numLayers: config.numLayers,
          depths,
          block: growingCosts(block, furtherRow),
          finalHead: growingCosts(headCost(config, "dense"), furtherRow),
          heads: depths.map(() => head),
          fills: depths.map(owed),
        };
        return { kind, depths, headInBlocks: head / block, ...breakEven(costs) };
      }),
  );
}

/** Costs in milliseconds of heads that are there, measured on this machine. */
export function measuredCosts(numLayers: number, depths: readonly number[], times: UnitTimes): PlanCosts {
  return { ...times, numLayers, depths, fills: times.fills.map(({ cost }) => cost) };
}
