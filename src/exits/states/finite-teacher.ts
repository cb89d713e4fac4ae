/**
 * A model whose logits are NaN or infinite teaches nothing, and agrees with nothing or with everything: whoever asks it
 * is told, before heads learn from it or a certificate counts it. The log-sum-exp of a row of logits is finite only if
 * all of them are. Heads that do not compute all logits have none; their largest logit is judged, as decoding does.
 */
import { NumericsError } from "../../errors.js";
import { nonFiniteError } from "../../model/decode/non-finite.js";
import type { Model } from "../../model/index.js";
import { ROW_STATS } from "../../tensor/index.js";

/** The first row of logits with these `rowStats` [R, 5] of which one, given by its column, is NaN or infinite. */
export function nonFiniteRow(stats: Float32Array, column: "top1" | "logSumExp"): number | undefined {
  for (let at = ROW_STATS[column]; at < stats.length; at += ROW_STATS.width) {
    if (!Number.isFinite(stats[at]!)) return Math.floor(at / ROW_STATS.width);
  }
  return undefined;
}

/**
 * Throws a NumericsError if logits of the full model with these `rowStats` [R, 5], those of the rows from `begin` on,
 * hold NaN or infinity.
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

/** Asks the full model at all positions of some windows; its NumericsError then names the block where it began. */
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
