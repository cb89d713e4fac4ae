/**
 * Weights that are NaN or infinite, and activations that overflow, end in logits that are NaN, of which the largest is
 * token 0, for ever. The check costs nothing: the log-sum-exp of a row of logits, which decoding reads with the argmax,
 * is finite only if all of them are. What looks for the cause is loaded when there is one.
 */
import type { NumericsError } from "../../errors.js";
import type { Model } from "../model.js";
import type { NonFinite } from "./locate-non-finite.js";

/** The error for a sequence whose logits are not finite. It names the block where that began, found by a second run. */
export async function nonFiniteError(model: Model, ids: readonly number[], found: NonFinite): Promise<NumericsError> {
  const { locateNonFinite } = await import("./locate-non-finite.js");
  return locateNonFinite(model, ids, found);
}
