/**
 * The procedures under test: the published one, the certified ones, and mutants that look right but are wrong. Each
 * sees one draw of calibration documents and returns thresholds; beside it stand its claim and what it promises.
 */
import { sum } from "d3-array";
import type { CertifiedLoss } from "../../src/exits/plan/policy.js";
import type { Rng } from "../../src/tensor/index.js";
import { binomialTail } from "../../src/risk/binomial.js";
import { certifyLosses, type LossMatrix } from "../../src/risk/certify-losses.js";
import { hoeffdingBentkusPValue } from "../../src/risk/hoeffding-bentkus.js";
import { riskControl } from "early-exits/risk";
import { cheapest, planSequence } from "../../src/calibrate/certify/fixed-sequence.js";
import { pickVectors } from "../../src/calibrate/record/policy-runs.js";
import { costsOf, type ExitCosts, lossesOf, readLosses, type Tally } from "../../src/calibrate/procedures/tally.js";
import {
  type LossColumn,
  orientThreshold,
  tallyVectors,
  type ThresholdVector,
  type TokenTable,
} from "../../src/calibrate/procedures/token-table.js";
import { proposeVectors } from "../../src/calibrate/procedures/propose.js";
import { paperThreshold } from "../../src/calibrate/paper/paper-threshold.js";

/** Documents, and groups of them if these are the units. */
export interface GroupedTable extends TokenTable {
  readonly groups?: readonly (readonly number[])[];
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
  tenths(): { readonly vectors: readonly ThresholdVector[]; losses: Float64Array[] };
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
    decide: ({ grid, test, costs, epsilon, all }, delta) =>
      certified(
        trialOf({ all, costs, epsilon, grid: withoutDistances(grid), test: withoutDistances(test) }),
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
  return trialOf({ ...terms, all, grid: takeUnits(all, order.slice(0, cut)), test: takeUnits(all, order.slice(cut)) });
}

/** Whatever several procedures need is made once, when the first one asks. */
function trialOf(split: Omit<Trial, "proposed" | "tenths">): Trial {
  const { grid, test, costs, epsilon } = split;
  const propose = (): Proposed => {
    const vectors = proposeVectors(grid, costs, { epsilon });
    return { vectors, grid: tallyVectors(grid, vectors), test: tallyVectors(test, vectors) };
  };
  return { ...split, proposed: once(propose), tenths: once(() => tenthsOf(split)) };
}

function unitCount({ documents, groups }: GroupedTable): number {
  return groups?.length ?? documents;
}

/** A table of these units; groups stay whole. */
function takeUnits({ groups, ...table }: GroupedTable, units: readonly number[]): GroupedTable {
  if (groups === undefined) return takeDocuments(table, units);
  const chosen = units.map((unit) => groups[unit]!);
  let row = 0;
  return { ...takeDocuments(table, chosen.flat()), groups: chosen.map((group) => group.map(() => row++)) };
}

/** The losses of a table's units, from counts of its documents. */
export function unitLosses(tally: Tally, { groups }: GroupedTable, loss: CertifiedLoss): LossMatrix {
  const losses = lossesOf(tally, loss);
  if (groups === undefined) return losses;
  const units = groups.map((group) => group.map((document) => [document]));
  return readLosses({ ...losses, binary: false }, units);
}

/** Returns a table of these documents, in this order. */
function takeDocuments(
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
  return {
    documents: documents.length,
    exits,
    starts: taken,
    oriented: oriented.map((column) => gather(column, new Float64Array(tokens))),
    agrees: agrees.map((column) => gather(column, new Uint8Array(tokens))),
    ...(losses && {
      losses: { ...losses, exits: losses.exits.map((column) => gather<LossColumn>(column, new Int32Array(tokens))) },
    }),
  };
}

/**
 * The cheapest accepted of the vectors that the grid split proposes, from where the sequence starts. `acceptedOf` takes
 * the counts of some of them on the test split.
 */
function chosenFrom(
  trial: Trial,
  { delta, loss }: { readonly delta: number; readonly loss: CertifiedLoss },
  acceptedOf: (tallyOf: (from: number, to?: number) => Tally, vectors: number) => number,
): ThresholdVector {
  const { vectors: all, grid, test } = trial.proposed();
  if (all.length === 0) return never(trial.grid);
  const candidates = { vectors: all, costs: costsOf(grid, trial.costs) };
  const plan = { epsilon: trial.epsilon, delta, units: unitCount(trial.test) };
  const { vectors, costs } = planSequence(candidates, unitLosses(grid, trial.grid, loss), plan);
  const kept = [...all.keys()].slice(all.length - vectors.length);
  const accepted = acceptedOf((from, to) => pickVectors(test, kept.slice(from, to)), vectors.length);
  const chosen = cheapest(costs.slice(0, accepted));
  return chosen === "never" ? never(trial.grid) : vectors[chosen]!;
}

function certified(trial: Trial, delta: number, loss: CertifiedLoss): ThresholdVector {
  const terms = { epsilon: trial.epsilon, delta };
  return chosenFrom(
    trial,
    { delta, loss },
    (tallyOf) => certifyLosses(unitLosses(tallyOf(0), trial.test, loss), terms).accepted,
  );
}

/** The same sequence by other p-values. */
function byPValues(
  trial: Trial,
  delta: number,
  pValueOf: (tally: Tally, epsilon: number, table: GroupedTable) => number,
): ThresholdVector {
  return chosenFrom(trial, { delta, loss: "token" }, (tallyOf, vectors) => {
    const pValueAt = (at: number) => pValueOf(tallyOf(at, at + 1), trial.epsilon, trial.test);
    let accepted = 0;
    while (accepted < vectors && pValueAt(accepted) <= delta) accepted++;
    return accepted;
  });
}

/** The Hoeffding-Bentkus p-value of one candidate, documents or groups as units. */
export function hoeffdingBentkus(tally: Tally, epsilon: number, table: GroupedTable): number {
  const { units, values } = unitLosses(tally, table, "token");
  return hoeffdingBentkusPValue(sum(values), units, epsilon);
}

/** The exact binomial p-value of one candidate, as if its tokens were independent. */
export function tokensAsUnits({ tokens, wrong, lossScale = 1 }: Tally, epsilon: number): number {
  const count = sum(tokens);
  return binomialTail(Math.min(count, Math.ceil(sum(wrong) / lossScale)), count, epsilon);
}

/** A coarse list of candidates: at every exit the thresholds that a tenth, two tenths, … of all tokens reach. */
function tenthsOf({ grid, test }: Pick<Trial, "grid" | "test">): ReturnType<Trial["tenths"]> {
  const sorted = grid.oriented.map((column) => column.slice().sort());
  const vectors = Array.from({ length: 10 }, (_, i) =>
    sorted.map((column) => column[Math.floor((column.length - 1) * (1 - (i + 1) / 10))]!),
  );
  const { values } = lossesOf(tallyVectors(test, vectors), "token");
  return { vectors, losses: Array.from({ length: test.documents }, (_, d) => values.subarray(10 * d, 10 * d + 10)) };
}

/** Returns the vector that lies `extra` candidates past the last accepted one. */
function tenths(trial: Trial, delta: number, extra: number): ThresholdVector {
  const { vectors, losses } = trial.tenths();
  const { chosen } = riskControl(losses, { epsilon: trial.epsilon, delta });
  return vectors[Math.min(9, (chosen ?? -1) + extra)] ?? never(trial.grid);
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
