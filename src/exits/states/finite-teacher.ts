/**
 * Refuses a model whose logits are NaN or infinite: it teaches nothing, and agrees with nothing or with everything. A
 * row's log-sum-exp is finite only if all its logits are. Heads that do not compute all logits have none; their largest
 * logit is judged, as in decoding.
 */
import { NumericsError } from "../../errors.js";
import { nonFiniteError } from "../../model/decode/non-finite.js";
import type { Model } from "../../model/index.js";
import { ROW_STATS } from "../../tensor/index.js";

/** The first row of `rowStats` [R, 5] in which this column is NaN or infinite. */
export function nonFiniteRow(stats: Float32Array, column: "top1" | "logSumExp"): number | undefined {
  for (let at = ROW_STATS[column]; at < stats.length; at += ROW_STATS.width) {
    if (!Number.isFinite(stats[at]!)) return Math.floor(at / ROW_STATS.width);
  }
  return undefined;
}

/**
 * Throws a NumericsError if these `rowStats` [R, 5] of the full model, from row `begin` on, are of NaN or infinite
 * logits.
 */
export function requireFiniteTeacher(stats: Float32Array, begin = 0): void {
  const row = nonFiniteRow(stats, "logSumExp");
  if (row === undefined) return;
  throw new NumericsError(
    "numerics-non-finite",
    "the logits of the full model hold NaN or infinity, so heads can neither learn from it nor be compared with it. " +
      'Look for damaged weights with "early-exits plan --check"; if they are sound, load the model with dtype ' +
      '"float32"',
    { row: begin + row },
  );
}

/** Asks the full model at all positions of some windows; its NumericsError names the block where it began. */
export async function locatedIn<Result>(
  model: Model,
  windows: readonly (readonly number[])[],
  caller: string,
  ask: () => Promise<Result>,
): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof NumericsError)) throw error;
    let left = Number(error.details["row"]);
    const window = windows.find(({ length }) => (left -= length) < 0) ?? windows.at(-1)!;
    throw await nonFiniteError(model, window, { what: "the logits of the full model", caller });
  }
}
