/** The cost of a text as the ledger counts it, and the measured speed of each mode of writing. */
import type { Counts } from "early-exits/exits";
import { byId, element, table } from "../dom.js";
import { count } from "../format.js";
import type { Mode, Timing, Written } from "../../engine/index.js";

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
      ["per token", "this text", "plain", "ratio"],
      [
        row("blocks run", "blocks", ""),
        row("exit heads asked", "heads", ""),
        row("multiply-adds", "multiplyAdds", ""),
        row("weights read", "weightBytes", "B"),
      ],
    ),
  );
}

/** A mode against plain, round by round: what slows the machine for a while slows both. */
export interface Comparison {
  /** Speed relative to plain: the median over the rounds. */
  readonly ratio: number;
  /** The lowest and the highest of the rounds: far apart if the machine is busy with other things. */
  readonly low: number;
  readonly high: number;
  /** Rounds in which it was faster. */
  readonly faster: number;
  readonly rounds: number;
}

/** Undefined if the mode, or plain, was not measured. */
export function comparisonOf(timings: readonly Timing[], mode: Mode): Comparison | undefined {
  const speedsOf = (wanted: Mode): readonly number[] => timings.find((timing) => timing.mode === wanted)?.speeds ?? [];
  const plain = speedsOf("plain");
  const ratios = speedsOf(mode).map((speed, round) => speed / plain[round]!);
  if (mode === "plain" || plain.length === 0 || ratios.length === 0) return undefined;
  return {
    ratio: median(ratios),
    low: Math.min(...ratios),
    high: Math.max(...ratios),
    faster: ratios.filter((ratio) => ratio > 1).length,
    rounds: ratios.length,
  };
}

/** The headline above the text: the mode that wrote it against plain. */
export function showVerdict(comparison: Comparison | undefined, mode: Mode): void {
  byId("verdict").replaceChildren(
    ...(comparison === undefined
      ? []
      : [
          element("b", {}, `${comparison.ratio.toFixed(2)} ×`),
          ` as fast ${mode === "lossless" ? "lossless" : "with exits"} as plain, here `,
          element("small", {}, `(${comparison.low.toFixed(2)} to ${comparison.high.toFixed(2)})`),
        ]),
  );
}

/** Shows neither times nor costs. */
export function clearCosts(): void {
  byId("timings").replaceChildren(element("p", { class: "note" }, "Measured after the first text."));
  byId("ledger").replaceChildren();
  showVerdict(undefined, "plain");
}

export function showTimings(root: HTMLElement, timings: readonly Timing[]): void {
  const rounds = timings[0]?.speeds.length ?? 0;
  root.replaceChildren(
    table(
      `Tokens per second, the median of ${rounds} interleaved runs without pauses (lowest to highest)`,
      ["mode", "tokens/s", "ratio", "mean depth"],
      timings.map(({ mode, speeds, meanDepth }) => {
        const comparison = comparisonOf(timings, mode);
        return [
          modeNames[mode],
          `${median(speeds).toFixed(0)} (${Math.min(...speeds).toFixed(0)} to ${Math.max(...speeds).toFixed(0)})`,
          comparison === undefined ? "1" : `${comparison.ratio.toFixed(2)} ×`,
          meanDepth.toFixed(2),
        ];
      }),
    ),
    element("p", { class: "note" }, verdict(comparisonOf(timings, "exits"))),
  );
}

function verdict(comparison: Comparison | undefined): string {
  if (comparison === undefined) return "Without exit heads there is nothing to compare.";
  const { faster, rounds } = comparison;
  const ratio = comparison.ratio.toFixed(2);
  if (faster === rounds) {
    return `With exits this text is written ${ratio} times as fast as without, and faster in all ${rounds} rounds.`;
  }
  if (faster === 0) {
    const reason = "the heads cost more than the skipped blocks save";
    return `With exits this text is written more slowly, ${ratio} times as fast as without: ${reason}.`;
  }
  return (
    `With exits ${ratio} times as fast as without, but faster in only ${faster} of ${rounds} rounds, so these runs ` +
    "do not show which is faster."
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
