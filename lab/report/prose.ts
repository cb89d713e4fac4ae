/**
 * Prose in source code. A text is wrapped in the source like any other code, and leaves it as one line:
 *
 *   prose`Medians of ${runs} runs;
 *     the ratio is relative to the first row.`   ->   "Medians of 5 runs; the ratio is relative to the first row."
 */

/** Joins the lines of a template with single spaces. Values are inserted as they are, line breaks included. */
export function prose(parts: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return String.raw({ raw: parts.map((part) => part.replace(/\s*\n\s*/g, " ")) }, ...values).trim();
}
