/**
 * Notes beside a certificate, for people: what was possible, what it costs, and how far documents are from independent.
 * No part of the claim.
 */
import { errorFreeUnits } from "../bounds/units-needed.js";
import { expectedCost } from "../procedures/certify-losses.js";
import { lossesOf } from "../procedures/tally.js";
import { type Evidence, tableIn } from "../record/evidence.js";
import { type ExitFeasibility, feasibilityOf } from "../record/feasibility.js";
import { lossOf } from "../record/subject.js";
import { designEffectInOrder, designEffectOf } from "./design-effect.js";
import type { TestResult } from "./fixed-sequence.js";
import type { CertifySettings } from "./settings.js";
import type { CertificateParts } from "./write-certificate.js";

export interface CalibrationNotes {
  /** Per exit, on the grid split: what no threshold can escape; null for given candidates, without scores. */
  readonly feasibility: readonly (ExitFeasibility & { readonly depth: number })[] | null;
  /** The fewest documents with which this claim could be certified if no token differed. */
  readonly fewestDocuments: number;
  /** Full cost over expected cost of the policy that the grid split predicts. */
  readonly expectedSpeedup: number;
  /** The same for the certified policy; 1 if it never exits, below 1 if slower than plain. */
  readonly speedup: number;
  /** Milliseconds of a token by measured unit times; null if counted. */
  readonly tokenTimes: { readonly policy: number; readonly plain: number } | null;
  /** Documents given that are copies of others, exactly or nearly. */
  readonly copies: number;
  /** Factor by which dependence inflates the variance of the mean loss; null if nothing tells. */
  readonly dependence: Dependence | null;
}

export interface Dependence {
  /** 1: none. */
  readonly designEffect: number;
  /** groups: that documents name. order: neighbours. passages: documents that share some. */
  readonly basis: "groups" | "order" | "passages";
}

export async function notesOf({ evidence, sequence, result, settings }: CertificateParts): Promise<CalibrationNotes> {
  const { documents, subject, given, grid, units } = evidence;
  const { epsilon, delta, gridShare } = settings;
  const { exitCosts, score } = sequence;
  const feasibility = given === undefined ? feasibilityOf(await tableIn(evidence, 0, grid, score), epsilon) : undefined;
  const perUnit = (documents.length - grid) / units;
  const cost = costOfResult(result, exitCosts.full);
  const timed = settings.costs !== undefined || settings.knownCosts !== undefined;
  return {
    feasibility: feasibility?.map((one, exit) => ({ depth: subject.depths[exit]!, ...one })) ?? null,
    fewestDocuments: Math.ceil((errorFreeUnits(epsilon, delta) * perUnit) / (1 - gridShare)),
    expectedSpeedup: exitCosts.full / expectedCost(sequence, delta, exitCosts.full),
    speedup: exitCosts.full / cost,
    tokenTimes: timed ? { policy: cost, plain: exitCosts.full } : null,
    copies: documents.reduce((sum, document) => sum + document.copies - 1, 0),
    dependence: dependenceOf(evidence, result, settings),
  };
}

function costOfResult({ test }: TestResult, full: number): number {
  return test === null || test.chosen === "never" ? full : test.candidates[test.chosen]!.cost;
}

/** From groups if documents name them; otherwise the larger of what order and passages suggest. */
function dependenceOf(
  { subject, documents, grid, unit }: Evidence,
  { tally }: TestResult,
  { loss }: CertifySettings,
): Dependence | null {
  if (unit === "group") return null;
  const tested = documents.slice(grid);
  const losses = [...lossesOf(tally, lossOf(subject, loss)).values];
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
