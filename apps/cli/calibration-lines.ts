/** Words for calibrations and certificates: tables, promises, verdicts, next steps. */
import type { Certificate, Certified, Policy, ScoreName } from "early-exits";
import {
  type CalibrationNotes,
  type Dependence,
  describeClaim,
  type ExitFeasibility,
  type PaperCalibration,
  type PolicyOutcome,
} from "early-exits/calibrate";
import type { WayResult } from "early-exits/evaluate";
import type { ExitQuality } from "early-exits/exits";
import { clusterTest } from "early-exits/risk";
import { percent, promised, speed, table, threshold, times } from "./format.js";
import { commandAgain, commandLine } from "./next-lines.js";
import { samplingFlags, type SamplingSettings } from "./options.js";

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
    (isOfAnswers(certificate)
      ? `all: ${percent(measured.agreement)} of the answers are the full model's, ${measured.positions} tokens of `
      : `all: agreement ${percent(measured.agreement)} over ${measured.positions} tokens of `) +
      `${measured.documents} documents, mean depth ${measured.meanDepth.toFixed(2)} of ${numLayers}`,
    ...("notes" in calibration
      ? [...promiseLines(calibration.certificate), ...noteLines(calibration.notes, calibration.certificate)]
      : [NO_GUARANTEE]),
  ];
}

function isOfAnswers(certificate: Certificate | PaperCalibration["certificate"]): boolean {
  return "settings" in certificate && certificate.settings.answers !== undefined;
}

/** The mean loss of answers in the test, in the words of the claim. */
function measuredLoss({ loss, test, settings }: Certificate): string {
  if (settings.answers === undefined) return "";
  const { risk } = test!.candidates[test!.chosen as number]!;
  return `; measured ${loss === "own" ? risk.toPrecision(2) : (100 * risk).toFixed(1)}`;
}

/** True if some exit is used. */
export function leaves({ exits }: Pick<Policy, "exits">): boolean {
  return exits.some(({ threshold }) => threshold !== "never");
}

/** The promise, or what it would take to make one. */
export function promiseLines(certificate: Certificate): string[] {
  const { policy, unit, agreement, test, documents, split, furtherUnits, furtherDocuments } = certificate;
  const tested = documents.length - split.grid;
  if (typeof test?.chosen !== "number") {
    const { answers } = certificate.settings;
    const kept = answers === undefined ? `keep ${promised(agreement)}` : `lose at most ${answers.epsilon} of answers`;
    const more =
      furtherUnits === null
        ? "more text like this would not help"
        : `about ${furtherDocuments} more documents${unit === "group" ? " of new groups" : " like these"} are needed ` +
          `(${furtherUnits} more ${unit}s in the test); decide how many before you look again: adding some until it ` +
          "is certified voids the promise";
    return [
      `not certified: no policy with exits was proven to ${kept} on ${tested} documents, so this one never exits` +
        (policy.certified?.impossible === true ? ", and nothing is promised of it either; " : "; ") +
        more,
      ...trainingLines(certificate),
    ];
  }
  const groups = new Set(documents.slice(split.grid).map(({ group }) => group)).size;
  const counted = unit === "group" ? `${groups} groups (${tested} documents)` : `${tested} documents`;
  return [
    `certified: ${describeClaim(certificate)}${measuredLoss(certificate)}; ${counted} tested, ` +
      `${test.candidates.length} candidates tried`,
    ...choiceLines(certificate),
    unit === "group"
      ? "the claim is about new groups: groups are taken as independent, documents of one group are not"
      : `${unit}s taken as independent${effectOf(certificate)}`,
    ...trainingLines(certificate),
  ];
}

function choiceLines({ delta, settings: { choices } }: Certificate): string[] {
  if (choices === undefined) return [];
  return [
    `one of ${choices} certificates made together, among which delta is divided: with probability ` +
      `${promised(1 - choices * delta)} all of them hold, whichever you choose`,
  ];
}

function trainingLines({ taught }: Certificate): string[] {
  if (taught === undefined) {
    return ["training text not known: it is assumed that none of these documents taught the heads"];
  }
  return taught === 0
    ? []
    : [`${taught} document${taught === 1 ? "" : "s"} left out: the heads were taught by their text`];
}

/** Says so only if a permutation test finds that documents of one group resemble each other. */
function effectOf({ accepted, documents, split }: Certificate): string {
  const { pValue, designEffect } = clusterTest(
    accepted.losses.map((loss) => (1 + loss) / 2), // of accuracy they may be negative
    documents.slice(split.grid).map(({ group }) => group ?? ""),
  );
  if (pValue > 0.01) return "";
  return (
    `, but those of one group resemble each other (the variance is ${designEffect!.toFixed(1)} times as large), so ` +
    "the true confidence is lower; a promise about groups takes them as units"
  );
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

function slowerLines({ speedup }: CalibrationNotes, { policy }: Certificate): string[] {
  if (speedup > 1 || !leaves(policy)) return [];
  return [`certified, but slower than plain decoding: a token costs ${(1 / speedup).toFixed(2)} times as much`];
}

export function feasibilityLines(exits: readonly (ExitFeasibility & { readonly depth: number })[]): string[] {
  return exits
    .filter(({ mustStay }) => mustStay > 0)
    .map(
      ({ depth, baseRisk, mustStay }) =>
        `depth ${depth} differs on ${percent(baseRisk)} of all tokens, so at least ${percent(mustStay)} of ` +
        "them must stay if no other depth exits",
    );
}

export function noteLines(
  { feasibility, fewestDocuments, expectedSpeedup, tokenTimes, copies, cut, dependence }: CalibrationNotes,
  certificate: Certificate,
): string[] {
  const { policy, sequenceLength, unit } = certificate;
  const groups = unit === "group" ? ", in proportionally more groups," : ",";
  const exits = leaves(policy);
  return [
    ...(exits ? [] : [`such a claim needs at least ${fewestDocuments} documents${groups} even if no token differs`]),
    ...feasibilityLines(feasibility ?? []),
    ...(isOfAnswers(certificate) ? [] : [`expected speedup, from the first documents: ${expectedSpeedup.toFixed(2)}x`]),
    ...(tokenTimes === null || !exits ? [] : [speedLine(tokenTimes)]),
    ...(copies > 0 ? [`${copies} documents are copies of others, exactly or nearly, and count once`] : []),
    ...(cut > 0
      ? [`${cut} documents are longer than ${sequenceLength} tokens, and only their beginning is judged`]
      : []),
    ...(dependence === null
      ? []
      : [
          `Warning: these documents are not independent, by ${BASES[dependence.basis]} (permutation test; estimated ` +
            `design effect ${dependence.designEffect.toFixed(2)}), so the claim fails more often than it says; give ` +
            "them groups",
        ]),
  ];
}

function speedLine({ policy, plain }: NonNullable<CalibrationNotes["tokenTimes"]>): string {
  const [used, all] = [policy, plain].map((time) => time.toFixed(2));
  return `expected speed: ${(plain / policy).toFixed(2)}x, ${used} ms a token in place of ${all}`;
}

const BASES: Record<Dependence["basis"], string> = {
  groups: "the groups that they name",
  order: "the order of the documents",
  passages: "the passages that they share",
};

/** Ratios this close to 1 are within a machine's variation. */
const NOISE = 0.03;

/** Level at which heads are judged before anything is certified. */
const JUDGED_LEVEL = 0.9;

/** Verdict by counts, at an agreement of 0.90. */
export function trainingVerdict(after: readonly ExitQuality[]): string[] {
  const at = after.map(({ depth, levels }) => ({ depth, ...levels.find(({ level }) => level === JUDGED_LEVEL) }));
  const best = at.toSorted((a, b) => (b.speedup ?? 0) - (a.speedup ?? 0))[0];
  if (best?.speedup === undefined) return ["verdict: too few documents to hold some out; calibrate will tell"];
  const level = percent(JUDGED_LEVEL, 0);
  if (best.speedup <= 1 + NOISE) {
    return [
      `verdict: no exit pays at ${level} agreement by the counts of multiply-adds (${times(best.speedup)} at best); ` +
        "train on more documents, or for more --steps",
    ];
  }
  return [
    `verdict: at ${level} agreement, the exit after block ${best.depth} alone is worth ${times(best.speedup)} by the ` +
      "counts of multiply-adds; calibrate certifies a policy and times it",
  ];
}

export type Race = readonly [plain: WayResult, exits: WayResult];

export type Worth = "faster" | "even" | "slower" | "never exits";

/** Worth of a policy; without a race it never exits. */
export function worthOf(race: Race | undefined): Worth {
  const ratio = race?.[1].ratio.paired;
  if (ratio === undefined) return "never exits";
  if (ratio > 1 + NOISE) return "faster";
  return ratio < 1 - NOISE ? "slower" : "even";
}

/** Compares the runs one by one, because the machine may become slower during a race. */
export function calibrationVerdict(
  certificate: Certificate | PaperCalibration["certificate"],
  race: Race | undefined,
): string {
  const standing = "guarantee" in certificate ? "not certified (the paper's procedure promises nothing)" : "certified";
  if (race === undefined) {
    const held = "test" in certificate && typeof certificate.test?.chosen === "number" ? "certified" : "not certified";
    return `verdict: ${held}; this policy never exits, and decodes as the plain model does`;
  }
  const { low, paired, high } = race[1].ratio;
  const ratio = times(paired);
  const spread = `paired runs, quartiles ${low.toFixed(2)} to ${high.toFixed(2)}`;
  const words = {
    faster: `${ratio} as fast as plain decoding (${spread})`,
    even: `but no faster than plain decoding (${ratio}, ${spread})`,
    slower: `but slower than plain decoding (${ratio}, ${spread}): do not use it here`,
    "never exits": "",
  } as const satisfies Record<Worth, string>;
  const [plain, exits] = race.map(({ tokensPerSecond }) => speed(tokensPerSecond));
  return `verdict: ${standing}, ${words[worthOf(race)]}; medians ${exits} against ${plain} plain on this machine`;
}

interface CalibrationCall extends SamplingSettings {
  readonly dir: string;
  readonly agreement: number;
  readonly chats: boolean;
  /** Of the package's exits for this model. */
  readonly instead: readonly string[];
  readonly heads: string;
  readonly text?: string | undefined;
  readonly out?: string | undefined;
  readonly dtype?: string | undefined;
  /** All options of the command. */
  readonly given: { readonly dir: string };
  /** There were fewer documents than any claim at this level needs. */
  readonly few: boolean;
}

/** Command lines, or sentences where none would help. */
export function calibrationNext(call: CalibrationCall, worth: Worth): string[] {
  if (worth === "faster") return useIt(call);
  return [
    call.few
      ? "calibrate on more documents: these are fewer than such a claim needs, whatever the heads"
      : "train the heads on more documents or for more steps: exits that pay need heads that agree more often, earlier",
    ...call.instead,
    ...(call.text === undefined
      ? []
      : [commandLine("plan", [call.dir], { heads: call.heads, text: call.text, dtype: call.dtype })]),
  ];
}

function useIt({ dir, heads, out, chats, given, ...sampling }: CalibrationCall): string[] {
  if (out === undefined) return [commandAgain("calibrate", given, { out: "policy.json" })];
  const exits = { heads, policy: out };
  const asked = { ...exits, ...samplingFlags(sampling) };
  return [
    commandLine("generate", [dir], { ...asked, prompt: "Once upon a time" }),
    ...(chats ? [commandLine("chat", [dir], asked)] : []),
    commandLine("serve", [dir], exits),
  ];
}
