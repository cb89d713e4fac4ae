/** Numbers and tokens for people. */

export const percent = (share: number, digits = 1): string =>
  Number.isFinite(share) ? `${(100 * share).toFixed(digits)}\u00a0%` : "none";

/** Three significant digits with a unit prefix. */
export function count(value: number): string {
  const [divisor, unit] =
    value >= 1e9 ? [1e9, " G"] : value >= 1e6 ? [1e6, " M"] : value >= 1e3 ? [1e3, " k"] : [1, ""];
  return `${Number((value / divisor).toPrecision(3))}${unit}`;
}

/** A token's text with its spaces visible. */
export function visible(text: string): string {
  return text === "" ? "∅" : text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}

export function threshold(value: number | "always" | "never"): string {
  return typeof value === "number" ? value.toFixed(2) : value;
}
