/**
 * The statistical heart of a certificate: from what each candidate policy did on calibration documents to the cheapest
 * one that is proven good enough. No model, no scores, no text: counts and losses in, plain data out.
 *   certifyLosses      claim (A): E[loss of a document] <= ε, for any loss in [0, 1] (share of changed tokens, any change, …)
 *   certifySelective   claim (B): P(wrong | leaves at exit h) <= ε at every exit h in use, a ratio of two counts. Two ways:
 *     unit "token"     among the m tokens that leave at h, wrong ones ~ Bin(m, r): p = P(Bin(m, ε) <= wrong), valid conditionally on m;
 *                      supposes independent tokens, which the tokens of one document are not
 *     unit "document"  r <= ε exactly where E[(wrong - ε·left)/T] <= 0, T the document's tokens: with x = that + ε in [0, 1], test
 *                      "E[x] > ε" like any bounded mean. Supposes independent documents, and weighs each document alike
 *   A candidate's p-value is the largest over its exits (all must hold), so δ is not split; an exit that no token left at has p = 1.
 * Confidence: P(a candidate that breaks the claim is accepted) <= δ, for candidates and order fixed on other data
 * (docs/06-calibration.md).
 */
import { OptionError, requireInteger } from "../../errors.js";
import {
  binomialTail,
  hoeffdingBentkusPValue,
  hoeffdingPValue,
  requireDelta,
  requireLevel,
  unitsNeeded,
  wsrPValue,
} from "../bounds/index.js";
import { bonferroni, fixedSequence, type LossMatrix, requireLossMatrix } from "./testing.js";

/**
 * How a mean loss is bounded. `clopperPearson` is exact and for losses 0 or 1 only; `wsr` uses the variance and the
 * order of the units.
 */
export type MeanBound = "hoeffding" | "hoeffdingBentkus" | "wsr" | "clopperPearson";
export type Procedure = "fixedSequence" | "bonferroni";

export interface CertifyOptions {
  /** Largest risk allowed, 1 - agreement, in (0, 1). */
  readonly epsilon: number;
  /** Chance that the certificate is wrong, in (0, 1). */
  readonly delta: number;
  /** What a token costs under each candidate: the cheapest accepted one is chosen, the earlier in the order on ties. */
  readonly costs: readonly number[];
  /** Candidates in the order of testing, each at most once. Fixed without these losses. @default as they come */
  readonly order?: readonly number[];
  /** @default "wsr" */
  readonly bound?: MeanBound;
  /** @default "fixedSequence" */
  readonly procedure?: Procedure;
}

export interface Certification {
  readonly epsilon: number;
  readonly delta: number;
  readonly bound: MeanBound;
  readonly procedure: Procedure;
  readonly units: number;
  readonly order: readonly number[];
  /** Per candidate, "its risk exceeds epsilon". */
  readonly pValues: readonly number[];
  /** Per candidate: the mean loss, or the worst exit's share of wrong tokens (NaN-free: 0 where nothing left). */
  readonly risks: readonly number[];
  /** Candidates accepted, in the order of testing. */
  readonly accepted: readonly number[];
  /** The cheapest accepted candidate; "never" (exit) where none is. */
  readonly chosen: number | "never";
  /**
   * About how many more units like these would certify the candidate that came closest; 0 where one is accepted, null
   * where no number would.
   */
  readonly furtherUnits: number | null;
}

/**
 * Claim (A). Throws an OptionError for levels outside (0, 1), losses that are not in [0, 1], or lengths that differ.
 */
export function certifyLosses(losses: LossMatrix, options: CertifyOptions): Certification {
  const { epsilon, delta, bound = "wsr" } = options;
  requireLossMatrix("certifyLosses", losses);
  requireLevels("certifyLosses", options);
  const { units, candidates } = losses;
  const columns = Array.from({ length: candidates }, (_, candidate) => columnOf(losses, candidate));
  const pValueOf = (column: Float64Array): number => meanPValue(column, { epsilon, delta, bound });
  const risks = columns.map((column) => sumOf(column) / units);
  return decide("certifyLosses", { units, pValues: columns.map(pValueOf), risks }, options, (candidate, n) =>
    pValueOf(repeatTo(columns[candidate]!, n)),
  );
}

/** What candidates did on documents: integers, from which every loss here follows. */
export interface Tally {
  readonly documents: number;
  readonly candidates: number;
  readonly exits: number;
  /** [documents] T: tokens judged in each. */
  readonly tokens: Int32Array;
  /** [documents, candidates, exits] tokens that left there. */
  readonly left: Int32Array;
  /** [documents, candidates, exits] of these, the ones with another token than the full model's. */
  readonly wrong: Int32Array;
  /**
   * [documents, candidates] tokens that ran all blocks and still differ from the full model's: 0 unless exits change
   * what comes after them.
   */
  readonly deep: Int32Array;
  /** [candidates, exits] 1 where the candidate uses the exit (its threshold is not "never"). */
  readonly active: Uint8Array;
}

/** Share of each document's tokens that a candidate changes. [documents, candidates] */
export function overallLosses(tally: Tally): LossMatrix {
  return lossesOf(tally, (wrong, tokens) => wrong / tokens);
}

/** 1 for each document in which a candidate changes any token. [documents, candidates] */
export function anyChangeLosses(tally: Tally): LossMatrix {
  return lossesOf(tally, (wrong) => (wrong > 0 ? 1 : 0));
}

export interface SelectiveOptions extends Omit<CertifyOptions, "bound"> {
  /** What is taken to be independent. @default "document" */
  readonly unit?: "token" | "document";
  /** For documents; tokens are counted exactly. @default "wsr" */
  readonly bound?: Exclude<MeanBound, "clopperPearson">;
}

export interface SelectiveCertification extends Certification {
  readonly unit: "token" | "document";
  /** Per candidate and exit; null where the candidate does not use the exit. */
  readonly exitPValues: readonly (readonly (number | null)[])[];
}

/** Claim (B). Errors as in `certifyLosses`. */
export function certifySelective(tally: Tally, options: SelectiveOptions): SelectiveCertification {
  const { unit = "document" } = options;
  const evidence = selectiveEvidence(tally, options);
  const { units, pValueOf, used, totals } = evidence;
  const exitPValues = evidence.exitPValues();
  // no exit in use: "never exit" is always valid
  const pValues = exitPValues.map((exits) => Math.max(0, ...exits.map((p) => p ?? 0)));
  const risks = used.map((exits, candidate) =>
    Math.max(
      0,
      ...exits.map((exit) => {
        const at = candidate * tally.exits + exit;
        return totals.left[at] === 0 ? 0 : totals.wrong[at]! / totals.left[at]!;
      }),
    ),
  );
  const more = (candidate: number, n: number): number =>
    Math.max(0, ...used[candidate]!.map((exit) => pValueOf(candidate, exit, n)));
  return {
    ...decide("certifySelective", { units, pValues, risks }, { ...options, bound: evidence.bound }, more),
    unit,
    exitPValues,
  };
}

/** The p-values alone, per candidate and exit; null where the candidate does not use the exit. */
export function selectivePValues(
  tally: Tally,
  options: Omit<SelectiveOptions, "costs" | "order" | "procedure">,
): (number | null)[][] {
  return selectiveEvidence(tally, options).exitPValues();
}

function selectiveEvidence(tally: Tally, options: Omit<SelectiveOptions, "costs">) {
  const { epsilon, delta, unit = "document" } = options;
  requireTally("certifySelective", tally);
  requireLevels("certifySelective", options);
  const bound: MeanBound = unit === "token" ? "clopperPearson" : (options.bound ?? "wsr");
  const totals = totalsOf(tally);
  const units = unit === "token" ? totals.tokens : tally.documents;
  /** On n units like those seen. */
  const pValueOf = (candidate: number, exit: number, n: number): number => {
    const at = candidate * tally.exits + exit;
    if (totals.left[at] === 0) return 1; // nothing was seen here, and no number of such units would show more
    if (unit === "document") return meanPValue(repeatTo(excesses(tally, at, epsilon), n), { epsilon, delta, bound });
    const left = Math.round((totals.left[at]! * n) / units);
    return binomialTail(Math.min(left, Math.ceil((totals.wrong[at]! * n) / units)), left, epsilon);
  };
  /** Per candidate, the exits it uses. */
  const used = Array.from({ length: tally.candidates }, (_, candidate) =>
    Array.from({ length: tally.exits }, (_unused, exit) => exit).filter(
      (exit) => tally.active[candidate * tally.exits + exit] === 1,
    ),
  );
  const exitPValues = (): (number | null)[][] =>
    used.map((exits, candidate) =>
      Array.from({ length: tally.exits }, (_, exit) =>
        exits.includes(exit) ? pValueOf(candidate, exit, units) : null,
      ),
    );
  return { bound, units, totals, used, pValueOf, exitPValues };
}

/** p-value of "the mean of these losses exceeds epsilon". */
export function meanPValue(
  losses: Float64Array,
  { epsilon, delta, bound }: { readonly epsilon: number; readonly delta: number; readonly bound: MeanBound },
): number {
  switch (bound) {
    case "hoeffding":
      return hoeffdingPValue(sumOf(losses), losses.length, epsilon);
    case "hoeffdingBentkus":
      return hoeffdingBentkusPValue(sumOf(losses), losses.length, epsilon);
    case "wsr":
      return wsrPValue(losses, epsilon, delta);
    case "clopperPearson": {
      const bad = losses.findIndex((loss) => loss !== 0 && loss !== 1);
      if (bad >= 0) {
        throw new OptionError(
          "loss-range",
          `clopperPearson: the loss of unit ${bad} is ${losses[bad]!}; it needs losses that are 0 or 1, use ` +
            `"wsr" for others`,
          { unit: bad },
        );
      }
      return binomialTail(sumOf(losses), losses.length, epsilon);
    }
  }
}

interface Evidence {
  readonly units: number;
  readonly pValues: readonly number[];
  readonly risks: readonly number[];
}

/**
 * The common end of both claims: test, choose, or say how much more is needed. `pValueAt(candidate, n)` extrapolates to
 * n units.
 */
function decide(
  where: string,
  { units, pValues, risks }: Evidence,
  options: CertifyOptions,
  pValueAt: (candidate: number, n: number) => number,
): Certification {
  const {
    epsilon,
    delta,
    costs,
    bound = "wsr",
    procedure = "fixedSequence",
    order = pValues.map((_, i) => i),
  } = options;
  if (costs.length !== pValues.length) {
    throw new OptionError("lengths-differ", `${where}: ${costs.length} costs for ${pValues.length} candidates`, {
      costs: costs.length,
      candidates: pValues.length,
    });
  }
  const wrongCost = costs.findIndex((cost) => !Number.isFinite(cost));
  if (wrongCost >= 0) {
    throw new OptionError(
      "option-range",
      `${where}: the cost of candidate ${wrongCost} is ${costs[wrongCost]!}; expected a finite number`,
      { candidate: wrongCost },
    );
  }
  for (const candidate of order) requireInteger(`${where}: order`, candidate, 0, pValues.length - 1);
  if (new Set(order).size !== order.length) {
    throw new OptionError("order-repeats", `${where}: the order names a candidate twice; each is tested once`, {
      order,
    });
  }
  const test = procedure === "fixedSequence" ? fixedSequence : bonferroni;
  const accepted = test(
    order.map((candidate) => pValues[candidate]!),
    delta,
  ).map((i) => order[i]!);
  const cheapest = (best: number, candidate: number): number => (costs[candidate]! < costs[best]! ? candidate : best);
  const chosen = accepted.length > 0 ? accepted.reduce(cheapest) : "never";
  return {
    epsilon,
    delta,
    bound,
    procedure,
    units,
    order: [...order],
    pValues,
    risks,
    accepted,
    chosen,
    furtherUnits:
      chosen === "never"
        ? furtherUnits(
            { units, pValues, risks },
            order,
            procedure === "bonferroni" ? delta / order.length : delta,
            epsilon,
            pValueAt,
          )
        : 0,
  };
}

/**
 * Looked for up to a hundred times the units at hand: beyond that the sample says too little of what more would show.
 */
function furtherUnits(
  { units, pValues, risks }: Evidence,
  order: readonly number[],
  delta: number,
  epsilon: number,
  pValueAt: (candidate: number, n: number) => number,
): number | null {
  const hopeful = order.filter((candidate) => risks[candidate]! < epsilon);
  if (hopeful.length === 0) return null;
  const closest = hopeful.reduce((best, candidate) => (pValues[candidate]! < pValues[best]! ? candidate : best));
  const needed = unitsNeeded((n) => pValueAt(closest, n), units, delta, 100 * units);
  return needed === undefined ? null : needed - units;
}

/** x of the header, per document, for entry `at` of [candidates, exits]. */
function excesses(
  { documents, candidates, exits, tokens, left, wrong }: Tally,
  at: number,
  epsilon: number,
): Float64Array {
  return Float64Array.from({ length: documents }, (_, d) => {
    const entry = d * candidates * exits + at;
    // clamped against rounding only
    return Math.min(1, Math.max(0, epsilon + (wrong[entry]! - epsilon * left[entry]!) / tokens[d]!));
  });
}

function lossesOf(tally: Tally, loss: (wrong: number, tokens: number) => number): LossMatrix {
  requireTally("lossesOf", tally);
  const { documents, candidates, exits, tokens, wrong, deep } = tally;
  const values = new Float64Array(documents * candidates);
  for (let i = 0; i < values.length; i++) {
    let changed = deep[i]!;
    for (let exit = 0; exit < exits; exit++) changed += wrong[i * exits + exit]!;
    values[i] = loss(changed, tokens[Math.floor(i / candidates)]!);
  }
  return { units: documents, candidates, values };
}

/** Sums over documents, [candidates, exits]. */
function totalsOf({ documents, candidates, exits, tokens, left, wrong }: Tally): {
  tokens: number;
  left: Float64Array;
  wrong: Float64Array;
} {
  const width = candidates * exits;
  const totals = {
    tokens: tokens.reduce((sum, count) => sum + count, 0),
    left: new Float64Array(width),
    wrong: new Float64Array(width),
  };
  for (let i = 0; i < documents * width; i++) {
    totals.left[i % width]! += left[i]!;
    totals.wrong[i % width]! += wrong[i]!;
  }
  return totals;
}

/** Throws an OptionError where counts contradict each other. */
function requireTally(where: string, { documents, candidates, exits, tokens, left, wrong, deep, active }: Tally): void {
  const size = documents * candidates * exits;
  if (!(size >= 1)) {
    throw new OptionError(
      "losses-empty",
      `${where}: ${documents} documents, ${candidates} candidates, ${exits} exits; give at least one of each`,
      { documents, candidates, exits },
    );
  }
  if (
    tokens.length !== documents ||
    left.length !== size ||
    wrong.length !== size ||
    deep.length !== documents * candidates ||
    active.length !== candidates * exits
  ) {
    throw new OptionError(
      "lengths-differ",
      `${where}: counts do not fit ${documents} documents x ${candidates} candidates x ${exits} exits`,
      { tokens: tokens.length, left: left.length, wrong: wrong.length, active: active.length },
    );
  }
  for (let d = 0; d < documents; d++) {
    if (!(tokens[d]! >= 1)) {
      throw new OptionError("documents-empty", `${where}: document ${d} has no tokens; leave it out`, { document: d });
    }
  }
  for (let i = 0; i < documents * candidates; i++) {
    let leaving = deep[i]!;
    if (!(leaving >= 0)) {
      throw new OptionError(
        "tally-range",
        `${where}: ${leaving} changed tokens at full depth, at entry ${i}; expected a count`,
        { entry: i },
      );
    }
    for (let at = i * exits; at < (i + 1) * exits; at++) {
      const legal =
        wrong[at]! >= 0 && wrong[at]! <= left[at]! && (left[at] === 0 || active[at % (candidates * exits)] === 1);
      if (!legal) {
        throw new OptionError(
          "tally-range",
          `${where}: ${wrong[at]!} wrong of ${left[at]!} that left, at entry ${at}; expected 0 <= wrong <= ` +
            "left, and none where the exit is not in use",
          { entry: at },
        );
      }
      leaving += left[at]!;
    }
    const document = Math.floor(i / candidates);
    if (leaving > tokens[document]!) {
      throw new OptionError(
        "tally-range",
        `${where}: ${leaving} tokens of document ${document} left or changed under ` +
          `candidate ${i % candidates}, it has ${tokens[document]!}`,
        { document },
      );
    }
  }
}

function requireLevels(where: string, { epsilon, delta }: { readonly epsilon: number; readonly delta: number }): void {
  requireLevel(`${where}, epsilon`, epsilon);
  requireDelta(where, delta);
}

function columnOf({ units, candidates, values }: LossMatrix, candidate: number): Float64Array {
  return Float64Array.from({ length: units }, (_, unit) => values[unit * candidates + candidate]!);
}

/** The same units again and again, up to n of them. */
function repeatTo(units: Float64Array, n: number): Float64Array {
  return n === units.length ? units : Float64Array.from({ length: n }, (_, i) => units[i % units.length]!);
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}
