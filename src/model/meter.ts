/**
 * The interface by which work is counted. Code that runs blocks or the final head calls a meter with what ran, in rows
 * (a row is one position of one sequence). Model code knows no costs: the ledger (exits/cost/ledger.ts) turns these
 * calls into multiply-adds and bytes.
 */
import type { AttentionConfig } from "./config.js";
import type { ScreenedWork } from "./screened-unembedding.js";

/** What screening computed, and whether it left so many candidates that all logits were computed after it. */
export interface ScreenedUnembed extends ScreenedWork {
  readonly full: boolean;
}

export interface WorkMeter {
  /**
   * Block `layer` (0-based) ran once for `rows` positions together, so its weights were read once. `attended` is the
   * number of cached positions that the rows attended to, summed over the rows; each row attends to itself too.
   */
  block(layer: number, rows: number, attended: number): void;
  /**
   * The model's own final norm and unembedding ran once, for `rows` states together. `screened` says what screening
   * computed instead of all logits, or before them.
   */
  unembed(rows: number, screened?: ScreenedUnembed): void;
  /**
   * A step ended. `tokens` were chosen in it: one per sequence in plain decoding, a round's tokens in lossless
   * decoding, none in the prefill of prompts.
   */
  step(tokens: number): void;
}

/** The `attended` of some rows: each attends to all positions up to its own, or to those in its window. */
export function countAttended(
  work: readonly { readonly positions: readonly number[] }[],
  { window = Infinity }: AttentionConfig,
): number {
  let attended = 0;
  for (const { positions } of work) {
    for (const s of positions) attended += Math.min(window, s + 1);
  }
  return attended;
}
