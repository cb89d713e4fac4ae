/**
 * What a later prompt may take over from a text that was written before: the positions that both share, as far as their
 * keys and values are the full model's. An inexact fill provides others for the tokens that left early, so only the
 * prompt's positions may be taken then, without the last, which is where the first new token left.
 */
import type { GenerateOptions } from "./generate.js";
import { isExactFill } from "./fill/fill.js";

/** Whether all keys and values that decoding leaves behind are the full model's. */
export function keepsExactKeys({ policy, lossless = false }: Pick<GenerateOptions, "policy" | "lossless">): boolean {
  return policy === undefined || lossless !== false || isExactFill(policy.fill);
}
