/**
 * The procedures under test: the published one, the certified ones, and mutants that look right but are wrong. Each
 * sees one draw of calibration documents and returns thresholds; beside it stand its claim and what it promises.
 */
import type { Rng } from "../../src/tensor/index.js";
import {
  type Candidate,
  certifyByExit,
  certifyLosses,
  certifySelective,
  conformalRiskControl,
  type ExitCosts,
  orientThreshold,
  overallLosses,
  planOverall,
  planSelective,
  proposeOverall,
  proposeSelective,
  takeDocuments,
  tallyVectors,
  type ThresholdVector,
  type TokenTable,
} from "../../src/calibrate/procedures/index.js";
import { paperThreshold } from "../../src/calibrate/paper/index.js";

/** One draw of calibration documents. Candidates are proposed once for all procedures and values of δ. */
export interface Trial {
  readonly all: TokenTable;
  /** The documents that propose candidates. */
  readonly grid: TokenTable;
  /** The documents that test them. */
  readonly test: TokenTable;
  readonly costs: ExitCosts;
  readonly epsilon: number;
  overall(): readonly Candidate[];
  selective(): readonly Candidate[];
}

export interface ProcedureSpec {
  readonly title: string;
  /**
   * overall: the mean share of changed tokens per document. selective: the share of wrong tokens among those that
   * leave, at every exit.
   */
  readonly claim: "overall" | "selective";
  /** What has equal weight in the claim. */
  readonly weigh: "documents" | "tokens";
  /** probability: the claim holds with probability 1 - δ. expectation: the mean risk over calibrations is at most ε. */
  readonly promise: "none" | "probability" | "expectation";
  decide(trial: Trial, delta: number): ThresholdVector;
}

export type ProcedureName = keyof typeof procedures;

export const procedures = {
  paper: {
    title: "published rule, per head on all tokens",
    claim: "selective",
    weigh: "tokens",
    promise: "none",
    decide: ({ all, epsilon }) =>
      all.oriented.map((column, exit) =>
        orientThreshold(paperThreshold(column, all.agrees[exit]!, 1 - epsilon, { score: "margin" }), "margin"),
      ),
  },
  selectiveTokens: {
    title: "certified selective, tokens as units (binomial)",
    claim: "selective",
    weigh: "tokens",
    promise: "probability",
    decide: (trial, delta) => selective(trial, delta, "token"),
  },
  selectiveDocuments: {
    title: "certified selective, documents as units (WSR)",
    claim: "selective",
    weigh: "documents",
    promise: "probability",
    decide: (trial, delta) => selective(trial, delta, "document"),
  },
  selectiveByExit: {
    title: "certified selective, exit by exit at δ/K on disjoint documents (WSR)",
    claim: "selective",
    weigh: "documents",
    promise: "probability",
    decide: ({ grid, test, costs, epsilon }, delta) => certifyByExit(grid, test, costs, { epsilon, delta }).vector,
  },
  overallHoeffdingBentkus: {
    title: "certified overall (Hoeffding-Bentkus)",
    claim: "overall",
    weigh: "documents",
    promise: "probability",
    decide: (trial, delta) => overall(trial, delta, "hoeffdingBentkus", "fixedSequence"),
  },
  overallWsr: {
    title: "certified overall (WSR)",
    claim: "overall",
    weigh: "documents",
    promise: "probability",
    decide: (trial, delta) => overall(trial, delta, "wsr", "fixedSequence"),
  },
  overallBonferroni: {
    title: "certified overall (WSR, Bonferroni)",
    claim: "overall",
    weigh: "documents",
    promise: "probability",
    decide: (trial, delta) => overall(trial, delta, "wsr", "bonferroni"),
  },
  riskControl: {
    title: "conformal risk control, overall",
    claim: "overall",
    weigh: "documents",
    promise: "expectation",
    decide: ({ grid, test, epsilon, ...trial }) => {
      const vectors = trial.overall().map(({ thresholds }) => thresholds);
      if (vectors.length === 0) return never(grid);
      const { accepted } = conformalRiskControl(overallLosses(tallyVectors(test, vectors)), epsilon);
      return accepted.length === 0 ? never(grid) : vectors[accepted.at(-1)!]!;
    },
  },
  tenths: {
    title: "certified overall (WSR), thresholds at tenths of the scores",
    claim: "overall",
    weigh: "documents",
    promise: "probability",
    decide: (trial, delta) => tenths(trial, delta, 0),
  },
  greedyLoss: {
    title: "certified overall (WSR) by the argmax, used for sampled text (mutant)",
    claim: "overall",
    weigh: "documents",
    promise: "none",
    decide: ({ grid, test, costs, epsilon, ...trial }, delta) => {
      const greedy = { ...trial, costs, epsilon, grid: withoutDistances(grid), test: withoutDistances(test) };
      const proposed = once(() => proposeOverall(greedy.grid, costs, { epsilon }));
      return overall({ ...greedy, overall: proposed }, delta, "wsr", "fixedSequence");
    },
  },
  offByOne: {
    title: "the same, but accepting the first failure too (mutant)",
    claim: "overall",
    weigh: "documents",
    promise: "none",
    decide: (trial, delta) => tenths(trial, delta, 1),
  },
} as const satisfies Record<string, ProcedureSpec>;

/** Splits documents, or groups of them, at random: two fifths propose the candidates, the others test them. */
export function createTrial(
  all: TokenTable,
  rng: Rng,
  { costs, epsilon }: { readonly costs: ExitCosts; readonly epsilon: number },
): Trial {
  const units = unitCount(all);
  const order = rng.shuffle(Array.from({ length: units }, (_, u) => u));
  const cut = Math.max(1, Math.round(0.4 * units));
  const grid = takeUnits(all, order.slice(0, cut));
  const test = takeUnits(all, order.slice(cut));
  return {
    all,
    grid,
    test,
    costs,
    epsilon,
    overall: once(() => proposeOverall(grid, costs, { epsilon })),
    selective: once(() => proposeSelective(grid, costs, { epsilon })),
  };
}

function unitCount({ documents, unitStarts }: TokenTable): number {
  return unitStarts === undefined ? documents : unitStarts.length - 1;
}

/** A table of these units; groups stay whole. */
function takeUnits(table: TokenTable, units: readonly number[]): TokenTable {
  const { unitStarts } = table;
  if (unitStarts === undefined) return takeDocuments(table, units);
  const documents: number[] = [];
  const starts = [0];
  for (const unit of units) {
    for (let d = unitStarts[unit]!; d < unitStarts[unit + 1]!; d++) documents.push(d);
    starts.push(documents.length);
  }
  return { ...takeDocuments(table, documents), unitStarts: Int32Array.from(starts) };
}

function overall(
  { grid, test, epsilon, ...trial }: Trial,
  delta: number,
  bound: "wsr" | "hoeffdingBentkus",
  procedure: "fixedSequence" | "bonferroni",
): ThresholdVector {
  const candidates = trial.overall();
  const proposed = candidates.map(({ thresholds }) => thresholds);
  const planned = { epsilon, delta, units: unitCount(test), bound };
  const { vectors, costs } = planOverall(tallyVectors(grid, proposed), candidates, planned);
  if (vectors.length === 0) return never(grid);
  const losses = overallLosses(tallyVectors(test, vectors));
  const { chosen } = certifyLosses(losses, { epsilon, delta, bound, procedure, costs });
  return chosen === "never" ? never(grid) : vectors[chosen]!;
}

function selective(
  { grid, test, epsilon, costs, ...trial }: Trial,
  delta: number,
  unit: "token" | "document",
): ThresholdVector {
  const planned = { epsilon, delta, units: unitCount(test), unit };
  const plan = planSelective(grid, trial.selective(), costs, planned);
  if (plan.vectors.length === 0) return never(grid);
  const { chosen } = certifySelective(tallyVectors(test, plan.vectors), { epsilon, delta, unit, costs: plan.costs });
  return chosen === "never" ? never(grid) : plan.vectors[chosen]!;
}

/**
 * A coarse list of candidates: at every exit the thresholds that a tenth, two tenths, … of all tokens reach. Returns
 * the vector that lies `extra` candidates past the last accepted one.
 */
function tenths({ grid, test, epsilon }: Trial, delta: number, extra: number): ThresholdVector {
  const sorted = grid.oriented.map((column) => column.slice().sort());
  const vectors = Array.from({ length: 10 }, (_, i) =>
    sorted.map((column) => column[Math.floor((column.length - 1) * (1 - (i + 1) / 10))]!),
  );
  const { accepted } = certifyLosses(overallLosses(tallyVectors(test, vectors)), {
    epsilon,
    delta,
    bound: "wsr",
    costs: vectors.map((_, i) => -i),
  });
  return vectors[Math.min(vectors.length, accepted.length + extra) - 1] ?? never(grid);
}

/** The table of a greedy text: a token is lost if the argmax differs, and only then. */
function withoutDistances({ documents, exits, starts, oriented, agrees }: TokenTable): TokenTable {
  return { documents, exits, starts, oriented, agrees };
}

function never({ exits }: TokenTable): ThresholdVector {
  return Array.from({ length: exits }, () => Infinity);
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}
