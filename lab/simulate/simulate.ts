/**
 * How often a procedure breaks its promise, and what it buys: many calibrations on populations whose truth is known. A
 * procedure that never lets a token leave breaks nothing, so coverage stands beside every rate of violation.
 */
import { requireInteger } from "../../src/errors.js";
import { createRng, type Rng } from "../../src/tensor/index.js";
import { requireDelta, requireLevel } from "../../src/calibrate/bounds/index.js";
import {
  type ExitCosts,
  proposeOverall,
  proposeSelective,
  type ThresholdVector,
} from "../../src/calibrate/procedures/index.js";
import type { Population } from "./population.js";
import { createTrial, type ProcedureName, procedures, type ProcedureSpec } from "./procedures.js";

export interface SimulateOptions {
  readonly runs: number;
  /** Calibration documents in each run. */
  readonly documents: number;
  readonly epsilon: number;
  readonly deltas: readonly number[];
  readonly seed: number;
  readonly procedures: readonly ProcedureName[];
}

export interface SimulatedProcedure {
  readonly procedure: ProcedureName;
  readonly delta: number;
  readonly runs: number;
  /** Runs whose thresholds truly break the claim. */
  readonly violations: number;
  /** Runs that ended in "never exit". */
  readonly never: number;
  /**
   * Means over runs of the truth: overall risk with documents alike (the worst exit's, for selective claims); share of
   * tokens that leave.
   */
  readonly risk: number;
  readonly riskDeviation: number;
  readonly coverage: number;
}

/** Calibrates `runs` times; the population may differ from run to run. One row per procedure and delta. */
export function simulate(populationOf: (rng: Rng) => Population, options: SimulateOptions): SimulatedProcedure[] {
  const { runs, documents, epsilon, deltas, seed, procedures: names } = options;
  requireInteger("simulate: runs", runs, 1);
  requireInteger("simulate: documents", documents, 2);
  requireLevel("simulate, epsilon", epsilon);
  for (const delta of deltas) requireDelta("simulate", delta);
  const cells = names.flatMap((procedure) =>
    deltas.map((delta) => ({ procedure, delta, violations: 0, never: 0, risk: 0, squares: 0, coverage: 0 })),
  );
  const root = createRng(seed);
  for (let run = 0; run < runs; run++) {
    const rng = root.fork(`run ${run}`);
    const population = populationOf(rng);
    const trial = createTrial(population.draw(rng, documents), rng, { costs: evenCosts(population.exits), epsilon });
    for (const cell of cells) {
      const spec: ProcedureSpec = procedures[cell.procedure];
      const thresholds = spec.decide(trial, cell.delta);
      const { risk, coverage } = judge(population, spec, thresholds);
      // a risk that is epsilon on paper is no violation for its rounding
      if (risk > epsilon * (1 + 1e-9)) cell.violations++;
      if (thresholds.every((threshold) => threshold === Infinity)) cell.never++;
      cell.risk += risk / runs;
      cell.squares += risk ** 2 / runs;
      cell.coverage += coverage / runs;
    }
  }
  return cells.map(({ squares, ...cell }) => ({
    ...cell,
    runs,
    riskDeviation: Math.sqrt(Math.max(0, squares - cell.risk ** 2)),
  }));
}

/** The truth about thresholds, in the terms of a procedure's claim. */
export function judge(
  population: Population,
  { claim, weigh }: Pick<ProcedureSpec, "claim" | "weigh">,
  thresholds: ThresholdVector,
): { risk: number; coverage: number } {
  const truth = population.truth(thresholds, weigh);
  return {
    risk: claim === "overall" ? truth.risk : Math.max(0, ...truth.exits.map((exit) => exit.risk)),
    coverage: truth.coverage,
  };
}

/**
 * Coverage of the cheapest thresholds, among many made from a large draw, that truly keep the claim: what a calibration
 * could buy at best.
 */
export function oracleCoverage(
  population: Population,
  claim: ProcedureSpec["claim"],
  {
    epsilon,
    tokens = 100_000,
    seed = 1,
  }: { readonly epsilon: number; readonly tokens?: number; readonly seed?: number },
): number {
  const rng = createRng(seed).fork("oracle");
  const perDocument = population.draw(rng, 100).starts[100]! / 100;
  const table = population.draw(rng, Math.ceil(tokens / perDocument));
  const propose = claim === "overall" ? proposeOverall : proposeSelective;
  const candidates = propose(table, evenCosts(population.exits), {
    epsilon: Math.min(0.99, 1.1 * epsilon),
    count: 100,
  });
  const lawful = candidates
    .map(({ thresholds }) => judge(population, { claim, weigh: "documents" }, thresholds))
    .filter(({ risk }) => risk <= epsilon);
  return Math.max(0, ...lawful.map(({ coverage }) => coverage));
}

/** Exits evenly over the depth; a head costs a fiftieth of the model. */
export function evenCosts(exits: number): ExitCosts {
  return {
    reach: Array.from({ length: exits }, (_, exit) => (exit + 1) / (exits + 1)),
    head: Array.from({ length: exits }, () => 0.02),
    full: 1,
  };
}
