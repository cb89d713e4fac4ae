/**
 * Violation rates of procedures, and the coverage that it gains, over many calibrations on populations whose
 * truth is known. A procedure that never exits never breaks a claim, so coverage stands beside every violation rate.
 */
import { requireInteger } from "../../src/errors.js";
import { createRng, type Rng } from "../../src/tensor/index.js";
import { requireInside } from "../../src/risk/check.js";
import type { ExitCosts } from "../../src/calibrate/procedures/tally.js";
import { proposeVectors } from "../../src/calibrate/procedures/propose.js";
import type { ThresholdVector } from "../../src/calibrate/procedures/token-table.js";
import type { Population } from "./population.js";
import { createTrial, type ProcedureName, procedures, type ProcedureSpec } from "./procedures.js";

interface SimulateOptions {
  readonly runs: number;
  /** Number of calibration documents in each run. */
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
  /** Number of runs whose thresholds truly break the claim. */
  readonly violations: number;
  /** Number of runs that ended in "never exit". */
  readonly never: number;
  /** The true risk in the terms of the claim, mean over runs; per exit, the worst one's. */
  readonly risk: number;
  /** Standard deviation of the risk over runs. */
  readonly riskDeviation: number;
  /** The true share of tokens that leave, mean over runs. */
  readonly coverage: number;
}

/** Calibrates `runs` times and returns one row per procedure and delta. The population may differ between runs. */
export function simulate(populationOf: (rng: Rng) => Population, options: SimulateOptions): SimulatedProcedure[] {
  const { runs, documents, epsilon, deltas, seed, procedures: names } = options;
  requireInteger("simulate: runs", runs, 1);
  requireInteger("simulate: documents", documents, 2);
  for (const level of [epsilon, ...deltas]) requireInside("simulate: epsilon or a delta", level);
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
      // A risk that equals epsilon up to rounding is no violation.
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

/** The true risk and coverage of thresholds, in the terms of a procedure's claim. */
export function judge(
  population: Population,
  { claim }: Pick<ProcedureSpec, "claim">,
  thresholds: ThresholdVector,
): { risk: number; coverage: number } {
  const { risk, anyChange, exits, coverage } = population.truth(
    thresholds,
    claim === "perExit" ? "tokens" : "documents",
  );
  const risks = { share: risk, anyChange, perExit: Math.max(0, ...exits.map((exit) => exit.risk)) };
  return { risk: risks[claim], coverage };
}

interface OracleOptions {
  readonly epsilon: number;
  /** Size of the draw that proposes candidates. @default 100,000 */
  readonly tokens?: number;
  /** @default 1 */
  readonly seed?: number;
}

/**
 * The largest coverage among many candidates, proposed on a large draw, that truly keep the claim: about the best that
 * a calibration could achieve.
 */
export function oracleCoverage(
  population: Population,
  claim: ProcedureSpec["claim"],
  { epsilon, tokens = 100_000, seed = 1 }: OracleOptions,
): number {
  const rng = createRng(seed).fork("oracle");
  const perDocument = population.draw(rng, 100).starts[100]! / 100;
  const table = population.draw(rng, Math.ceil(tokens / perDocument));
  // Of T tokens that change with probability q none does with (1 - q)^T.
  const laxest = claim === "anyChange" ? -Math.log1p(-epsilon) / perDocument : epsilon;
  const candidates = proposeVectors(table, evenCosts(population.exits), {
    epsilon: Math.min(0.99, (claim === "perExit" ? 2 : 1.1) * laxest),
    count: 100,
  });
  const lawful = candidates
    .map((thresholds) => judge(population, { claim }, thresholds))
    .filter(({ risk }) => risk <= epsilon);
  return Math.max(0, ...lawful.map(({ coverage }) => coverage));
}

/** Exits at equal distances in depth; a head costs a fiftieth of the model. */
export function evenCosts(exits: number): ExitCosts {
  return {
    reach: Array.from({ length: exits }, (_, exit) => (exit + 1) / (exits + 1)),
    head: Array.from({ length: exits }, () => 0.02),
    full: 1,
  };
}
