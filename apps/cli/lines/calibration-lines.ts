/** Words for calibrations and certificates. */
import type { Certificate, Certified, ScoreName } from "early-exits";
import {
  type CalibrationNotes,
  type Dependence,
  describeClaim,
  type ExitFeasibility,
  type PaperCalibration,
  type PolicyOutcome,
} from "early-exits/calibrate";
import { percent, table, threshold } from "../format.js";

export const NO_GUARANTEE =
  "The paper's procedure carries no guarantee: thresholds are measured on the text that they were chosen on, so " +
  "expect somewhat less agreement on other text.";

export function calibrationLines(calibration: Certified | PaperCalibration, numLayers: number): string[] {
  const { policy, certificate } = calibration;
  const { measured } = certificate;
  return [
    ...("notes" in calibration ? slowerLines(calibration.notes, calibration.certificate) : []),
    ...outcomeTable(
      measured,
      policy.exits.map((exit) => exit.threshold),
      policy.score,
    ),
    `all: agreement ${percent(measured.agreement)} over ${measured.positions} tokens of ${measured.documents} ` +
      `documents, mean depth ${measured.meanDepth.toFixed(2)} of ${numLayers}`,
    ...("notes" in calibration
      ? [...promiseLines(calibration.certificate), ...noteLines(calibration.notes, calibration.certificate)]
      : [NO_GUARANTEE]),
  ];
}

/** The promise, or what it would take to make one. */
export function promiseLines(certificate: Certificate): string[] {
  const { policy, unit, agreement, test, documents, split, furtherUnits, furtherDocuments } = certificate;
  const tested = documents.length - split.grid;
  if (policy.exits.every((exit) => exit.threshold === "never")) {
    const more =
      furtherUnits === null
        ? "more text like this would not help"
        : `about ${furtherDocuments} more documents like these are needed (${furtherUnits} more ${unit}s in the test)`;
    return [
      `not certified: no policy with exits was proven to keep ${percent(agreement)} on ${tested} documents, so this ` +
        `one never exits; ${more}`,
    ];
  }
  const { groups } = certificate;
  const counted =
    unit === "group" ? `${groupsTested(certificate)} groups (${tested} documents)` : `${tested} documents`;
  return [
    `certified: ${describeClaim(certificate)}; ${counted} tested, ` +
      `${test?.candidates.length ?? 0} candidates tried`,
    unit === "group"
      ? "the claim is about new groups: groups are taken as independent, documents of one group are not"
      : `${unit}s taken as independent${effectOf(groups.designEffect)}`,
  ];
}

function groupsTested({ documents, split }: Certificate): number {
  return new Set(documents.slice(split.grid).map(({ group }) => group)).size;
}

/** Above this, "independent" is far from true. */
const LARGE_EFFECT = 1.5;

function effectOf(effect: number | null): string {
  if (effect === null) return "";
  const warning = effect > LARGE_EFFECT ? ": the promise is weaker than it says; certify with groups as units" : "";
  return `, but by the groups they name the variance is ${effect.toFixed(1)} times as large${warning}`;
}

export function outcomeTable(
  { exits }: PolicyOutcome,
  thresholds: readonly (number | string)[],
  score: ScoreName,
): string[] {
  return table([
    ["exit", `threshold (${score})`, "reached", "leave", "of them agree"],
    ...exits.map(({ depth, reached, coverage, agreement }, i) => [
      `depth ${depth}`,
      threshold(thresholds[i]!),
      String(reached),
      percent(coverage),
      percent(agreement),
    ]),
  ]);
}

export function slowerLines({ speedup }: CalibrationNotes, { policy }: Certificate): string[] {
  if (speedup > 1 || policy.exits.every(({ threshold }) => threshold === "never")) return [];
  return [`certified, but slower than plain decoding: a token costs ${(1 / speedup).toFixed(2)} times as much`];
}

export function feasibilityLines(exits: readonly (ExitFeasibility & { readonly depth: number })[]): string[] {
  return exits
    .filter(({ mustStay }) => mustStay > 0)
    .map(
      ({ depth, baseRisk, mustStay }) =>
        `depth ${depth} differs on ${percent(baseRisk)} of all tokens: alone it must let ${percent(mustStay)} of ` +
        "them stay, whatever its score",
    );
}

export function noteLines(
  { feasibility, fewestDocuments, expectedSpeedup, tokenTimes, copies, dependence }: CalibrationNotes,
  { policy }: Certificate,
): string[] {
  const exits = policy.exits.some(({ threshold }) => threshold !== "never");
  return [
    ...(exits ? [] : [`such a claim needs at least ${fewestDocuments} documents, even if no token differs`]),
    ...feasibilityLines(feasibility ?? []),
    `from the first documents, a cost of 1/${expectedSpeedup.toFixed(2)} of the full model's was expected`,
    ...(tokenTimes === null || !exits ? [] : [speedLine(tokenTimes)]),
    ...(copies > 0 ? [`${copies} documents are copies of others, exactly or nearly, and count once`] : []),
    ...(dependence === null ? [] : [dependenceLine(dependence)]),
  ];
}

function speedLine({ policy, plain }: NonNullable<CalibrationNotes["tokenTimes"]>): string {
  const [used, all] = [policy, plain].map((time) => time.toFixed(2));
  return `expected speed: ${(plain / policy).toFixed(2)}x, ${used} ms a token in place of ${all}`;
}

function dependenceLine({ designEffect, basis }: Dependence): string {
  const estimate = `estimated design effect ${designEffect.toFixed(2)}, from ${BASES[basis]}`;
  if (designEffect <= LARGE_EFFECT) return estimate;
  return (
    `${estimate}. Warning: these documents are far from independent, so the claim fails more often than it says; ` +
    "give them groups"
  );
}

const BASES = {
  groups: "the groups that they name",
  order: "the order of the documents",
  passages: "the passages that they share",
} as const satisfies Record<Dependence["basis"], string>;
