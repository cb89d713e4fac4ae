/**
 * The seam through which work is counted: whoever runs something says what ran, to whoever listens. Model code knows no
 * costs; the ledger (exits/ledger.ts) turns these calls into multiply-adds and bytes.
 */
export interface WorkMeter {
  /**
   * `rows` positions ran block `layer` (0-based) together, so its weights were read once. `attended` is the number of
   * cached positions they attended to, their own included, summed over the rows.
   */
  block(layer: number, rows: number, attended: number): void;
  /** `rows` states became logits by the model's own final head, together. */
  unembed(rows: number): void;
  /**
   * A step ended, with `tokens` chosen in it: one in plain decoding, a round's in lossless decoding, none where prompts
   * were read.
   */
  step(tokens: number): void;
}
