/**
 * From heads and held-out text to a policy and a document that says what is known about it. The procedure here is the paper's, which
 * promises nothing; its report says so in `guarantee`.
 */
import { PolicyError, requireNumber } from "../errors.js";
import type { Document } from "../exits/documents.js";
import type { FillName } from "../exits/fill.js";
import type { ExitHeads } from "../exits/heads.js";
import { checkPolicy, type Policy } from "../exits/policy.js";
import type { ScoreName } from "../exits/score.js";
import { libraryVersion } from "../version.js";
import { playPolicy, type PolicyOutcome } from "./outcome.js";
import { paperThreshold, type PaperStrategy } from "./paper.js";
import { type CalibrationRecords, flatten, recordDocuments, type RecordDocumentsOptions } from "./record.js";

export interface CalibrateOptions extends RecordDocumentsOptions {
  /** Share of tokens that should be the full model's, in (0, 1). @default 0.95 */
  readonly agreement?: number;
  /** Probability with which a guarantee may fail, in (0, 1). The paper's procedure gives none and does not use it. @default 0.05 */
  readonly delta?: number;
  /** @default "entropy" */
  readonly score?: ScoreName;
  /** How the deployed policy fills keys and values of skipped blocks. @default "lazy" */
  readonly fill?: FillName;
  /** @default "maxCoverage" */
  readonly strategy?: PaperStrategy;
}

/** What was measured when a policy was made. */
export interface CalibrationReport {
  readonly format: "early-exits/calibration";
  readonly version: 1;
  readonly procedure: "paper";
  /** The paper's procedure carries no guarantee. */
  readonly guarantee: "none";
  readonly strategy: PaperStrategy;
  /** The level asked for, per exit. */
  readonly agreement: number;
  readonly score: ScoreName;
  readonly fill: FillName;
  /** On the very text that the thresholds were chosen on: optimistic. */
  readonly measured: PolicyOutcome;
  readonly modelHash: string;
  readonly headsHash: string;
  readonly libraryVersion: string;
  readonly assumptions: readonly string[];
}

export interface Calibration {
  readonly policy: Policy;
  readonly certificate: CalibrationReport;
}

/** Chooses a threshold for every head on held-out documents. Throws an OptionError for levels outside (0, 1) or text without documents. */
export async function calibrate(heads: ExitHeads, documents: readonly Document[], options: CalibrateOptions = {}): Promise<Calibration> {
  const { agreement = 0.95, delta = 0.05 } = options;
  requireNumber("calibrate: agreement", agreement, 0, 1, { open: true });
  requireNumber("calibrate: delta", delta, 0, 1, { open: true });
  const records = await recordDocuments(heads, documents, options);
  return calibrateRecords(records, { modelHash: await heads.model.hash(), headsHash: await heads.hash() }, options);
}

/** The same from records made before: one recording serves every level, score and strategy. */
export function calibrateRecords(records: CalibrationRecords, hashes: { readonly modelHash: string; readonly headsHash: string }, options: CalibrateOptions = {}): Calibration {
  const { agreement = 0.95, score = "entropy", fill = "lazy", strategy = "maxCoverage" } = options;
  const exits = records.depths.map((depth, exit) => {
    const { scores, agrees } = flatten(records, exit, score);
    return { depth, threshold: paperThreshold(scores, agrees, agreement, { score, strategy }) };
  });
  const policy: Policy = { format: "early-exits/policy", version: 1, score, exits, fill, agreement, ...hashes };
  const certificate: CalibrationReport = {
    format: "early-exits/calibration", version: 1, procedure: "paper", guarantee: "none", strategy, agreement, score, fill,
    measured: playPolicy(records, policy), ...hashes, libraryVersion,
    assumptions: ["No guarantee: thresholds were chosen on the text they were measured on, head by head, with tokens treated as independent."],
  };
  return { policy, certificate };
}

/** Checks a parsed calibration report. */
export function checkCalibrationReport(json: unknown): CalibrationReport {
  const report = json as Partial<CalibrationReport> | null;
  if (typeof report !== "object" || report?.format !== "early-exits/calibration" || report.version !== 1) {
    throw new PolicyError("calibration-format", 'calibration: expected {"format": "early-exits/calibration", "version": 1, …}');
  }
  return report as CalibrationReport;
}

/** A policy from a file that holds a policy, or a policy with its calibration. */
export function policyFrom(json: unknown): Policy {
  const inner = typeof json === "object" && json !== null && "policy" in json ? json.policy : json;
  return checkPolicy(inner);
}
