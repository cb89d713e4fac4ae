/**
 * Counting of work: code that runs blocks or the final head tells a meter, in rows (a row is one position of one
 * sequence). The ledger (exits/cost/ledger.ts) turns these calls into multiply-adds and bytes.
 */
import type { ScreenedWork } from "./screened-unembedding.js";

/** Screened work, and whether so many candidates were left that all logits followed. */
export interface ScreenedUnembed extends ScreenedWork {
  readonly full: boolean;
}

export interface WorkMeter {
  /**
   * Block `layer` (0-based) ran once for `rows` positions together, so its weights were read once. `attended`: cached
   * positions attended to, summed over the rows; each row attends to itself too.
   */
  block(layer: number, rows: number, attended: number): void;
  /** Of block `layer`, only the keys and values of `rows` positions were made, together. */
  keyValues(layer: number, rows: number): void;
  /**
   * The final norm and unembedding ran once for `rows` states together. `screened`: work of screening, instead of all
   * logits or before them.
   */
  unembed(rows: number, screened?: ScreenedUnembed): void;
  /**
   * A step ended with `tokens` chosen: one per sequence in plain decoding, a round's in lossless decoding, none in
   * prefill.
   */
  step(tokens: number): void;
}
