/**
 * The positions that a later prompt may take over from an earlier text: those that both share, as far as keys and
 * values are the full model's. After an inexact fill, only the prompt's positions without the last, where the first new
 * token left.
 */
import type { GenerateOptions } from "./generate.js";
import { isExactFill } from "./fill/fill.js";

/** All keys and values that decoding leaves behind are the full model's. */
export function keepsExactKeys({ policy, lossless = false }: Pick<GenerateOptions, "policy" | "lossless">): boolean {
  return policy === undefined || lossless !== false || isExactFill(policy.fill);
}
