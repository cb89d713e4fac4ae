/**
 * NaN or infinite weights, and activations that overflow, end in logits that are NaN, of which the largest is token 0,
 * for ever. The check costs nothing: the log-sum-exp of a row of logits, read with the argmax, is finite only if all
 * are. The search for the cause is loaded when there is one.
 */
import type { NumericsError } from "../../errors.js";
import type { Model } from "../model.js";
import type { NonFinite } from "./locate-non-finite.js";

/** Names the block where non-finite numbers began, found by a second run. */
export async function nonFiniteError(model: Model, ids: readonly number[], found: NonFinite): Promise<NumericsError> {
  const { locateNonFinite } = await import("./locate-non-finite.js");
  return locateNonFinite(model, ids, found);
}
