/** Words of `plan`: tables of break-even points. */
import type { FillName } from "early-exits";
import type { ExitFeasibility } from "early-exits/calibrate";
import { type BreakEvenRow } from "early-exits/exits";
import { libraryDefaults } from "early-exits/node";
import { percent, table } from "../format.js";
import type { colorsOf } from "../io.js";
import { feasibilityLines } from "./calibration-lines.js";

type Styles = Pick<ReturnType<typeof colorsOf>, "bold" | "dim">;

export interface MeasuredPlan {
  readonly device: string;
  readonly fill: FillName;
  readonly agreement: number;
  /** Milliseconds per token. */
  readonly plain: number;
  readonly breakEven: number | null;
  readonly scores: readonly {
    readonly score: string;
    readonly coverage: readonly number[];
    readonly agreement: number;
    readonly speedup: number;
  }[];
  /** The bound that no threshold can escape. */
  readonly feasibility: readonly (ExitFeasibility & { readonly depth: number })[];
  readonly lossless: readonly {
    readonly depth: number;
    readonly acceptance: number;
    readonly draftLength: number;
    readonly speedup: number;
  }[];
}

export function planLines(plans: readonly BreakEvenRow[], fill: FillName, { bold, dim }: Styles): string[] {
  return [
    bold(`from config.json, in multiply-adds (fill ${fill}):`),
    ...table([
      ["heads", "depths", "head", "break-even", "at most", "lossless from", "at most"],
      ...plans.map(({ kind, depths, headInBlocks, coverage, limit, lossless }) => [
        kind,
        depths.join(" "),
        `${headInBlocks.toFixed(2)} blocks`,
        share(coverage),
        times(limit),
        lossless.acceptance === null ? "never" : `${percent(lossless.acceptance, 0)} at ${lossless.depth}`,
        times(lossless.limit),
      ]),
    ]),
    dim(
      "break-even: the share of the tokens reaching each exit that must leave there. lossless from: the share of the " +
        `drafts that must be accepted, if they are verified in a batch and each further row costs ` +
        `${libraryDefaults.plan.furtherRow} times the first.`,
    ),
  ];
}

/** Verdict by counts: the placement and kind that need the fewest tokens to leave. */
export function planVerdict(plans: readonly BreakEvenRow[]): string {
  const best = plans.filter(({ coverage }) => coverage !== null).toSorted((a, b) => a.coverage! - b.coverage!)[0];
  if (best === undefined) {
    return (
      "verdict: exits cannot pay here, with no placement and no kind of head, however it is trained: a head costs " +
      "more than the blocks it can save"
    );
  }
  return (
    `verdict: ${worth(best.coverage!)}: ${best.kind} heads after block ${best.depths.join(", ")} break even if ` +
    `${share(best.coverage)} of the tokens leave, and are worth ${times(best.limit)} at most`
  );
}

function worth(coverage: number): string {
  if (coverage <= 0.25) return "exits can pay";
  return coverage <= 0.6 ? "exits pay only if the heads are good" : "exits hardly pay";
}

/** Verdict by measurement: the score whose thresholds are worth most. */
export function measuredVerdict({ scores, agreement, device }: MeasuredPlan): string {
  const best = scores.toSorted((a, b) => b.speedup - a.speedup)[0]!;
  const level = percent(agreement, 0);
  if (best.speedup <= 1) {
    return `verdict: these heads cannot pay at ${level} agreement on this machine: ${times(best.speedup)} at best`;
  }
  return (
    `verdict: these heads can be worth ${times(best.speedup)} at ${level} agreement on this machine (${device}), by ` +
    `${best.score}; calibrate certifies that, and times it`
  );
}

export function measuredPlanLines(measured: MeasuredPlan, { bold }: Styles): string[] {
  const { device, fill, agreement, plain, breakEven, scores, lossless } = measured;
  return [
    "",
    bold(
      `measured here (${device}, fill ${fill}), with thresholds for ${percent(agreement, 0)} agreement chosen on ` +
        "this same text:",
    ),
    `plain decoding takes ${plain.toFixed(3)} ms per token; exits break even if ${share(breakEven)} of the tokens ` +
      "reaching each exit leave there",
    ...table([
      ["score", "leave", "agreement", "predicted"],
      ...scores.map((row) => [
        row.score,
        row.coverage.map((part) => percent(part, 0)).join(" "),
        percent(row.agreement),
        times(row.speedup),
      ]),
    ]),
    ...feasibilityLines(measured.feasibility),
    "lossless, if one exit always drafts, whatever its score:",
    ...table([
      ["depth", "accepted", "drafts", "predicted"],
      ...lossless.map((row) => [
        String(row.depth),
        percent(row.acceptance),
        String(row.draftLength),
        times(row.speedup),
      ]),
    ]),
  ];
}

function share(value: number | null): string {
  return value === null ? "never" : percent(value, 0);
}

function times(value: number): string {
  return `${value.toFixed(2)}x`;
}
