/**
 * From heads and held-out text to a policy, certified by default: with probability 1 - delta over the draw of the
 * documents, the policy keeps the agreement asked for on documents like them. How is in certify.ts; what is claimed and
 * supposed, in the certificate. Where nothing can be certified the policy never exits, and the certificate says how
 * many more documents would do. `procedure: "paper"` is the published calibration, which promises nothing
 * (paper-calibration.ts).
 */
import { OptionError } from "../errors.js";
import type { Document } from "../model/index.js";
import { isExactFill, requireFillFor } from "../exits/fill/index.js";
import type { ExitHeads, ScoreName } from "../exits/heads/index.js";
import { checkPolicy, type Policy } from "../exits/plan/index.js";
import type { Certified, CertifyPolicyOptions } from "./certify/index.js";
import {
  type CalibrationRecords,
  gridSize,
  hashDocuments,
  pickVectors,
  type PolicyRuns,
  recordDocuments,
  type RecordDocumentsOptions,
  recordedEvidence,
  runEvidence,
  type RunPoliciesOptions,
  runVectors,
  seededOrder,
  streamedEvidence,
  tallyRuns,
} from "./record/index.js";
import { calibratePaper, type PaperCalibration, type PaperCalibrationOptions } from "./paper/index.js";
import type { ThresholdVector } from "./procedures/index.js";

export interface CalibrateOptions
  extends CertifyPolicyOptions, RecordDocumentsOptions, Pick<RunPoliciesOptions, "batchSize" | "onRun"> {}

export interface PaperCalibrateOptions extends PaperCalibrationOptions, RecordDocumentsOptions {
  readonly procedure: "paper";
}

/**
 * Calibrates a policy for these heads on documents that they were not trained on: many short ones are worth more than
 * few long ones. Throws an OptionError for levels outside (0, 1), options that contradict each other, text without
 * documents, or scores that are NaN.
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
  const { certifyPolicy, certifySettings } = await import("./certify/index.js"); // loaded by those who certify
  const { gridShare, seed, fill } = certifySettings(options); // refuses bad options before any work
  requireFillFor(heads, fill);
  const texts = await hashDocuments(heads, documents);
  const order = await seededOrder(
    texts.map(({ hash }) => hash),
    seed,
  );
  const ordered = order.map((index) => texts[index]!);
  const evidence = await streamedEvidence(heads, ordered, { ...options, kept: gridSize(ordered.length, gridShare) });
  return certifyPolicy(isExactFill(fill) ? evidence : runEvidence(heads, ordered, evidence, fill, options), options);
}

/**
 * The same from records made before: one recording serves every level, claim, score and seed. For fills that change
 * other tokens a recording does not show what a policy does: run candidates with `runPolicies` and certify with
 * `calibrateRuns`.
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
  const { certifyPolicy, certifySettings } = await import("./certify/index.js");
  const { seed, fill } = certifySettings(options);
  if (!isExactFill(fill)) {
    throw new OptionError(
      "fill-unrecorded",
      `calibrateRecords: with fill ${fill} exits change other tokens, which records do not show; use ` +
        "calibrate(heads, documents), or runPolicies and calibrateRuns",
      { fill },
    );
  }
  return certifyPolicy(
    recordedEvidence(
      records,
      await seededOrder(
        records.documents.map(({ hash }) => hash),
        seed,
      ),
    ),
    options,
  );
}

/**
 * The same from runs of candidates (`runPolicies`) that were proposed on other documents: every seed is another split
 * of the same counts. Score and fill are those of the runs.
 */
export async function calibrateRuns(
  runs: PolicyRuns,
  options: Omit<CertifyPolicyOptions, "score" | "fill" | "candidates"> = {},
): Promise<Certified> {
  const { certifySettings, certifyVectors } = await import("./certify/index.js");
  const settings = { ...options, score: runs.score, fill: runs.fill };
  const order = await seededOrder(
    runs.documents.map(({ hash }) => hash),
    certifySettings(settings).seed,
  );
  const vectors = runVectors(runs);
  const keys = vectors.map((vector) => vector.join());
  const evidence = {
    subject: runs.subject,
    sequenceLength: runs.sequenceLength,
    documents: order.map((index) => ({ hash: runs.documents[index]!.hash, tokens: runs.documents[index]!.tokens })),
    tally: (first: number, end: number, _score: ScoreName, asked: readonly ThresholdVector[]) =>
      Promise.resolve(
        pickVectors(
          tallyRuns(runs, order.slice(first, end)),
          asked.map((vector) => keys.indexOf(vector.join())),
        ),
      ),
  };
  return certifyVectors(evidence, runs.score, vectors, settings);
}

/** A policy from a file that holds a policy, or a policy with its calibration. */
export function policyFrom(json: unknown): Policy {
  const inner = typeof json === "object" && json !== null && "policy" in json ? json.policy : json;
  return checkPolicy(inner);
}
