/**
 * The procedures under test: the published one, the certified ones, and mutants that look right but are wrong. Each
 * sees one draw of calibration documents and returns thresholds; beside it stand its claim and what it promises.
 */
import type { CertifiedLoss } from "../../src/exits/plan/policy.js";
import type { Rng } from "../../src/tensor/index.js";
import { binomialTail } from "../../src/calibrate/bounds/binomial.js";
import { hoeffdingBentkusPValue } from "../../src/calibrate/bounds/hoeffding.js";
import {
  certifyLosses,
  cheapest,
  fixedSequence,
  planSequence,
  type TestSequence,
} from "../../src/calibrate/procedures/certify-losses.js";
import { pickVectors } from "../../src/calibrate/record/policy-runs.js";
import {
  costsOf,
  type ExitCosts,
  lossesOf,
  type LossMatrix,
  readLosses,
  type Tally,
} from "../../src/calibrate/procedures/tally.js";
import {
  orientThreshold,
  tallyVectors,
  type ThresholdVector,
  type TokenTable,
} from "../../src/calibrate/procedures/token-table.js";
import { proposeVectors } from "../../src/calibrate/procedures/propose.js";
import { paperThreshold } from "../../src/calibrate/paper/paper-threshold.js";

/** Documents, and groups of them if these are the units. */
export interface GroupedTable extends TokenTable {
  /** [units + 1] unit u holds documents starts[u] .. starts[u+1]-1. */
  readonly unitStarts?: Int32Array;
}

/** One draw of calibration documents. Candidates are proposed once for all procedures and values of δ. */
export interface Trial {
  readonly all: GroupedTable;
  /** The documents that propose candidates. */
  readonly grid: GroupedTable;
  /** The documents that test them. */
  readonly test: GroupedTable;
  readonly costs: ExitCosts;
  readonly epsilon: number;
  proposed(): Proposed;
  /** Thresholds at tenths of the scores, and their losses. */
  tenths(): { readonly vectors: readonly ThresholdVector[]; readonly losses: LossMatrix };
}

/** Vectors, and what they cost and lose on both splits. */
interface Proposed {
  readonly vectors: readonly ThresholdVector[];
  readonly costs: readonly number[];
  readonly test: Tally;
  gridLosses(loss: CertifiedLoss): LossMatrix;
  testLosses(loss: CertifiedLoss): LossMatrix;
}

export interface ProcedureSpec {
  readonly title: string;
  /**
   * share: the mean share of changed tokens per document. anyChange: the share of documents in which any token changes.
   * perExit: the share of wrong tokens among those that leave, at every exit, as the published rule measures it.
   */
  readonly claim: "share" | "anyChange" | "perExit";
  /** probability: the claim holds with probability 1 - δ. */
  readonly promise: "none" | "probability";
  decide(trial: Trial, delta: number): ThresholdVector;
}

export type ProcedureName = keyof typeof procedures;

export const procedures = {
  paper: {
    title: "published rule, per head on all tokens",
    claim: "perExit",
    promise: "none",
    decide: ({ all, epsilon }) =>
      all.oriented.map((column, exit) =>
        orientThreshold(paperThreshold(column, all.agrees[exit]!, 1 - epsilon, { score: "margin" }), "margin"),
      ),
  },
  overallWsr: {
    title: "certified (WSR)",
    claim: "share",
    promise: "probability",
    decide: (trial, delta) => certified(trial, delta, "token"),
  },
  overallHoeffdingBentkus: {
    title: "certified by the Hoeffding-Bentkus bound",
    claim: "share",
    promise: "probability",
    decide: (trial, delta) => byPValues(trial, delta, hoeffdingBentkus),
  },
  anyChange: {
    title: "certified, any change in a document (exact binomial)",
    claim: "anyChange",
    promise: "probability",
    decide: (trial, delta) => certified(trial, delta, "anyChange"),
  },
  tenths: {
    title: "certified (WSR), thresholds at tenths of the scores",
    claim: "share",
    promise: "probability",
    decide: (trial, delta) => tenths(trial, delta, 0),
  },
  offByOne: {
    title: "the same, but accepting the first failure too (mutant)",
    claim: "share",
    promise: "none",
    decide: (trial, delta) => tenths(trial, delta, 1),
  },
  tokensAsUnits: {
    title: "certified with tokens as units (binomial; mutant)",
    claim: "share",
    promise: "none",
    decide: (trial, delta) => byPValues(trial, delta, tokensAsUnits),
  },
  greedyLoss: {
    title: "certified (WSR) by the argmax, used for sampled text (mutant)",
    claim: "share",
    promise: "none",
    decide: ({ grid, test, costs, epsilon, all }, delta) =>
      certified(
        trialOf(all, { costs, epsilon }, () => [grid, test].map(withoutDistances)),
        delta,
        "token",
      ),
  },
} as const satisfies Record<string, ProcedureSpec>;

/** Splits documents, or groups of them, at random: two fifths propose the candidates, the others test them. */
export function createTrial(all: GroupedTable, rng: Rng, terms: Pick<Trial, "costs" | "epsilon">): Trial {
  const units = unitCount(all);
  const order = rng.shuffle(Array.from({ length: units }, (_, u) => u));
  const cut = Math.max(1, Math.round(0.4 * units));
  return trialOf(all, terms, () => [takeUnits(all, order.slice(0, cut)), takeUnits(all, order.slice(cut))]);
}

/** Whatever several procedures need is made once, when the first one asks. */
function trialOf(
  all: GroupedTable,
  { costs, epsilon }: Pick<Trial, "costs" | "epsilon">,
  split: () => readonly GroupedTable[],
): Trial {
  const splits = once(split);
  const trial: Trial = {
    all,
    costs,
    epsilon,
    get grid() {
      return splits()[0]!;
    },
    get test() {
      return splits()[1]!;
    },
    proposed: once(() => propose(trial)),
    tenths: once(() => tenthsOf(trial)),
  };
  return trial;
}

function propose({ grid, test, costs, epsilon }: Trial): Proposed {
  const vectors = proposeVectors(grid, costs, { epsilon });
  const [onGrid, onTest] = [grid, test].map((table) => tallyVectors(table, vectors));
  return {
    vectors,
    costs: vectors.length === 0 ? [] : costsOf(onGrid!, costs),
    test: onTest!,
    gridLosses: byLoss((loss) => unitLosses(onGrid!, grid, loss)),
    testLosses: byLoss((loss) => unitLosses(onTest!, test, loss)),
  };
}

function byLoss(make: (loss: CertifiedLoss) => LossMatrix): (loss: CertifiedLoss) => LossMatrix {
  const made = new Map<CertifiedLoss, LossMatrix>();
  return (loss) => {
    const losses = made.get(loss) ?? make(loss);
    made.set(loss, losses);
    return losses;
  };
}

function unitCount({ documents, unitStarts }: GroupedTable): number {
  return unitStarts === undefined ? documents : unitStarts.length - 1;
}

/** A table of these units; groups stay whole. */
function takeUnits(table: GroupedTable, units: readonly number[]): GroupedTable {
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

/** The losses of a table's units, from counts of its documents. */
export function unitLosses(tally: Tally, { unitStarts }: GroupedTable, loss: CertifiedLoss): LossMatrix {
  const losses = lossesOf(tally, loss);
  if (unitStarts === undefined) return losses;
  const rows = [...Array(tally.documents).keys()].map((d) => [d]);
  const units = Array.from(unitStarts.subarray(1), (end, u) => rows.slice(unitStarts[u], end));
  return readLosses({ ...losses, binary: false }, units);
}

/** Returns a table of these documents, in this order. */
export function takeDocuments(
  { exits, starts, oriented, agrees, losses }: TokenTable,
  documents: readonly number[],
): TokenTable {
  const lengths = documents.map((d) => starts[d + 1]! - starts[d]!);
  const taken = new Int32Array(documents.length + 1);
  lengths.forEach((length, i) => {
    taken[i + 1] = taken[i]! + length;
  });
  const gather = <Column extends Float64Array | Uint8Array | Int32Array>(from: Column, to: Column): Column => {
    documents.forEach((d, i) => {
      to.set(from.subarray(starts[d], starts[d + 1]), taken[i]);
    });
    return to;
  };
  const tokens = taken[documents.length]!;
  const gatherLosses = (column: Uint8Array | Int32Array): Uint8Array | Int32Array =>
    gather(column, new Int32Array(tokens));
  return {
    documents: documents.length,
    exits,
    starts: taken,
    oriented: oriented.map((column) => gather(column, new Float64Array(tokens))),
    agrees: agrees.map((column) => gather(column, new Uint8Array(tokens))),
    ...(losses && {
      losses: {
        lossScale: losses.lossScale,
        exits: losses.exits.map(gatherLosses),
        ...(losses.deep && { deep: gatherLosses(losses.deep) }),
      },
    }),
  };
}

/** The sequence that the grid split plans, and the place of its start among the vectors proposed. */
function planned(trial: Trial, delta: number, loss: CertifiedLoss): TestSequence & { readonly start: number } {
  const { vectors, costs, gridLosses } = trial.proposed();
  const plan = { epsilon: trial.epsilon, delta, units: unitCount(trial.test) };
  const sequence = planSequence({ vectors, costs }, gridLosses(loss), plan);
  return { ...sequence, start: vectors.length - sequence.vectors.length };
}

function certified(trial: Trial, delta: number, loss: CertifiedLoss): ThresholdVector {
  const { vectors: all, testLosses } = trial.proposed();
  if (all.length === 0) return never(trial.grid);
  const { vectors, costs, start } = planned(trial, delta, loss);
  const { accepted } = certifyLosses(lossesFrom(testLosses(loss), start), { epsilon: trial.epsilon, delta });
  const chosen = cheapest(costs.slice(0, accepted));
  return chosen === "never" ? never(trial.grid) : vectors[chosen]!;
}

/** The candidates from one on. */
function lossesFrom({ units, candidates, binary, values }: LossMatrix, first: number): LossMatrix {
  const width = candidates - first;
  const kept = new Float64Array(units * width);
  for (let i = 0; i < kept.length; i++) kept[i] = values[Math.floor(i / width) * candidates + first + (i % width)]!;
  return { units, candidates: width, binary, values: kept };
}

/** The same sequence by other p-values. */
function byPValues(
  trial: Trial,
  delta: number,
  pValueOf: (tally: Tally, epsilon: number, table: GroupedTable) => number,
): ThresholdVector {
  const { vectors: all, test } = trial.proposed();
  if (all.length === 0) return never(trial.grid);
  const { vectors, costs, start } = planned(trial, delta, "token");
  const pValues: number[] = [];
  for (const i of vectors.keys()) {
    const pValue = pValueOf(pickVectors(test, [start + i]), trial.epsilon, trial.test);
    pValues.push(pValue);
    if (pValue > delta) break; // the others are not reached
  }
  const chosen = cheapest(costs.slice(0, fixedSequence(pValues, delta).length));
  return chosen === "never" ? never(trial.grid) : vectors[chosen]!;
}

/** The Hoeffding-Bentkus p-value of one candidate, documents or groups as units. */
export function hoeffdingBentkus(tally: Tally, epsilon: number, table: GroupedTable): number {
  const { units, values } = unitLosses(tally, table, "token");
  return hoeffdingBentkusPValue(sumOf(values), units, epsilon);
}

/** The exact binomial p-value of one candidate, as if its tokens were independent. */
export function tokensAsUnits({ tokens, wrong, lossScale = 1 }: Tally, epsilon: number): number {
  const count = sumOf(tokens);
  return binomialTail(Math.min(count, Math.ceil(sumOf(wrong) / lossScale)), count, epsilon);
}

function sumOf(values: Int32Array | Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

/** A coarse list of candidates: at every exit the thresholds that a tenth, two tenths, … of all tokens reach. */
function tenthsOf({ grid, test }: Trial): ReturnType<Trial["tenths"]> {
  const sorted = grid.oriented.map((column) => column.slice().sort());
  const vectors = Array.from({ length: 10 }, (_, i) =>
    sorted.map((column) => column[Math.floor((column.length - 1) * (1 - (i + 1) / 10))]!),
  );
  return { vectors, losses: lossesOf(tallyVectors(test, vectors), "token") };
}

/** Returns the vector that lies `extra` candidates past the last accepted one. */
function tenths(trial: Trial, delta: number, extra: number): ThresholdVector {
  const { vectors, losses } = trial.tenths();
  const { accepted } = certifyLosses(losses, { epsilon: trial.epsilon, delta });
  return vectors[Math.min(vectors.length, accepted + extra) - 1] ?? never(trial.grid);
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
