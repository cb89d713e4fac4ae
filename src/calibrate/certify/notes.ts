/**
 * What a calibration shows besides its certificate, for people: what was possible at all, what it costs, and how far
 * documents are from independent. Nothing here is part of the claim.
 */
import { errorFreeUnits } from "../bounds/index.js";
import { expectedCost } from "../procedures/index.js";
import { type Evidence, type ExitFeasibility, feasibilityOf } from "../record/index.js";
import { designEffectInOrder, designEffectOf } from "./design-effect.js";
import { lossesOf } from "./losses.js";
import type { ScoredSequence, Split } from "./plan-sequence.js";
import type { CertifySettings } from "./settings.js";
import type { TestResult } from "./test-result.js";

export interface CalibrationNotes {
  /** Per exit, on the grid split: what no threshold can escape; null if candidates were given, without scores. */
  readonly feasibility: readonly (ExitFeasibility & { readonly depth: number })[] | null;
  /** The fewest documents with which this claim could be certified, if no token differed. */
  readonly fewestDocuments: number;
  /** Full cost over expected cost of the policy that the grid split leads one to expect. */
  readonly expectedSpeedup: number;
  /** The same for the certified policy, on the grid split; 1 if it never exits, below 1 if it is slower than plain. */
  readonly speedup: number;
  /** Milliseconds of a token by measured unit times, with the certified policy and without exits; null if counted. */
  readonly tokenTimes: { readonly policy: number; readonly plain: number } | null;
  /** How many of the documents given are copies of others, exactly or nearly. */
  readonly copies: number;
  /** How much dependence between documents inflates the variance of the mean loss; null if nothing tells. */
  readonly dependence: Dependence | null;
}

export interface Dependence {
  /** 1: none. */
  readonly designEffect: number;
  /** groups: that documents name. order: documents that follow each other. passages: documents that share some. */
  readonly basis: "groups" | "order" | "passages";
}

/** What a calibration is described from. */
export interface NotesParts {
  readonly evidence: Evidence;
  readonly split: Split;
  readonly sequence: ScoredSequence;
  readonly result: TestResult;
  readonly settings: CertifySettings;
}

/** Describes a calibration. */
export async function notesOf({ evidence, split, sequence, result, settings }: NotesParts): Promise<CalibrationNotes> {
  const { documents, subject, given } = evidence;
  const { epsilon, delta, claim, gridShare } = settings;
  const { exitCosts, score } = sequence;
  const table = given === undefined ? await evidence.table(0, split.grid, score) : undefined;
  const feasibility = table && feasibilityOf(table, { epsilon, selective: claim === "selective" });
  const perUnit = split.test / split.units;
  const cost = costOfResult(result, exitCosts.full);
  const timed = settings.costs !== undefined || settings.knownCosts !== undefined;
  return {
    feasibility: feasibility?.map((one, exit) => ({ depth: subject.depths[exit]!, ...one })) ?? null,
    fewestDocuments: Math.ceil((errorFreeUnits(epsilon, delta) * perUnit) / (1 - gridShare)),
    expectedSpeedup: exitCosts.full / expectedCost(sequence, delta, exitCosts.full),
    speedup: exitCosts.full / cost,
    tokenTimes: timed ? { policy: cost, plain: exitCosts.full } : null,
    copies: documents.reduce((sum, document) => sum + document.copies - 1, 0),
    dependence: dependenceOf(evidence, split, result, settings),
  };
}

/** The mean cost of a token under the chosen vector on the grid split. */
function costOfResult({ tests, vector }: TestResult, full: number): number {
  if (vector.every((threshold) => threshold === Infinity)) return full;
  const costs = tests.flatMap(({ candidates, chosen }) => (chosen === "never" ? [] : [candidates[chosen]!.cost]));
  return costs.at(-1) ?? full; // exit by exit, the last one includes those before it
}

/** From groups if documents name them; otherwise the larger of what their order and their passages suggest. */
function dependenceOf(
  { documents }: Evidence,
  { grid }: Split,
  { tally }: TestResult,
  { claim, unit }: CertifySettings,
): Dependence | null {
  if (unit === "group") return null;
  const tested = documents.slice(grid);
  const losses = [...lossesOf(claim)(tally).values];
  if (tested.some(({ group }) => group !== undefined)) {
    return named(
      designEffectOf(
        losses,
        tested.map(({ group, hash }) => group ?? hash),
      ),
      "groups",
    );
  }
  const inPlace = tested.map(({ place }, d) => ({ place, loss: losses[d]! })).sort((a, b) => a.place - b.place);
  const estimates = [
    named(designEffectInOrder(inPlace.map(({ loss }) => loss)), "order"),
    named(
      designEffectOf(
        losses,
        tested.map(({ cluster, hash }) => cluster ?? hash),
      ),
      "passages",
    ),
  ].filter((estimate) => estimate !== null);
  if (estimates.length === 0) return null;
  return estimates.reduce((most, one) => (one.designEffect > most.designEffect ? one : most));
}

function named(designEffect: number | null, basis: Dependence["basis"]): Dependence | null {
  return designEffect === null ? null : { designEffect, basis };
}
