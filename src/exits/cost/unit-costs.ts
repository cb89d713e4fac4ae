/**
 * What things cost, in any one unit (time, multiply-adds, bytes): a block and the final head by how many rows go at
 * once, since weights are read once for all of them; a head for one row. Measured on this machine (unit-times.ts), or
 * counted from a configuration.
 */
import type { ModelConfig } from "../../model/index.js";
import { type ExitHeads, headCost } from "../heads/index.js";
import { blockCost, QUOTED_CONTEXT } from "./ledger.js";

/** Costs by how many rows go at once, ascending by rows. */
export type CostsByRows = readonly { readonly rows: number; readonly cost: number }[];

export interface UnitCosts {
  /** One block. */
  readonly block: CostsByRows;
  /** One evaluation of each head for one row, shallow to deep; and of its gate, where heads have gates. */
  readonly heads: readonly number[];
  readonly gates?: readonly number[] | undefined;
  /** The model's own final norm and unembedding. */
  readonly finalHead: CostsByRows;
}

/**
 * What a further row of a batch costs, as a share of the first, where weights lie outside the caches: 2, 4 and 8 rows
 * take .89, 1.56 and 3.14 times one row (bench/reports/inference.md); the line through 1 that fits best. In the caches
 * rows cost more: measure.
 */
export const FURTHER_ROW = 0.28;

/** Costs that grow by the same share of the first row with every further row. */
export function growingCosts(first: number, furtherRow = FURTHER_ROW): CostsByRows {
  return [
    { rows: 1, cost: first },
    { rows: 2, cost: first * (1 + furtherRow) },
  ];
}

/** Multiply-adds, rows of a batch sharing the reading of weights. */
export function countedCosts(config: ModelConfig, heads?: ExitHeads): UnitCosts {
  return {
    block: growingCosts(blockCost(config, Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings))),
    heads: (heads?.heads ?? []).map(({ multiplyAdds }) => multiplyAdds),
    ...(heads?.scores.includes("gate") && { gates: heads.heads.map(({ gate }) => gate!.work.multiplyAdds) }),
    finalHead: growingCosts(headCost(config, "dense")),
  };
}

/**
 * The cost of so many rows at once: on the line through the known neighbours; beyond the last, the last line goes on.
 */
export function costOfRows(costs: CostsByRows, rows: number): number {
  let at = 0;
  while (at < costs.length - 1 && costs[at]!.rows < rows) at++;
  const lower = costs[at - 1];
  const upper = costs[at]!;
  if (upper.rows === rows) return upper.cost;
  if (lower === undefined) return (upper.cost * rows) / upper.rows;
  return lower.cost + ((upper.cost - lower.cost) * (rows - lower.rows)) / (upper.rows - lower.rows);
}
