/**
 * `early-exits calibrate`: thresholds for the heads, on held-out text. Writes { policy, certificate } for `generate --policy`, and on
 * request the calibration file of the paper's released code.
 */
import { join } from "node:path";
import {
  calibrateRecords, type CalibrationRecords, EarlyExitError, type ExitHeads, type FillName, type PaperStrategy, type PolicyOutcome, recordDocuments, type ScoreName, toReleasedCalibration, type WeightDtype,
} from "../index.js";
import { readHeads, readJson, readModel, writeFileAtomic } from "../node/index.js";
import { percent, table } from "./format.js";
import { breathe, colorsOf, type CommonOptions, type Io, note, openDevice, writeResult } from "./io.js";
import { createProgress } from "./progress.js";
import { readDocuments } from "./text-source.js";

export interface CalibrateSettings extends CommonOptions {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  /** @default 0.95 */
  readonly agreement?: number | undefined;
  /** @default "entropy" */
  readonly score?: ScoreName | undefined;
  /** @default "maxCoverage" */
  readonly strategy?: PaperStrategy | undefined;
  /** @default "lazy" */
  readonly fill?: FillName | undefined;
  /** Probability that a guarantee may fail; the paper's procedure gives none. */
  readonly delta?: number | undefined;
  /** At most this many documents. */
  readonly documents?: number | undefined;
  readonly out?: string | undefined;
  /** Where to write the released code's file. */
  readonly released?: string | undefined;
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

export const NO_GUARANTEE = "The paper's procedure carries no guarantee: thresholds are chosen on the text they are measured on, so expect somewhat less agreement elsewhere.";

export async function run(settings: CalibrateSettings, io: Io): Promise<void> {
  const { dir, text, agreement = 0.95, score = "entropy", strategy = "maxCoverage", fill = "lazy", released } = settings;
  const metric = score === "entropy" ? "entropy" : score === "maxProb" ? "confidence" : undefined;
  if (released !== undefined && metric === undefined) throw new EarlyExitError("released-score", `calibrate: the released code's file knows entropy and maxProb, not ${score}; leave --released out, or choose one of them`, { score });
  const model = await readModel(dir, { device: await openDevice(io, settings.device), ...(settings.dtype && { dtype: settings.dtype }) });
  const heads = await readHeads(settings.heads, model);
  const source = await readDocuments(text);
  const trainedOn = await trainingText(settings.heads);
  const { yellow } = colorsOf(io);
  if (trainedOn === source.hash) note(io, yellow("warning: the heads were trained on this very text; agreement will look better than it is. Calibrate on text they have not seen."));
  const records = await recordAll(heads, source.documents.slice(0, settings.documents), io);
  const { policy, certificate } = calibrateRecords(records, { modelHash: await model.hash(), headsHash: await heads.hash() }, { agreement, score, strategy, fill });
  if (settings.out !== undefined) await writeFileAtomic(settings.out, `${JSON.stringify({ policy, certificate }, undefined, 2)}\n`);
  if (released !== undefined && metric !== undefined) {
    const file = toReleasedCalibration(records, { modelConfigPath: join(dir, "config.json"), calibrationDataset: text, metric, strategy });
    await writeFileAtomic(released, `${JSON.stringify(file, undefined, 2)}\n`);
  }
  const { measured } = certificate;
  writeResult(io, settings, { policy, certificate }, [
    ...outcomeTable(measured, policy.exits.map(({ threshold }) => threshold), policy.score),
    `all: agreement ${percent(measured.agreement)} over ${measured.positions} tokens of ${measured.documents} documents, mean depth ${measured.meanDepth.toFixed(2)} of ${model.config.numLayers}`,
    NO_GUARANTEE,
    ...(settings.out === undefined ? [] : [`policy: ${settings.out}`]),
    ...(released === undefined ? [] : [`released schema: ${released}`]),
  ]);
  heads.dispose();
  model.dispose();
}

/** Records what every head says about every document, with progress. */
export async function recordAll(heads: ExitHeads, documents: readonly string[], io: Io, label = "calibrate"): Promise<CalibrationRecords> {
  const progress = createProgress(io, label);
  try {
    return await recordDocuments(heads, documents, {
      signal: io.signal,
      async onDocument({ document, documents: total }) {
        progress.update({ done: document, total, text: "documents" });
        await breathe();
      },
    });
  } finally {
    progress.end();
  }
}

/** One row per exit. */
export function outcomeTable({ exits }: PolicyOutcome, thresholds: readonly (number | string)[], score: ScoreName): string[] {
  return table([
    ["exit", `threshold (${score})`, "reached", "leave", "of them agree"],
    ...exits.map(({ depth, reached, coverage, agreement }, i) => {
      const threshold = thresholds[i]!;
      return [`depth ${depth}`, typeof threshold === "number" ? threshold.toPrecision(4) : threshold, String(reached), percent(coverage), percent(agreement)];
    }),
  ]);
}

/** The hash of the text the heads were trained on, where training.json tells. */
async function trainingText(folder: string): Promise<unknown> {
  const training = await readJson(join(folder, "training.json")).catch(() => undefined);
  return typeof training === "object" && training !== null && "textHash" in training ? training.textHash : undefined;
}
