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
  /** Speed relative to plain: the median over the rounds, and their quartiles. */
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  /** True once the quartiles of both modes' speeds lie apart. */
  readonly apart: boolean;
}

/** Undefined if the mode, or plain, was not measured. */
export function comparisonOf(timings: readonly Timing[], mode: Mode): Comparison | undefined {
  const speedsOf = (wanted: Mode): readonly number[] => timings.find((timing) => timing.mode === wanted)?.speeds ?? [];
  const speeds = speedsOf(mode);
  const plain = speedsOf("plain");
  if (mode === "plain" || plain.length === 0 || speeds.length === 0) return undefined;
  const [low, ratio, high] = quartiles(speeds.map((speed, round) => speed / plain[round]!));
  const [slow, , fast] = quartiles(speeds);
  const [plainSlow, , plainFast] = quartiles(plain);
  return { ratio, low, high, apart: slow > plainFast || fast < plainSlow };
}

/** The headline above the text: the mode that wrote it against plain, as a range until the measurements lie apart. */
export function showVerdict(comparison: Comparison | undefined, mode: Mode): void {
  const verdict = byId("verdict");
  verdict.replaceChildren();
  if (comparison === undefined) return;
  const { apart, low, high } = comparison;
  verdict.append(
    element("b", {}, ratioOf(comparison)),
    ` as fast ${mode === "lossless" ? "lossless" : "with exits"} as plain, here `,
    element("small", {}, apart ? `(${low.toFixed(2)} to ${high.toFixed(2)})` : "(the runs overlap)"),
  );
}

function ratioOf({ ratio, low, high, apart }: Comparison): string {
  return `${apart ? ratio.toFixed(2) : `${low.toFixed(2)} to ${high.toFixed(2)}`} ×`;
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
      `Tokens per second, the median of ${rounds} interleaved runs without pauses (quartiles)`,
      ["mode", "tokens/s", "ratio", "mean depth"],
      timings.map(({ mode, speeds, meanDepth }) => {
        const comparison = comparisonOf(timings, mode);
        const [low, middle, high] = quartiles(speeds).map((speed) => speed.toFixed(0));
        return [
          modeNames[mode],
          `${middle} (${low} to ${high})`,
          comparison === undefined ? "1" : ratioOf(comparison),
          meanDepth.toFixed(2),
        ];
      }),
    ),
  );
}

/** First quartile, median and third quartile, of a few numbers. */
function quartiles(values: readonly number[]): [number, number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const quarter = sorted.length >> 2;
  return [sorted[quarter]!, sorted[sorted.length >> 1]!, sorted[sorted.length - 1 - quarter]!];
}
