/**
 * `early-exits calibrate`: thresholds for the heads, on held-out text, certified unless the paper's procedure is asked
 * for. Writes { policy, certificate } for `generate --policy` and `certificate verify`, and on request the calibration
 * file of the paper's code.
 */
import { join } from "node:path";
import {
  calibrate,
  type Certificate,
  type Certified,
  EarlyExitError,
  type ExitHeads,
  type FillName,
  measureUnitTimes,
  type ScoreName,
  type WeightDtype,
} from "../../index.js";
import { isExactFill } from "../../exits/index.js";
import {
  calibrateRecords,
  type CalibrationRecords,
  type CertifiedProcedure,
  type PaperCalibration,
  type PaperStrategy,
  type PolicyOutcome,
  recordDocuments,
  toReleasedCalibration,
} from "../../calibrate/index.js";
import { folderStore, readHeads, readJson, readModel, writeFileAtomic } from "../../node/index.js";
import { percent, table } from "../format.js";
import { breathe, colorsOf, type CommonOptions, type Io, note, openDevice, writeResult } from "../io.js";
import { createProgress } from "../progress.js";
import { readDocuments } from "../text-source.js";

export interface CalibrateSettings extends CommonOptions {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  /** @default 0.95 */
  readonly agreement?: number | undefined;
  /** Chance that the certificate is wrong. @default 0.05 */
  readonly delta?: number | undefined;
  /** @default "overall" */
  readonly claim?: "overall" | "selective" | "any-change" | undefined;
  /** @default "document" */
  readonly unit?: "document" | "token" | undefined;
  /** @default "certified" */
  readonly procedure?: "certified" | "bonferroni" | "by-exit" | "crc" | "paper" | undefined;
  /** @default the one that promises the lowest cost; "entropy" for the paper's procedure */
  readonly score?: ScoreName | undefined;
  /** @default "maxCoverage" */
  readonly strategy?: PaperStrategy | undefined;
  /** @default "lazy" */
  readonly fill?: FillName | undefined;
  /** What decides between policies that keep the agreement. @default "counted" */
  readonly costs?: "counted" | "measured" | undefined;
  /** Splits the documents. @default 0 */
  readonly seed?: number | undefined;
  /** Folder for what was recorded, so that an interrupted calibration goes on. */
  readonly store?: string | undefined;
  /** At most this many documents. */
  readonly documents?: number | undefined;
  readonly out?: string | undefined;
  /** Where to write the released code's file. */
  readonly released?: string | undefined;
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

export const NO_GUARANTEE =
  "The paper's procedure carries no guarantee: thresholds are chosen on the text they are measured on, so " +
  "expect somewhat less agreement elsewhere.";

export async function run(settings: CalibrateSettings, io: Io): Promise<void> {
  const { dir, text, released, score } = settings;
  if (released !== undefined && score !== undefined && score !== "entropy" && score !== "maxProb") {
    throw new EarlyExitError(
      "released-score",
      `calibrate: the released code's file knows entropy and maxProb, not ${score}; leave --released out, or ` +
        "choose one of them",
      { score },
    );
  }
  const model = await readModel(dir, {
    device: await openDevice(io, settings.device),
    ...(settings.dtype && { dtype: settings.dtype }),
  });
  const heads = await readHeads(settings.heads, model);
  const source = await readDocuments(text);
  const trainedOn = await trainingText(settings.heads);
  const { yellow } = colorsOf(io);
  if (trainedOn === source.hash) {
    note(
      io,
      yellow(
        "warning: the heads were trained on this very text; agreement will look better than it is. Calibrate " +
          "on text they have not seen.",
      ),
    );
  }
  const documents = source.documents.slice(0, settings.documents);
  const records =
    released !== undefined || settings.procedure === "paper" ? await recordAll(heads, documents, io) : undefined;
  const { policy, certificate } = await choose(heads, documents, records, settings, io);
  if (settings.out !== undefined) {
    await writeFileAtomic(settings.out, calibrationFile({ policy, certificate } as Certified | PaperCalibration));
  }
  if (released !== undefined && records !== undefined) {
    const file = toReleasedCalibration(records, {
      modelConfigPath: join(dir, "config.json"),
      calibrationDataset: text,
      metric: score === "maxProb" ? "confidence" : "entropy",
      ...(settings.strategy && { strategy: settings.strategy }),
    });
    await writeFileAtomic(released, `${JSON.stringify(file, undefined, 2)}\n`);
  }
  const { measured } = certificate;
  writeResult(io, settings, { policy, certificate }, [
    ...outcomeTable(
      measured,
      policy.exits.map(({ threshold }) => threshold),
      policy.score,
    ),
    `all: agreement ${percent(measured.agreement)} over ${measured.positions} tokens of ${measured.documents} ` +
      `documents, mean depth ${measured.meanDepth.toFixed(2)} of ${model.config.numLayers}`,
    ...("guarantee" in certificate ? [NO_GUARANTEE] : promiseLines(certificate)),
    ...(settings.out === undefined ? [] : [`policy: ${settings.out}`]),
    ...(released === undefined ? [] : [`released schema: ${released}`]),
  ]);
  heads.dispose();
  model.dispose();
}

/** The command line's names of claims and procedures, and the library's. */
const CLAIMS = { overall: "overall", selective: "selective", "any-change": "anyChange" } as const;
const PROCEDURES = {
  certified: "fixedSequence",
  bonferroni: "bonferroni",
  "by-exit": "byExit",
  crc: "crc",
} as const satisfies Record<string, CertifiedProcedure>;

async function choose(
  heads: ExitHeads,
  documents: readonly string[],
  records: CalibrationRecords | undefined,
  settings: CalibrateSettings,
  io: Io,
): Promise<Certified | PaperCalibration> {
  const {
    procedure = "certified",
    claim = "overall",
    unit,
    agreement = 0.95,
    delta = 0.05,
    score,
    strategy,
    fill = "lazy",
    seed,
    store,
  } = settings;
  if (procedure === "paper") {
    return calibrateRecords(records!, {
      procedure,
      agreement,
      fill,
      ...(score && { score }),
      ...(strategy && { strategy }),
    });
  }
  const times = settings.costs === "measured" ? await measureUnitTimes(heads, { fill }) : undefined;
  const options = {
    agreement,
    delta,
    claim: CLAIMS[claim],
    procedure: PROCEDURES[procedure],
    fill,
    ...(unit && { unit }),
    ...(score && { score }),
    ...(seed !== undefined && { seed }),
    ...(times && { costs: times }),
  };
  if (records !== undefined && isExactFill(fill)) return calibrateRecords(records, options);
  const progress = createProgress(io, "calibrate");
  try {
    return await calibrate(heads, documents, {
      ...options,
      signal: io.signal,
      ...(store !== undefined && { store: folderStore(store) }),
      async onDocument({ document, documents: total }) {
        progress.update({ done: document, total, text: "documents" });
        await breathe();
      },
      async onRun({ done, total }) {
        progress.update({ done, total, text: "policies run on batches of documents" });
        await breathe();
      },
    });
  } finally {
    progress.end();
  }
}

/** What a certificate promises, or what it would take. */
export function promiseLines({
  policy,
  claim,
  unit,
  agreement,
  delta,
  promise,
  tests,
  documents,
  split,
  furtherUnits,
  procedure,
}: Certificate): string[] {
  const tested = documents.length - split.grid;
  if (policy.exits.every(({ threshold }) => threshold === "never")) {
    const more =
      furtherUnits === null
        ? "more text like this would not do"
        : `about ${furtherUnits} more ${unit}s like these would be needed`;
    return [
      `not certified: no policy with exits was proven to keep ${percent(agreement)} on ${tested} documents; ` +
        `this one never exits; ${more}`,
    ];
  }
  const what = {
    overall: `an agreement of ${percent(agreement)} of each document's tokens, on average`,
    anyChange: `${percent(agreement)} of documents unchanged`,
    selective: `an agreement of ${percent(agreement)} at every exit`,
  }[claim];
  const tried = tests.reduce((sum, { candidates }) => sum + candidates.length, 0);
  const firmly =
    promise === "expectation"
      ? "in the mean over calibrations (no single one is promised)"
      : `with probability ${percent(1 - delta)}`;
  return [
    `certified: ${what}, ${firmly}; ${tested} documents tested, ${tried} candidates tried ` +
      `(${procedure}), ${unit}s taken as independent. What else is supposed: certificate.assumptions`,
  ];
}

/** The policy to read, and the certificate on one line: it holds many numbers. */
function calibrationFile({ policy, certificate }: Certified | PaperCalibration): string {
  return `{\n"policy": ${JSON.stringify(policy, undefined, 2)},\n"certificate": ${JSON.stringify(certificate)}\n}\n`;
}

/** Records what every head says about every document, with progress. */
export async function recordAll(
  heads: ExitHeads,
  documents: readonly string[],
  io: Io,
  label = "calibrate",
): Promise<CalibrationRecords> {
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
export function outcomeTable(
  { exits }: PolicyOutcome,
  thresholds: readonly (number | string)[],
  score: ScoreName,
): string[] {
  return table([
    ["exit", `threshold (${score})`, "reached", "leave", "of them agree"],
    ...exits.map(({ depth, reached, coverage, agreement }, i) => {
      const threshold = thresholds[i]!;
      return [
        `depth ${depth}`,
        typeof threshold === "number" ? threshold.toPrecision(4) : threshold,
        String(reached),
        percent(coverage),
        percent(agreement),
      ];
    }),
  ]);
}

/** The hash of the text the heads were trained on, where training.json tells. */
async function trainingText(folder: string): Promise<unknown> {
  const training = await readJson(join(folder, "training.json")).catch(() => undefined);
  return typeof training === "object" && training !== null && "textHash" in training ? training.textHash : undefined;
}
