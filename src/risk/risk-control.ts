/**
 * Risk control without any model: of candidates tried on the same units, the laxest whose mean loss over the population
 * is at most ε with probability 1 - δ. Learn then Test (Angelopoulos et al. 2021) by a fixed sequence:
 *   p-value   of "candidate c's mean loss exceeds ε" by the betting bound, or by the exact binomial test
 *   accept    c = 0, 1, … while p <= δ; the last before the first failure is chosen
 * δ is not divided, and losses need not grow along the sequence. What it takes: units are independent draws of that
 * population, and candidates and their order were fixed before these losses were seen.
 */
import { requireInteger, ShapeError } from "../errors.js";
import { allNames, requireKnown } from "../known.js";
import { shown } from "../shown.js";
import { createRng } from "../tensor/rng.js";
import { requireBinary } from "./binomial.js";
import { certifyLosses } from "./certify-losses.js";
import { requireInside, requireLosses } from "./check.js";

export interface RiskControlOptions {
  /** ε: the largest permitted mean loss, in (0, 1). */
  readonly epsilon: number;
  /** The probability that the chosen candidate's mean loss exceeds it, in (0, 1). @default 0.05 */
  readonly delta?: number;
  /** Shuffles the units, because sorted losses void the betting bound. Fix it beforehand. @default 0 */
  readonly seed?: number;
  /** True if every loss is 0 or 1 by definition: the exact binomial test, which has more power. @default false */
  readonly binary?: boolean;
}

const optionNames = allNames<RiskControlOptions>()("epsilon", "delta", "seed", "binary");

/** The computation and its inputs, so that anyone with the losses can repeat it. Plain, JSON-able. */
export interface RiskCertificate {
  readonly format: "early-exits/risk";
  readonly version: 1;
  readonly epsilon: number;
  readonly delta: number;
  readonly seed: number;
  readonly bound: "betting" | "binomial";
  readonly units: number;
  readonly candidates: number;
  /** Candidates in order, up to the first failure: their mean loss, and the p-value of "it exceeds epsilon". */
  readonly tested: readonly { readonly mean: number; readonly pValue: number }[];
  /** The last accepted candidate; null if none is. */
  readonly chosen: number | null;
  /** About how many more such units would certify the first candidate; 0 if it is accepted, null if no number would. */
  readonly furtherUnits: number | null;
  /** Assumptions of the claim. */
  readonly assumptions: readonly string[];
}

const ASSUMPTIONS = [
  "units are independent draws of the population in which the chosen candidate will be used",
  "candidates, their order, epsilon, delta and seed were fixed before these losses were seen",
];

/**
 * Takes [units][candidates] losses in [0, 1], strictest candidate first, the same candidates for every unit. Throws a
 * ShapeError for what is not such a table, and an OptionError for losses or options outside their ranges.
 */
export function riskControl(
  losses: readonly ArrayLike<number>[],
  options: RiskControlOptions,
): { readonly chosen: number | null; readonly certificate: RiskCertificate } {
  requireKnown("riskControl", { ...options }, optionNames);
  const { epsilon, delta = 0.05, seed = 0, binary = false } = { ...options };
  requireInside("riskControl: epsilon", epsilon);
  requireInside("riskControl: delta", delta);
  requireInteger("riskControl: seed", seed, 0);
  const candidates = requireTable(losses, binary);
  const rows = createRng(seed).shuffle(losses);
  const values = Float64Array.from(rows.flatMap((row) => Array.from(row)));
  const table = { units: rows.length, candidates, binary, values };
  const { pValues, risks, accepted, furtherUnits } = certifyLosses(table, { epsilon, delta });
  const chosen = accepted > 0 ? accepted - 1 : null;
  const certificate = {
    format: "early-exits/risk",
    version: 1,
    epsilon,
    delta,
    seed,
    bound: binary ? "binomial" : "betting",
    units: rows.length,
    candidates,
    tested: pValues.map((pValue, candidate) => ({ mean: risks[candidate]!, pValue })),
    chosen,
    furtherUnits,
    assumptions: ASSUMPTIONS,
  } as const;
  return { chosen, certificate };
}

/** Returns the number of candidates. */
function requireTable(losses: readonly ArrayLike<number>[], binary: boolean): number {
  const given: unknown = losses;
  const isTable = Array.isArray(given) && given.length > 0;
  if (!isTable || losses.some((row: unknown) => typeof row !== "object" || row === null)) {
    throw new ShapeError(
      "losses-shape",
      "riskControl: expected rows of losses, one row for each unit with a loss for each candidate, found " +
        `${shown(losses)}; for a single candidate give [[loss], [loss], …]`,
    );
  }
  const candidates = losses[0]!.length;
  losses.forEach((row, unit) => {
    if (row.length !== candidates) {
      throw new ShapeError(
        "lengths-differ",
        `riskControl: row ${unit} has ${row.length} losses, row 0 has ${candidates}; give every unit a loss for each ` +
          "candidate",
        { unit },
      );
    }
    requireLosses(`riskControl: row ${unit}`, row);
    if (binary) requireBinary(`riskControl: row ${unit}`, row);
  });
  return candidates;
}
