/**
 * Unit costs: what a block, a head and the final head cost, in any one unit (time, multiply-adds, bytes). Blocks and
 * the final head are priced by the rows that run together, which read their weights once; heads for one row. Measured
 * (unit-times.ts) or counted from a configuration (`countedCosts`).
 */
import { attentionOf, keyValueLayers, type ModelConfig } from "../../model/index.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { headCost } from "../heads/head-shape.js";

/** Cost of a call by its number of rows, ascending. */
type CostsByRows = readonly { readonly rows: number; readonly cost: number }[];

export interface UnitCosts {
  readonly block: CostsByRows;
  /** One evaluation for one row, shallow to deep. */
  readonly heads: readonly number[];
  /** Final norm and unembedding. */
  readonly finalHead: CostsByRows;
}

/** Context length at which costs are quoted, unless the model's limit is shorter. */
export const QUOTED_CONTEXT = 256;

/**
 * Multiply-adds of block `layer` (0-based) for one token. Blocks differ if some share keys and values or have a sliding
 * window.
 */
export function blockCost(config: ModelConfig, context = QUOTED_CONTEXT, layer = 0): number {
  const { hiddenSize: c, numHeads, numKvHeads, headDim, intermediateSize: f, gatedMlp } = config;
  const query = numHeads * headDim;
  const keyValue = layer < keyValueLayers(config) ? numKvHeads * headDim : 0;
  const projections = 2 * c * query + 2 * c * keyValue; // query and output; keys and values
  const { window = Infinity } = attentionOf(config, layer);
  const attention = 2 * Math.min(context, window) * query;
  const mlp = (gatedMlp ? 3 : 2) * c * f;
  return projections + attention + mlp;
}

/**
 * Cost of a further row of a batch, as a share of the first, if the weights do not fit the CPU's caches: the slope of
 * the best line through 1 row = 1 (2, 4 and 8 rows take 0.89, 1.56 and 3.14 times one row, bench/reports/inference.md).
 * If they fit, rows cost more: measure.
 */
export const FURTHER_ROW = 0.28;

/**
 * The same for a second row of weights of two bytes or less, which some processors read faster than they multiply:
 * 0.42 to 0.74 of a block on Zen 4, up to 0.44 on an Intel Xeon (bench/reports/rows-zen-4.md, rows.md). On Zen 5, where
 * a dot of bytes is one instruction, int8 takes 0.22 (rows-zen-5.md).
 */
const NARROW_ROW = 0.7;

export function growingCosts(first: number, furtherRow: number): CostsByRows {
  return [
    { rows: 1, cost: first },
    { rows: 2, cost: first * (1 + furtherRow) },
  ];
}

/** Costs in multiply-adds. A screened unembedding multiplies as often but reads less: it has a share of the cost. */
export function countedCosts(
  { model, heads }: Pick<ExitHeads, "model" | "heads">,
  furtherRow = FURTHER_ROW,
): UnitCosts {
  const { config, screened } = model;
  const context = Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings);
  return {
    block: growingCosts(blockCost(config, context), furtherRow),
    heads: heads.map(({ work }) => work.multiplyAdds),
    finalHead: growingCosts((screened?.share ?? 1) * headCost(config, { kind: "dense" }), furtherRow),
  };
}

/** Costs at which a draft after all blocks pays on every processor like the model's. */
export function carefulCosts(heads: Pick<ExitHeads, "model" | "heads">): UnitCosts {
  const { dtype, device } = heads.model;
  const usual = dtype === "float32" || (dtype === "int8" && device.info.byteDots === true);
  return countedCosts(heads, usual ? FURTHER_ROW : NARROW_ROW);
}

/** Interpolates between known costs, extrapolates beyond the last. */
export function costOfRows(costs: CostsByRows, rows: number): number {
  let at = 0;
  while (at < costs.length - 1 && costs[at]!.rows < rows) at++;
  const lower = costs[at - 1];
  const upper = costs[at]!;
  if (upper.rows === rows) return upper.cost;
  if (lower === undefined) return (upper.cost * rows) / upper.rows; // one cost known: in proportion
  return lower.cost + ((upper.cost - lower.cost) * (rows - lower.rows)) / (upper.rows - lower.rows);
}
