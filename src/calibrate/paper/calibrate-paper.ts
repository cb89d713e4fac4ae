/** Calibration as published (paper-threshold.ts): one threshold per head from recorded text, without a guarantee. */
import { requireNumber } from "../../errors.js";
import type { FillName } from "../../exits/fill/fill.js";
import type { Policy } from "../../exits/plan/policy.js";
import type { ScoreName } from "../../exits/heads/score.js";
import { libraryVersion } from "../../version.js";
import { rawThreshold } from "../procedures/token-table.js";
import { tableOf } from "../record/evidence.js";
import type { CalibrationRecords } from "../record/record.js";
import { playPolicy, type PolicyOutcome } from "../record/outcome.js";
import { requireScore } from "../record/subject.js";
import { orientedThreshold, paperDefaults } from "./paper-threshold.js";

export interface PaperCalibrationOptions {
  /** Share of each head's tokens that should be the full model's, in (0, 1). @default 0.95 */
  readonly agreement?: number;
  /** @default "entropy", the paper's */
  readonly score?: ScoreName;
  /** @default "lazy" */
  readonly fill?: FillName;
}

interface CalibrationReport {
  readonly format: "early-exits/calibration";
  readonly version: 1;
  readonly procedure: "paper";
  readonly guarantee: "none";
  readonly strategy: "maxCoverage";
  readonly agreement: number;
  readonly score: ScoreName;
  readonly fill: FillName;
  /** Measured on the text that chose the thresholds, so optimistic. */
  readonly measured: PolicyOutcome;
  readonly modelHash: string;
  readonly headsHash: string;
  readonly libraryVersion: string;
  readonly assumptions: readonly string[];
}

export interface PaperCalibration {
  readonly policy: Policy;
  readonly certificate: CalibrationReport;
}

/**
 * Chooses thresholds by the paper's procedure, without documents that taught the heads. Throws an OptionError for a
 * level outside (0, 1).
 */
export function calibratePaper(given: CalibrationRecords, options: PaperCalibrationOptions = {}): PaperCalibration {
  const records = { ...given, documents: given.documents.filter(({ taught }) => taught !== true) };
  const { agreement = 0.95, score = paperDefaults.score, fill = "lazy" } = options;
  requireNumber("calibrate: agreement", agreement, 1, { open: true });
  requireScore(records, score);
  const { oriented, agrees } = tableOf(records.documents, score);
  const exits = records.depths.map((depth, exit) => {
    const threshold = orientedThreshold(oriented[exit] ?? new Float64Array(), agrees[exit] ?? [], agreement);
    return { depth, threshold: rawThreshold(threshold, score) };
  });
  const { modelHash, headsHash } = records;
  const terms = { version: 1, agreement, score, fill, modelHash, headsHash } as const;
  const policy: Policy = { ...terms, format: "early-exits/policy", exits };
  const certificate: CalibrationReport = {
    ...terms,
    format: "early-exits/calibration",
    procedure: "paper",
    guarantee: "none",
    strategy: "maxCoverage",
    measured: playPolicy(records, policy),
    libraryVersion,
    assumptions: [
      "No guarantee: thresholds were chosen on the text they were measured on, head by head, with tokens " +
        "treated as independent.",
    ],
  };
  return { policy, certificate };
}
