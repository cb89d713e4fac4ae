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
import { costsOf, type ExitCosts, lossesOf, type Tally } from "../../src/calibrate/procedures/tally.js";
import {
  orientThreshold,
  tallyVectors,
  type ThresholdVector,
  type TokenTable,
} from "../../src/calibrate/procedures/token-table.js";
import { proposeVectors } from "../../src/calibrate/procedures/propose.js";
import { paperThreshold } from "../../src/calibrate/paper/paper-threshold.js";

/** One draw of calibration documents. Candidates are proposed once for all procedures and values of δ. */
export interface Trial {
  readonly all: TokenTable;
  /** The documents that propose candidates. */
  readonly grid: TokenTable;
  /** The documents that test them. */
  readonly test: TokenTable;
  readonly costs: ExitCosts;
  readonly epsilon: number;
  proposed(): Proposed;
}

interface Proposed {
  readonly vectors: readonly ThresholdVector[];
  /** Of all vectors. */
  readonly grid: Tally;
  readonly test: Tally;
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
    decide: ({ grid, test, costs, epsilon, all }, delta) => {
      const greedy = { all, costs, epsilon, grid: withoutDistances(grid), test: withoutDistances(test) };
      return certified({ ...greedy, proposed: once(() => propose(greedy)) }, delta, "token");
    },
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
  const trial = { all, grid, test, costs, epsilon };
  return { ...trial, proposed: once(() => propose(trial)) };
}

function propose({ grid, test, costs, epsilon }: Omit<Trial, "proposed">): Proposed {
  const vectors = proposeVectors(grid, costs, { epsilon });
  return { vectors, grid: tallyVectors(grid, vectors), test: tallyVectors(test, vectors) };
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

/** The vectors that the grid split proposes, from where the sequence starts, and their counts on the test split. */
function planned(
  { test, epsilon, costs, ...trial }: Trial,
  delta: number,
  loss: CertifiedLoss,
): TestSequence & { readonly tallyOf: (from: number, to?: number) => Tally } {
  const { vectors, grid, test: tally } = trial.proposed();
  const candidates = { vectors, costs: costsOf(grid, costs) };
  const sequence = planSequence(candidates, lossesOf(grid, loss), { epsilon, delta, units: unitCount(test) });
  const start = vectors.length - sequence.vectors.length;
  const tallyOf = (from: number, to = vectors.length - start): Tally =>
    pickVectors(tally, [...vectors.keys()].slice(start + from, start + to));
  return { ...sequence, tallyOf };
}

function certified(trial: Trial, delta: number, loss: CertifiedLoss): ThresholdVector {
  if (trial.proposed().vectors.length === 0) return never(trial.grid);
  const { vectors, costs, tallyOf } = planned(trial, delta, loss);
  const { accepted } = certifyLosses(lossesOf(tallyOf(0), loss), { epsilon: trial.epsilon, delta });
  const chosen = cheapest(costs.slice(0, accepted));
  return chosen === "never" ? never(trial.grid) : vectors[chosen]!;
}

/** The same sequence by other p-values. */
function byPValues(trial: Trial, delta: number, pValueOf: (tally: Tally, epsilon: number) => number): ThresholdVector {
  if (trial.proposed().vectors.length === 0) return never(trial.grid);
  const { vectors, costs, tallyOf } = planned(trial, delta, "token");
  const pValues = vectors.map((_, i) => pValueOf(tallyOf(i, i + 1), trial.epsilon));
  const chosen = cheapest(costs.slice(0, fixedSequence(pValues, delta).length));
  return chosen === "never" ? never(trial.grid) : vectors[chosen]!;
}

/** The Hoeffding-Bentkus p-value of one candidate, documents or groups as units. */
export function hoeffdingBentkus(tally: Tally, epsilon: number): number {
  const { units, values } = lossesOf(tally, "token");
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

/**
 * A coarse list of candidates: at every exit the thresholds that a tenth, two tenths, … of all tokens reach. Returns
 * the vector that lies `extra` candidates past the last accepted one.
 */
function tenths({ grid, test, epsilon }: Trial, delta: number, extra: number): ThresholdVector {
  const sorted = grid.oriented.map((column) => column.slice().sort());
  const vectors = Array.from({ length: 10 }, (_, i) =>
    sorted.map((column) => column[Math.floor((column.length - 1) * (1 - (i + 1) / 10))]!),
  );
  const losses = lossesOf(tallyVectors(test, vectors), "token");
  const { accepted } = certifyLosses(losses, { epsilon, delta });
  return vectors[Math.min(vectors.length, accepted + extra) - 1] ?? never(grid);
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
