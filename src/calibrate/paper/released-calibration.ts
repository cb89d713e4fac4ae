/**
 * Reads and writes the calibration file of the paper's released code, so that thresholds can be exchanged both ways:
 *   { model_config_path, calibration_dataset, calibration_samples,
 *     uncertainty_metric: "entropy" | "confidence",
 *     accuracy_levels,
 *     thresholds: { "0.75": { "0": τ, … }, … },
 *     statistics: { "0": { mean_uncertainty, std_uncertainty, overall_accuracy, num_samples }, … } }
 * Head indices are strings, counted from the shallowest head. A head exits if its uncertainty is below τ; "confidence"
 * is -maxProb. A head that does not reach a level has no entry for it.
 */
import { PolicyError } from "../../errors.js";
import type { FillName } from "../../exits/fill/index.js";
import type { ExitHeads, ScoreName, Threshold } from "../../exits/heads/index.js";
import type { Policy } from "../../exits/plan/index.js";
import { type CalibrationRecords, flatten } from "../record/index.js";
import { paperLevels, paperThreshold, type PaperStrategy } from "./paper-threshold.js";

export interface ReleasedCalibration {
  readonly model_config_path: string;
  readonly calibration_dataset: string;
  readonly calibration_samples: number;
  readonly uncertainty_metric: "entropy" | "confidence";
  readonly accuracy_levels: readonly number[];
  readonly thresholds: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly statistics: Readonly<Record<string, ReleasedStatistics>>;
}

export interface ReleasedStatistics {
  readonly mean_uncertainty: number;
  readonly std_uncertainty: number;
  readonly overall_accuracy: number;
  readonly num_samples: number;
}

export interface ReleasedOptions {
  readonly modelConfigPath?: string;
  readonly calibrationDataset?: string;
  /** @default "entropy" */
  readonly metric?: ReleasedCalibration["uncertainty_metric"];
  /** @default the released code's: 0.60, 0.65, …, 0.95, 0.99 */
  readonly levels?: readonly number[];
  /** @default "maxCoverage" */
  readonly strategy?: PaperStrategy;
}

const SCORES = { entropy: "entropy", confidence: "maxProb" } as const satisfies Record<string, ScoreName>;

/** Turns a raw score into the uncertainty that the released code stores (low is confident); its own inverse. */
const uncertaintyOf = (score: number, metric: keyof typeof SCORES): number =>
  metric === "confidence" ? -score : score;

/** Returns the thresholds of every level and head in the released code's schema. */
export function toReleasedCalibration(records: CalibrationRecords, options: ReleasedOptions = {}): ReleasedCalibration {
  const {
    modelConfigPath = "",
    calibrationDataset = "",
    metric = "entropy",
    levels = paperLevels,
    strategy = "maxCoverage",
  } = options;
  const heads = records.depths.map((_, exit) => flatten(records, exit, SCORES[metric]));
  const thresholds: Record<string, Record<string, number>> = {};
  for (const level of levels) {
    const entries = heads.map(({ scores, agrees }, index): [string, Threshold] => [
      String(index),
      paperThreshold(scores, agrees, level, { score: SCORES[metric], strategy }),
    ]);
    thresholds[level.toFixed(2)] = Object.fromEntries(
      entries.flatMap(([index, threshold]) =>
        typeof threshold === "number" ? [[index, uncertaintyOf(threshold, metric)]] : [],
      ),
    );
  }
  const statistics = heads.map(({ scores, agrees }, index): [string, ReleasedStatistics] => {
    const values = Array.from(scores, (score) => uncertaintyOf(score, metric));
    const mean = values.reduce((sum, value) => sum + value / values.length, 0);
    return [
      String(index),
      {
        mean_uncertainty: mean,
        std_uncertainty: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0)),
        overall_accuracy: agrees.reduce((sum, agree) => sum + agree, 0) / agrees.length,
        num_samples: values.length,
      },
    ];
  });
  return {
    model_config_path: modelConfigPath,
    calibration_dataset: calibrationDataset,
    calibration_samples: records.documents.length,
    uncertainty_metric: metric,
    accuracy_levels: [...levels],
    thresholds,
    statistics: Object.fromEntries(statistics),
  };
}

/**
 * Returns a policy for one level of a released calibration file. Throws a PolicyError if the file is malformed, lacks
 * the level or was made for more heads.
 */
export function fromReleasedCalibration(
  json: unknown,
  heads: ExitHeads,
  level: number,
  { fill = "lazy" }: { readonly fill?: FillName } = {},
): Policy {
  const file = json as Partial<ReleasedCalibration> | null;
  const metric = file?.uncertainty_metric;
  if (
    typeof file !== "object" ||
    (metric !== "entropy" && metric !== "confidence") ||
    typeof file?.thresholds !== "object"
  ) {
    throw new PolicyError(
      "released-format",
      'released calibration: expected uncertainty_metric "entropy" or "confidence", and thresholds by level',
    );
  }
  const key = Object.keys(file.thresholds).find((name) => Math.abs(Number(name) - level) < 1e-9);
  if (key === undefined) {
    throw new PolicyError(
      "released-level",
      `released calibration: level ${level} is not among ${Object.keys(file.thresholds).join(", ")}`,
      { level },
    );
  }
  const entries = file.thresholds[key]!;
  const beyond = Object.keys(entries).find((index) => !(Number(index) < heads.depths.length));
  if (beyond !== undefined) {
    throw new PolicyError(
      "released-heads",
      `released calibration: it has a threshold for head ${beyond}, but the model has ${heads.depths.length} heads`,
      { head: beyond },
    );
  }
  const exits = heads.depths.map((depth, index) => {
    const uncertainty = entries[String(index)];
    if (uncertainty !== undefined && !Number.isFinite(uncertainty)) {
      throw new PolicyError(
        "released-format",
        `released calibration: the threshold of head ${index} at level ${key} is ${JSON.stringify(uncertainty)}; ` +
          "expected a number",
        { head: index },
      );
    }
    return { depth, threshold: uncertainty === undefined ? ("never" as const) : uncertaintyOf(uncertainty, metric) };
  });
  return { format: "early-exits/policy", version: 1, score: SCORES[metric], exits, fill, agreement: level };
}
