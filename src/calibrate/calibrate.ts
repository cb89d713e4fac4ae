/**
 * From heads and held-out text to a policy, certified by default: with probability 1 - delta over the draw of the
 * calibration documents, the policy keeps the agreement asked for on documents like them. certify/certify.ts shows how;
 * the certificate states the claim and its assumptions. If nothing can be certified, the policy never exits, and the
 * certificate estimates how many more documents would be needed. `procedure: "paper"` is the published calibration,
 * which guarantees nothing (paper/paper-calibration.ts).
 */
import { OptionError } from "../errors.js";
import { type FillName, isExactFill, requireFillFor } from "../exits/fill/index.js";
import type { ExitHeads } from "../exits/heads/index.js";
import { checkPolicy, type Policy } from "../exits/plan/index.js";
import type { Document } from "../model/index.js";
import type { Certified, CertifyPolicyOptions } from "./certify/index.js";
import { calibratePaper, type PaperCalibration, type PaperCalibrationOptions } from "./paper/index.js";
import {
  type CalibrationRecords,
  countedEvidence,
  deployedEvidence,
  gridSize,
  hashDocuments,
  type PolicyRuns,
  recordDocuments,
  type RecordDocumentsOptions,
  recordedEvidence,
  type RunPoliciesOptions,
  seededOrder,
  streamedEvidence,
} from "./record/index.js";

export interface CalibrateOptions
  extends CertifyPolicyOptions, RecordDocumentsOptions, Pick<RunPoliciesOptions, "batchSize" | "onRun"> {}

export interface PaperCalibrateOptions extends PaperCalibrationOptions, RecordDocumentsOptions {
  readonly procedure: "paper";
}

/**
 * Calibrates a policy for these heads on documents that they were not trained on; many short documents are worth more
 * than a few long ones. Throws an OptionError for levels outside (0, 1), options that contradict each other, text
 * without documents, or scores that are NaN.
 */
export function calibrate(
  heads: ExitHeads,
  documents: readonly Document[],
  options: PaperCalibrateOptions,
): Promise<PaperCalibration>;
export function calibrate(
  heads: ExitHeads,
  documents: readonly Document[],
  options?: CalibrateOptions,
): Promise<Certified>;
export async function calibrate(
  heads: ExitHeads,
  documents: readonly Document[],
  options: CalibrateOptions | PaperCalibrateOptions = {},
): Promise<Certified | PaperCalibration> {
  if (options.procedure === "paper") return calibratePaper(await recordDocuments(heads, documents, options), options);
  const { certify, certifySettings } = await import("./certify/index.js"); // loaded only when a program certifies
  const settings = certifySettings(options); // refuses bad options before any work
  const { fill, seed, gridShare } = settings;
  requireFillFor(heads, fill);
  const texts = await hashDocuments(heads, documents);
  const order = await seededOrder(texts, seed);
  const ordered = order.map((index) => texts[index]!);
  const streaming = { ...options, kept: gridSize(ordered.length, gridShare) };
  const evidence = isExactFill(fill)
    ? await streamedEvidence(heads, ordered, streaming)
    : await deployedEvidence(heads, ordered, fill, streaming);
  return certify(evidence, settings);
}

/**
 * Calibrates from records made before: one recording serves every level, claim, score and seed. Fills that change other
 * tokens are refused, because records do not show what a policy does with them: run candidates with `runPolicies` and
 * certify with `calibrateRuns`.
 */
export function calibrateRecords(
  records: CalibrationRecords,
  options: PaperCalibrationOptions & { readonly procedure: "paper" },
): Promise<PaperCalibration>;
export function calibrateRecords(records: CalibrationRecords, options?: CertifyPolicyOptions): Promise<Certified>;
export async function calibrateRecords(
  records: CalibrationRecords,
  options: CertifyPolicyOptions | (PaperCalibrationOptions & { readonly procedure: "paper" }) = {},
): Promise<Certified | PaperCalibration> {
  if (options.procedure === "paper") return calibratePaper(records, options);
  const { certify, certifySettings } = await import("./certify/index.js");
  const settings = certifySettings(options);
  if (!isExactFill(settings.fill)) throw unrecorded(settings.fill);
  const order = await seededOrder(records.documents, settings.seed);
  return certify(recordedEvidence(records, order), settings);
}

function unrecorded(fill: FillName): OptionError {
  return new OptionError(
    "fill-unrecorded",
    `calibrateRecords: with fill "${fill}" exits change other tokens, which records do not show; use ` +
      "calibrate(heads, documents), or runPolicies and calibrateRuns",
    { fill },
  );
}

/**
 * Calibrates from runs (`runPolicies`) of candidates that were proposed on other documents: every seed splits the same
 * counts anew. Score and fill are those of the runs.
 */
export async function calibrateRuns(
  runs: PolicyRuns,
  options: Omit<CertifyPolicyOptions, "score" | "fill" | "candidates"> = {},
): Promise<Certified> {
  const { certify, certifySettings } = await import("./certify/index.js");
  const settings = certifySettings({ ...options, score: runs.score, fill: runs.fill });
  const order = await seededOrder(runs.documents, settings.seed);
  return certify(countedEvidence(runs, order), settings);
}

/** Reads a policy from parsed JSON that is a policy, or holds one beside its calibration. */
export function policyFrom(json: unknown): Policy {
  const inner = typeof json === "object" && json !== null && "policy" in json ? json.policy : json;
  return checkPolicy(inner);
}
