/**
 * `early-exits calibrate`: chooses thresholds for the heads on held-out text, certified unless the paper's procedure is
 * asked for. Writes the certificate, whose policy `generate --policy` runs and `certificate verify` checks.
 * Long because the options are declared here, each with its words.
 */
import { join } from "node:path";
import {
  calibrate,
  type Certified,
  type ExitHeads,
  type FillName,
  exactFill,
  fillNames,
  measureUnitTimes,
  type Model,
  type ScoreName,
  scoreNames,
} from "../../index.js";
import type { UnitTimes } from "../../exits/index.js";
import { canonicalSampling, samplingDefaults } from "../../model/decode/index.js";
import { type CalibrationDocument, calibratePaper, type PaperCalibration } from "../../calibrate/index.js";
import { certifyDefaults } from "../../calibrate/certify/index.js";
import { type JobOptions, openCalibrationJob } from "../../calibrate/parts/index.js";
import { paperDefaults } from "../../calibrate/paper/index.js";
import { folderStore, readHeads, readJson, writeFileAtomic } from "../../node/index.js";
import { raceExits } from "../generation/index.js";
import {
  calibrationLines,
  calibrationNext,
  calibrationVerdict,
  nextLines,
  type Race,
  worthOf,
} from "../lines/index.js";
import { ownDocuments } from "../own-text/index.js";
import { certificatesFor, findShippedExits } from "../shipped/index.js";
import { type CommandDefinition, withDefaults } from "../command.js";
import {
  type GroupedSource,
  hashDocuments,
  beginningOf,
  ownTextParts,
  readGroupedDocuments,
  recordAll,
} from "../documents.js";
import { colorsOf, type CommonOptions, type Io, note, UsageError, writeResult } from "../io.js";
import { modelDefaults, type ModelSettings, openModel, openReference } from "../open-model.js";
import {
  againstOption,
  agreementOption,
  documentsOption,
  headsOption,
  heldOutTextOption,
  integer,
  modelFolder,
  modelOptions,
  number,
  samplingOf,
  samplingOptions,
  type SamplingSettings,
} from "../options.js";
import { withProgress } from "../progress.js";
import {
  openPlace,
  readTimes,
  requireWhole,
  shardOptions,
  type ShardSettings,
  writeCalibrationPart,
} from "../spreading/index.js";

export interface CalibrateSettings extends CommonOptions, ModelSettings, SamplingSettings, ShardSettings {
  readonly dir: string;
  readonly heads: string;
  readonly text?: string | undefined;
  /** Calibrates on so many documents that the model writes itself. */
  readonly self?: number | undefined;
  readonly agreement?: number | undefined;
  /** Chance that the certificate is wrong. */
  readonly delta?: number | undefined;
  readonly loss?: keyof typeof LOSSES | undefined;
  readonly unit?: "document" | "group" | undefined;
  /** Calibrates by the published rule. */
  readonly paper?: boolean | undefined;
  readonly score?: ScoreName | undefined;
  readonly fill?: FillName | undefined;
  /** Whose tokens are right: those of the model as it is stored, or of its checkpoint as float32. */
  readonly against?: "same" | "float32" | undefined;
  /** Certifies on text of so many tokens that the policies write after the beginnings of half of the documents. */
  readonly ownText?: number | undefined;
  /** Most policies to test; 0 certifies another way of storing the model, without exits. */
  readonly candidates?: number | undefined;
  /** Decides between policies that keep the agreement: "counted", "measured", or a file of measured times. */
  readonly costs?: string | undefined;
  /** Splits the documents. */
  readonly seed?: number | undefined;
  /** Folder for recordings, from which an interrupted calibration continues. */
  readonly store?: string | undefined;
  /** At most this many documents. */
  readonly documents?: number | undefined;
  readonly out?: string | undefined;
}

/** The command line's names for losses, and the library's. */
const LOSSES = { token: "token", "any-change": "anyChange" } as const;

/** Documents of the model's own if no number is given, and tokens of each at most. */
const OWN_DOCUMENTS = 200;
const OWN_TOKENS = 144;

/** Documents after whose beginnings the policy is timed. */
const TIMED = 8;

const OWN_TEXT_CLAIM =
  "the documents are the model's own; the claim is about such text. For yours, calibrate with --text FILE";

const defaults = {
  ...modelDefaults,
  agreement: certifyDefaults.agreement,
  delta: certifyDefaults.delta,
  loss: certifyDefaults.loss,
  against: "same",
  ...samplingDefaults,
  costs: "counted",
  self: OWN_DOCUMENTS,
  seed: certifyDefaults.seed,
} as const;

export const calibrateCommand: CommandDefinition<CalibrateSettings> = {
  name: "calibrate",
  description: "Choose thresholds on held-out text, certified to keep an agreement with the full model",
  positional: [modelFolder],
  options: [
    { ...headsOption, required: true },
    heldOutTextOption,
    {
      flags: "--self [n]",
      description:
        "in place of --text: this many documents of the model's own, of a chat model answers to prompts that it writes",
      parse: integer(1),
    },
    agreementOption,
    {
      flags: "--delta <share>",
      description: "probability that the certificate is wrong",
      parse: number(0, 1, { open: true }),
    },
    {
      flags: "--loss <loss>",
      description: "what a document loses: the share of its tokens that change, or all if any changes",
      choices: Object.keys(LOSSES),
    },
    {
      flags: "--unit <unit>",
      description: "what is taken as independent",
      choices: ["document", "group"],
      defaultNote: "group if documents have groups, otherwise document",
    },
    { flags: "--paper", description: "calibrate by the published rule, which promises nothing" },
    {
      flags: "--score <score>",
      description: "confidence score",
      choices: scoreNames,
      defaultNote: `the one with the lowest expected cost, or ${paperDefaults.score} with --paper`,
    },
    {
      flags: "--fill <how>",
      description: "how keys and values of skipped blocks are filled",
      choices: fillNames,
      defaultNote: "shared if blocks share keys and values, otherwise lazy: the full model's output",
    },
    againstOption,
    ...samplingOptions,
    {
      flags: "--own-text <tokens>",
      description:
        "certify on so many tokens that policies write themselves after the beginnings of the second half of the text",
      parse: integer(1),
    },
    {
      flags: "--candidates <n>",
      description: "most policies to test; 0, with --against float32, certifies the stored model without exits",
      parse: integer(0),
      defaultNote: "20, or 12 with a fill that changes other tokens",
    },
    {
      flags: "--costs <how>",
      description:
        "how policies that keep the agreement are ranked: counted (multiply-adds), measured (times on this machine), " +
        "or the file of times that plan --times wrote",
    },
    documentsOption,
    {
      flags: "--seed <n>",
      description: "splits the documents into those that propose candidates and those that test them",
      parse: integer(0),
    },
    { flags: "--store <folder>", description: "keep the recordings there, and continue from them" },
    { flags: "--out <file>", description: "write the certificate with its policy to this file, for generate --policy" },
    ...shardOptions,
    ...modelOptions,
  ],
  defaults,
  examples: [
    "calibrate my-model --heads heads --text held.txt --agreement .95 --out policy.json",
    "calibrate chat-model.gguf --dtype int8 --heads heads --self --agreement .9 --out policy.json",
    "calibrate my-model --heads heads --text held.txt --temperature .8 --top-p .95 --out policy.json",
    "calibrate my-model --dtype int8 --against float32 --heads heads --text held.txt --out policy.json",
    "calibrate my-model --heads heads --text held.txt --loss any-change --agreement .5 --out policy.json",
    "calibrate my-model --heads heads --text held.txt --paper --out policy.json",
    "calibrate my-model --heads heads --text held.txt --shard 0/8 --parts parts",
  ],
  run,
};

async function run(settings: CalibrateSettings, io: Io): Promise<void> {
  const { dir, text } = settings;
  if ((text === undefined) === (settings.self === undefined)) {
    throw new UsageError("calibrate: give either --text FILE, which the heads have not seen, or --self");
  }
  const place = openPlace("calibrate", settings);
  if (place !== undefined) requireOneProcess(settings);
  const model = await openModel(io, dir, settings);
  const heads = await readHeads(settings.heads, model);
  const source = text === undefined ? await ownSource(settings, model, io) : await readGroupedDocuments(text, model);
  await warnOfTrainingText(settings.heads, source.hash, io);
  const documents = source.documents.slice(0, settings.documents);
  const reference = await openReference(io, dir, model, settings);
  const options = await optionsFor(heads, settings);
  if (place !== undefined) {
    const recording = { sampling: samplingOf(settings), ...(reference && { against: reference }), signal: io.signal };
    const job = await openCalibrationJob(heads, documents, options, recording);
    await writeCalibrationPart(io, place, job);
    heads.dispose();
    reference?.dispose();
    model.dispose();
    return;
  }
  const calibration = await choose(heads, documents, options, { ...settings, reference }, io);
  const { policy, certificate } = calibration;
  const race = await raceExits(
    heads,
    policy,
    documents.slice(0, TIMED).map((document) => beginningOf(model, document)),
    settings,
    io,
  );
  const worth = worthOf(race);
  const next = calibrationNext(
    {
      ...settings,
      agreement: settings.agreement ?? defaults.agreement,
      chats: model.tokenizer.chatTemplate !== undefined,
      shipped: worth === "faster" ? [] : await shippedLevels(model),
    },
    worth,
  );
  await finishCalibration(io, settings, calibration, model.config.numLayers, {
    ...(race && { timed: race }),
    lines: [
      ...(text === undefined ? [OWN_TEXT_CLAIM] : []),
      calibrationVerdict(certificate, race),
      ...nextLines(...next),
    ],
  });
  heads.dispose();
  reference?.dispose();
  model.dispose();
}

/** Documents that the model writes itself; kept beside the heads, so that another level takes the same. */
async function ownSource(settings: CalibrateSettings, model: Model, io: Io): Promise<GroupedSource> {
  const { heads, self, seed, temperature } = withDefaults(defaults, settings);
  const documents = await ownDocuments(
    model,
    {
      count: (self as number | true) === true ? OWN_DOCUMENTS : self, // commander's value of an option without one
      seed,
      temperature,
      tokens: OWN_TOKENS,
      file: join(heads, temperature === 0 ? "held-answers.jsonl" : `held-answers-${temperature}.jsonl`),
    },
    io,
  );
  return { documents, hash: hashDocuments(documents) };
}

/** The levels at which exits for the model come with the package. */
async function shippedLevels(model: Model): Promise<readonly number[]> {
  const exits = await findShippedExits(model);
  const certificates = exits === undefined ? [] : certificatesFor(exits, model.storedAs);
  return [...new Set(certificates.map(({ agreement }) => agreement))];
}

/** What of the settings decides how records become a policy. */
async function optionsFor(heads: ExitHeads, settings: CalibrateSettings): Promise<JobOptions> {
  const { agreement, delta, loss, costs, seed } = withDefaults(defaults, settings);
  const { fill = exactFill(heads.model.config) } = settings;
  const score = settings.score && { score: settings.score };
  if (settings.paper === true) return { procedure: "paper", agreement, fill, ...score };
  return {
    agreement,
    delta,
    loss: LOSSES[loss],
    ...(settings.unit && { unit: settings.unit }),
    ...(settings.candidates !== undefined && { candidates: settings.candidates }),
    fill,
    seed,
    ...score,
    ...(costs !== "counted" && { costs: await timesOf(heads, costs, fill) }),
  };
}

function timesOf(heads: ExitHeads, costs: string, fill: FillName): Promise<UnitTimes> {
  return costs === "measured" ? measureUnitTimes(heads, { fill }) : readTimes(costs, heads.depths.length);
}

/** Throws a UsageError if something is asked for that several processes cannot share, or that parts do not show. */
function requireOneProcess({ costs, ownText, store, out }: CalibrateSettings): void {
  requireWhole("calibrate", { "--out": out }, "early-exits merge writes the certificate");
  requireWhole("calibrate", { "--store": store }, "parts keep the recordings");
  requireWhole("calibrate", { "--own-text": ownText }, "leave out one of them");
  const measured = costs === "measured" ? costs : undefined;
  requireWhole("calibrate", { "--costs measured": measured }, "measure once, with plan --times, and give --costs FILE");
}

async function choose(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options: JobOptions,
  settings: CalibrateSettings & { readonly reference: Model | undefined },
  io: Io,
): Promise<Certified | PaperCalibration> {
  if ("procedure" in options) return calibratePaper(await recordAll(io, "calibrate", heads, documents), options);
  const { reference } = settings;
  const sampling = canonicalSampling(samplingOf(settings));
  const { store, ownText } = settings;
  const { proposing, prompts } =
    ownText === undefined ? { proposing: documents, prompts: [] } : ownTextParts(heads.model, documents);
  return withProgress(io, "calibrate", (report) =>
    calibrate(heads, proposing, {
      ...options,
      sampling,
      ...(reference && { against: reference }),
      signal: io.signal,
      ...(ownText !== undefined && { ownText: { prompts, maxNewTokens: ownText } }),
      ...(store !== undefined && { store: folderStore(store) }),
      onDocument: ({ document, documents: total }) => report({ done: document, total, text: "documents" }),
      onRun: ({ done, total }) => report({ done, total, text: "policies run on batches of documents" }),
    }),
  );
}

/** Writes what was asked for of a calibration, and prints it. */
export async function finishCalibration(
  io: Io,
  settings: Pick<CalibrateSettings, "json" | "out">,
  calibration: Certified | PaperCalibration,
  numLayers: number,
  { timed, lines = [] }: { readonly timed?: Race; readonly lines?: readonly string[] } = {},
): Promise<void> {
  const { out } = settings;
  if (out !== undefined) await writeFileAtomic(out, calibrationFile(calibration));
  writeResult(io, settings, { ...calibration, ...(timed && { timed }) }, [
    ...calibrationLines(calibration, numLayers),
    ...(out === undefined ? [] : [`policy: ${out}`]),
    ...lines,
  ]);
}

/** The certificate, which holds its policy; or the published procedure's policy with its report. */
function calibrationFile({ policy, certificate }: Certified | PaperCalibration): string {
  if ("guarantee" in certificate) {
    return `{\n"policy": ${JSON.stringify(policy, undefined, 2)},\n"certificate": ${JSON.stringify(certificate)}\n}\n`;
  }
  return `${JSON.stringify(certificate)}\n`;
}

/** Warns if the training.json beside the heads names the same text. */
async function warnOfTrainingText(headsFolder: string, textHash: string, io: Io): Promise<void> {
  const training = await readJson(join(headsFolder, "training.json")).catch(() => undefined);
  const trainedOn =
    typeof training === "object" && training !== null && "textHash" in training ? training.textHash : undefined;
  if (trainedOn !== textHash) return;
  const warning =
    "warning: the heads were trained on this very text; agreement will look better than it is. Calibrate on text " +
    "that they have not seen.";
  note(io, colorsOf(io).yellow(warning));
}
