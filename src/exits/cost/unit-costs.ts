/**
 * Unit costs: what one block, one head, one gate and the final head cost, in any one unit (time, multiply-adds, bytes).
 * Blocks and the final head are priced by the number of rows that run together, because their weights are read once for
 * all of them; heads and gates for one row. They are measured on this machine (unit-times.ts) or counted from a
 * configuration (`countedCosts`).
 */
import type { ModelConfig } from "../../model/index.js";
import { type ExitHeads, headCost } from "../heads/index.js";
import { blockCost, QUOTED_CONTEXT } from "./ledger.js";

/** What a call costs by its number of rows, ascending by rows. */
export type CostsByRows = readonly { readonly rows: number; readonly cost: number }[];

export interface UnitCosts {
  /** One block. */
  readonly block: CostsByRows;
  /** One evaluation of each head for one row, shallow to deep. */
  readonly heads: readonly number[];
  /** One evaluation of each gate for one row; absent if the heads have none. */
  readonly gates?: readonly number[] | undefined;
  /** The model's own final norm and unembedding. */
  readonly finalHead: CostsByRows;
}

/**
 * What each further row of a batch costs, as a share of the first row, if the weights do not fit the CPU's caches: the
 * slope of the best line through 1 row = 1 (2, 4 and 8 rows take 0.89, 1.56 and 3.14 times one row,
 * bench/reports/inference.md). If they fit, rows cost more: measure.
 */
export const FURTHER_ROW = 0.28;

/** Costs that grow with every further row by the same share of the first. */
export function growingCosts(first: number, furtherRow = FURTHER_ROW): CostsByRows {
  return [
    { rows: 1, cost: first },
    { rows: 2, cost: first * (1 + furtherRow) },
  ];
}

/**
 * Unit costs in multiply-adds; a further row of a batch counts `FURTHER_ROW` of the first. A screened unembedding
 * multiplies as often, but reads less: `finalHeadShare` is what is left of its cost.
 */
export function countedCosts(config: ModelConfig, heads?: ExitHeads, finalHeadShare = 1): UnitCosts {
  return {
    block: growingCosts(blockCost(config, Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings))),
    heads: (heads?.heads ?? []).map(({ multiplyAdds }) => multiplyAdds),
    ...(heads?.scores.includes("gate") && { gates: heads.heads.map(({ gate }) => gate!.work.multiplyAdds) }),
    finalHead: growingCosts(finalHeadShare * headCost(config, "dense")),
  };
}

/** The cost of a call with so many rows: interpolated between known costs, extrapolated beyond the last. */
export function costOfRows(costs: CostsByRows, rows: number): number {
  let at = 0;
  while (at < costs.length - 1 && costs[at]!.rows < rows) at++;
  const lower = costs[at - 1];
  const upper = costs[at]!;
  if (upper.rows === rows) return upper.cost;
  if (lower === undefined) return (upper.cost * rows) / upper.rows; // one cost known: in proportion
  return lower.cost + ((upper.cost - lower.cost) * (rows - lower.rows)) / (upper.rows - lower.rows);
}
