/** Small tables of losses and scores, written by hand. */
import type { LossMatrix } from "../../../src/calibrate/procedures/tally.js";
import type { TokenTable } from "../../../src/calibrate/procedures/token-table.js";

/** A matrix of losses from its rows, one per unit. */
export function lossMatrix(rows: readonly (readonly number[])[], { binary = false } = {}): LossMatrix {
  return {
    binary,
    units: rows.length,
    candidates: rows[0]?.length ?? 0,
    values: Float64Array.from(rows.flat()),
  };
}

/** One document and one exit. */
export function oneExit(scores: readonly number[], agrees: readonly boolean[]): TokenTable {
  return {
    documents: 1,
    exits: 1,
    starts: Int32Array.of(0, scores.length),
    oriented: [Float64Array.from(scores)],
    agrees: [Uint8Array.from(agrees, Number)],
  };
}
