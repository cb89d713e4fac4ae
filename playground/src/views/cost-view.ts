/** The cost of a text as the ledger counts it, and the measured speed of each mode of writing. */
import type { Counts } from "early-exits/exits";
import { element, table } from "./dom.js";
import { count } from "./format.js";
import type { Mode, Timing, Written } from "../engine/index.js";

export const modeNames: Readonly<Record<Mode, string>> = { plain: "plain", exits: "with exits", lossless: "lossless" };

export function showLedger(root: HTMLElement, { decode, plain, newTokens }: Written): void {
  const per = (counts: Readonly<Counts>, name: keyof Counts): number => counts[name] / Math.max(1, newTokens);
  const row = (label: string, name: keyof Counts, unit: string): string[] => {
    const now = per(decode, name);
    const full = per(plain, name);
    return [label, `${count(now)}${unit}`, `${count(full)}${unit}`, full === 0 ? "" : `${(now / full).toFixed(2)} ×`];
  };
  root.replaceChildren(
    table(
      "Counted per token of this text, beside plain decoding of as many tokens",
      ["", "this text", "plain", "ratio"],
      [
        row("blocks run", "blocks", ""),
        row("exit heads asked", "heads", ""),
        row("multiply-adds", "multiplyAdds", ""),
        row("weights read", "weightBytes", "B"),
      ],
    ),
  );
}

export function showTimings(root: HTMLElement, timings: readonly Timing[], rounds: number): void {
  const plain = timings.find(({ mode }) => mode === "plain");
  root.replaceChildren(
    table(
      `Tokens per second, the median of ${rounds} interleaved runs without pauses (lowest to highest)`,
      ["", "tokens/s", "ratio", "mean depth"],
      timings.map(({ mode, median, low, high, meanDepth }) => [
        modeNames[mode],
        `${median.toFixed(0)} (${low.toFixed(0)} to ${high.toFixed(0)})`,
        plain === undefined || mode === "plain" ? "" : `${(median / plain.median).toFixed(2)} ×`,
        meanDepth.toFixed(2),
      ]),
    ),
    element("p", { class: "note" }, verdict(timings, plain)),
  );
}

function verdict(timings: readonly Timing[], plain: Timing | undefined): string {
  const exits = timings.find(({ mode }) => mode === "exits");
  if (plain === undefined || exits === undefined) return "Without exit heads there is nothing to compare.";
  const ratio = (exits.median / plain.median).toFixed(2);
  if (exits.low > plain.high) return `With exits this text is written ${ratio} times as fast as without.`;
  if (exits.high < plain.low) {
    const reason = "the heads cost more than the skipped blocks save";
    return `With exits this text is written more slowly, ${ratio} times as fast as without: ${reason}.`;
  }
  return `With exits ${ratio} times as fast as without; the runs overlap, so these runs do not show which is faster.`;
}
