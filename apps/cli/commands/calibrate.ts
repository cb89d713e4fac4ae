/**
 * `early-exits calibrate`: thresholds for the heads from held-out text, certified unless the paper's procedure is asked
 * for. Writes the certificate, whose policy `generate --policy` runs. Long because it declares its options.
 */
import { dirname, join } from "node:path";
import {
  calibrate,
  type Certified,
  type EarlyExitError,
  exactFill,
  type ExitHeads,
  type FillName,
  fillNames,
  measureUnitTimes,
  type Model,
  scoreNames,
} from "early-exits";
import {
  calibratePaper,
  type CalibrationDocument,
  type CertifyPolicyOptions,
  type PaperCalibration,
  type PaperCalibrationOptions,
  proposeThresholds,
  recordDocuments,
  type RecordDocumentsOptions,
  runPolicies,
} from "early-exits/calibrate";
import { type CacheStore, isExactFill } from "early-exits/exits";
import { readPrompt } from "early-exits/model";
import { fileExists, libraryDefaults, readHeads, readJson, writeFileAtomic } from "early-exits/node";
import { errorFreeUnits } from "early-exits/risk";
import { isOfAnswers, lossName, openLoss, readTasks, tokenLosses } from "../answers.js";
import {
  calibrationLines,
  calibrationNext,
  calibrationVerdict,
  leaves,
  type Worth,
  worthOf,
} from "../calibration-lines.js";
import { type CommandDefinition, given, type OptionDefinition, type SettingsOf, withDefaults } from "../command.js";
import { beginningOf, groupOf, hashDocuments, ownTextParts, readGrouped, recordAll } from "../documents.js";
import { type Io, note, refuseIf, UsageError, writeResult } from "../io.js";
import { nextLines } from "../next-lines.js";
import { modelDefaults, openModel, openReference, trainingThreads } from "../open-model.js";
import {
  agreementOption,
  documentsOption,
  fillOption,
  headsOption,
  heldOutTextOption,
  integer,
  maxNewTokensOption,
  modelFolder,
  modelOptions,
  number,
  outFileOption,
  promptsOption,
  samplingFlags,
  samplingOf,
  samplingOptionDefaults,
  samplingOptions,
  seedOption,
  selfOption,
} from "../options.js";
import { ownDocuments } from "../own-text.js";
import { withProgress } from "../progress.js";
import { raceExits } from "../race-exits.js";
import { inShare, nameOf, openShard, type Shard, shardOptions, shareOf, storeOf } from "../shards.js";
import { findShippedExits, shippedInstead } from "../shipped.js";
import { readTimes } from "../times-file.js";
import { memoryStore } from "../training/head-data.js";

/** Settings that decide how records become a policy. */
type CalibrationChoice = (CertifyPolicyOptions | (PaperCalibrationOptions & { readonly procedure: "paper" })) & {
  readonly fill: FillName;
};

/** Documents of the model's own, for strict claims times those that must be free of errors; tokens of each at most. */
const OWN_DOCUMENTS = 200;
const TIMES_FEWEST = 4;
const OWN_TOKENS = 144;

const OWN_TEXT_CLAIM =
  "the documents are the model's own; the claim is about such text. For yours, calibrate with --text FILE";

const defaults = {
  ...modelDefaults,
  agreement: libraryDefaults.certify.agreement,
  delta: libraryDefaults.certify.delta,
  loss: libraryDefaults.certify.loss,
  against: "same",
  ...samplingOptionDefaults,
  costs: "counted",
  self: OWN_DOCUMENTS,
  seed: libraryDefaults.certify.seed,
} as const;

const options = [
  { ...headsOption, defaultNote: "those that come with the package for this model" },
  heldOutTextOption,
  {
    ...selfOption,
    description:
      "in place of --text: so many documents that the model writes; a chat model answers prompts that it writes",
    defaultNote: "more for strict claims, such as 1196 at .99",
  },
  {
    ...agreementOption,
    flags: "--agreement <shares>",
    description: `${agreementOption.description}; several, .99,.95, divide delta, and each has a file of its own`,
    parse: (text: string) => text.split(",").map(agreementOption.parse),
  },
  {
    flags: "--choices <n>",
    description: "number of certificates made together, with other seeds or fills, to use the best; they divide delta",
    parse: integer(1),
  },
  {
    flags: "--delta <share>",
    description: "probability that the certificate is wrong",
    parse: number(1, { open: true }),
  },
  {
    flags: "--loss <loss>",
    description:
      "loss of a document: token, the share of its tokens that change; any-change, 1 if any changes; with " +
      "--prompts, loss of an answer: changed, rougeL, accuracy, worse, or a module, ./my-loss.mjs",
    parse: lossName,
  },
  { ...promptsOption, description: "in place of --text: prompts to be answered, as JSON lines with what is expected" },
  {
    flags: "--epsilon <share>",
    description: "with --prompts, in place of --agreement: the largest mean loss, .03 for 3 points of accuracy",
    parse: number(1, { open: true }),
  },
  { ...maxNewTokensOption, description: "with --prompts: largest number of tokens of an answer" },
  { flags: "--stop <text...>", description: "with --prompts: ends an answer before this text" },
  {
    flags: "--unit <unit>",
    description: "unit that is taken as independent",
    choices: ["document", "group"],
    defaultNote: "group if documents have groups, otherwise document",
  },
  { flags: "--population <text>", description: "description of these documents, which the promise repeats" },
  { flags: "--paper", description: "calibrate by the published rule, which promises nothing" },
  {
    flags: "--score <score>",
    description: "confidence score",
    choices: scoreNames,
    defaultNote: `the one with the lowest expected cost, or ${libraryDefaults.paper.score} with --paper`,
  },
  {
    ...fillOption,
    choices: fillNames,
    defaultNote: "shared if blocks share keys and values, otherwise lazy: the full model's output",
  },
  {
    flags: "--against <model>",
    description: "reference whose tokens count as right: the same model as it is stored, or the checkpoint as float32",
    choices: ["same", "float32"],
  },
  ...samplingOptions,
  {
    flags: "--own-text <tokens>",
    description:
      "certify on so many tokens that policies write themselves after the beginnings of the second half of the text",
    parse: integer(1),
  },
  {
    flags: "--candidates <n>",
    description:
      "largest number of policies to test; 0, with --against float32, certifies the stored model without exits",
    parse: integer(0),
    defaultNote: "20, or 12 with a fill that changes other tokens",
  },
  {
    flags: "--costs <how>",
    description:
      "ranking of the policies that keep the agreement: counted (multiply-adds), measured (times on this machine), " +
      "or the file of times that plan --times wrote",
  },
  documentsOption,
  {
    ...seedOption,
    description: "splits the documents into those that propose candidates and those that test them",
  },
  { ...outFileOption, description: "write the certificate with its policy to this file, for generate --policy" },
  ...shardOptions,
  ...modelOptions,
] as const satisfies readonly OptionDefinition[];

type CalibrateSettings = SettingsOf<typeof options, "dir">;

export const calibrateCommand: CommandDefinition<CalibrateSettings> = {
  name: "calibrate",
  description: "Choose thresholds on held-out text, certified to keep an agreement with the full model",
  positional: [modelFolder],
  options,
  defaults,
  examples: [
    "calibrate my-model --heads heads --text held.txt --agreement .95 --out policy.json",
    "calibrate chat-model.gguf --dtype int8 --heads heads --self --agreement .9 --out policy.json",
    "calibrate sotu-12 --text held.txt --agreement .9 --out policy.json",
    "calibrate my-model --heads heads --text held.txt --temperature .8 --top-p .95 --out policy.json",
    "calibrate my-model --dtype int8 --against float32 --heads heads --text held.txt --out policy.json",
    "calibrate my-model --heads heads --text held.txt --loss any-change --agreement .5 --out policy.json",
    "calibrate chat-model --heads heads --prompts tasks.jsonl --loss accuracy --epsilon .03 --out policy.json",
    "calibrate my-model --heads heads --text held.txt --paper --out policy.json",
    "calibrate my-model --heads heads --text held.txt --store records --shard 0/8",
  ],
  run,
};

async function run(settings: CalibrateSettings, io: Io): Promise<void> {
  const { text, self, prompts, loss, epsilon } = settings;
  refuseIf(
    [text, self, prompts].filter((one) => one !== undefined).length !== 1,
    "calibrate: give either --text FILE, which the heads have not seen, or --self, or --prompts FILE",
  );
  if (prompts !== undefined) return runOnPrompts({ ...settings, prompts }, io);
  refuseIf(
    isOfAnswers(loss ?? defaults.loss) || epsilon !== undefined,
    "calibrate: --epsilon, and every --loss but token and anyChange, is about answers; give --prompts FILE",
  );
  const shard = openShare(settings);
  const { model, heads, folder } = await openHeads(settings, io);
  const levels = [...new Set(settings.agreement ?? [defaults.agreement])];
  const read = await (text === undefined ? ownAnswers(settings, levels, model, io) : readGrouped(text, model));
  const documents = read.slice(0, settings.documents);
  refuseIf(
    settings.unit === "group" && !documents.some(groupOf),
    "calibrate: --unit group needs documents with groups: a folder, whose files are groups, or JSON lines with a " +
      '"group"',
  );
  const reference = await openReference(io, settings.dir, model, settings);
  refuseIf(
    levels.length > 1 && (shard !== undefined || settings.choices !== undefined),
    "calibrate: several levels do not go with --shard or --choices; give one",
  );
  const options = await optionsFor(heads, settings, levels);
  const store = levels.length === 1 ? {} : { store: memoryStore() }; // the documents are read once
  const judged = { sampling: samplingOf(settings), ...given({ against: reference }), ...store, ...storeOf(settings) };
  if (shard !== undefined) await workOnShare(heads, documents, options, { ...judged, shard }, io);
  else {
    const seeds = await seedsBefore(settings, heads, documents);
    for (const agreement of levels) {
      const out =
        levels.length === 1
          ? settings.out
          : settings.out?.replace(/(\.json)?$/, `-${Number((100 * agreement).toPrecision(12))}.json`);
      const calibration = await choose(heads, documents, { ...options, agreement }, { ...settings, judged }, io);
      await finishCalibration(io, { ...settings, out }, heads, calibration, {
        texts: documents.slice(0, 8).map((document) => beginningOf(model, document)), // that many are timed
        lines: [...(text === undefined ? [OWN_TEXT_CLAIM] : []), ...seedLines(seeds, calibration)],
        async next(worth) {
          const call = { dir: settings.dir, agreement, chats: model.tokenizer.chatTemplate !== undefined };
          const few =
            "notes" in calibration &&
            calibration.notes.fewestDocuments > documents.length &&
            calibration.certificate.furtherUnits !== null;
          const instead =
            worth === "faster" ? [] : await shippedInstead(model, { ...call, ...samplingFlags(settings) });
          return calibrationNext({ ...settings, ...call, given: settings, heads: folder, out, few, instead }, worth);
        },
      });
    }
  }
  await model.device.dispose();
}

/** undefined without --shard. Throws a UsageError for what several processes cannot share. */
function openShare(settings: CalibrateSettings): Shard | undefined {
  const shard = openShard("calibrate", settings);
  if (shard === undefined) return undefined;
  refuseIf(
    (settings.self ?? settings.ownText) !== undefined,
    "calibrate: --self or --own-text does not go with --shard; leave out one of them",
  );
  refuseIf(
    settings.costs === "measured",
    "calibrate: no two measurements are equal, so shards cannot measure costs; measure once, with plan --times, and " +
      "give --costs FILE",
  );
  return shard;
}

/**
 * The model with the heads of a folder: unless one is given, those that come with the package for it. Many threads make
 * work shorter, but not measurements, nor shards that run side by side.
 */
async function openHeads(
  settings: CalibrateSettings,
  io: Io,
  most = settings.costs === "measured" || settings.shard ? defaults.threads : trainingThreads(),
) {
  const { dir, threads = most } = settings;
  const model = await openModel(io, dir, { ...settings, threads });
  const folder = settings.heads ?? (await findShippedExits(model))?.heads;
  if (folder !== undefined) return { model, folder, heads: await readHeads(folder, model) };
  throw new UsageError(`calibrate: no heads come with the package for ${dir}; give those that train wrote as --heads`);
}

/** Certifies answers to prompts. */
async function runOnPrompts(settings: CalibrateSettings & { readonly prompts: string }, io: Io): Promise<void> {
  const { loss } = withDefaults(defaults, settings);
  const { epsilon, maxNewTokens, stop, agreement, ownText, paper } = settings;
  if (!isOfAnswers(loss) || epsilon === undefined) {
    throw new UsageError(
      "calibrate: --prompts needs a loss of answers and how much may be lost, such as --loss accuracy --epsilon .03",
    );
  }
  refuseIf(
    (agreement ?? ownText ?? paper) !== undefined,
    "calibrate: --agreement, --own-text and --paper do not go with --prompts",
  );
  const shard = openShare(settings);
  const lost = await openLoss(loss);
  const tasks = (await readTasks(settings.prompts)).slice(0, settings.documents);
  const { model, heads } = await openHeads(settings, io);
  const options = await optionsFor(heads, settings, []);
  const certified = await withProgress(io, "calibrate", (report) =>
    calibrate(heads, tasks, {
      ...given({ ...options, agreement: undefined }),
      ...{ ...lost, epsilon, sampling: samplingOf(settings), signal: io.signal },
      answers: given({ maxNewTokens, stop }),
      ...storeOf(settings),
      ...(shard && { share: (prompt: number) => inShare(prompt, shard) }),
      onAnswer: ({ candidate, done, total }) => {
        const whose = candidate < 0 ? "the full model" : `candidate ${candidate + 1}`;
        return report({ done, total, text: `answers of ${whose}` });
      },
    }),
  ).catch((error: unknown) => {
    if (shard === undefined || (error as EarlyExitError).code !== "answers-missing") throw error;
  });
  if (shard !== undefined) {
    const next = "once all have ended, run them again, for the next candidate, and at last without --shard";
    note(io, `${nameOf(shard)}: its answers are in the store; ${next}`);
  } else if (certified) {
    const texts = await Promise.all(tasks.map(({ prompt }) => readPrompt(model, prompt)));
    const lines = seedLines(await seedsBefore(settings, heads, texts), certified);
    await finishCalibration(io, settings, heads, certified, { texts, lines });
  }
  await model.device.dispose();
}

/**
 * Documents of the model's own; kept beside the heads, or beside the policy if the heads are the package's, so that
 * another level takes the same.
 */
function ownAnswers(
  settings: CalibrateSettings,
  levels: readonly number[],
  model: Model,
  io: Io,
): Promise<CalibrationDocument[]> {
  const { heads: folder = dirname(settings.out ?? ""), self, seed, ...others } = withDefaults(defaults, settings);
  const { temperature, delta } = others;
  const fewest = errorFreeUnits(1 - Math.max(...levels), delta / levels.length);
  return ownDocuments(
    model,
    {
      count: self === true ? Math.max(OWN_DOCUMENTS, TIMES_FEWEST * fewest) : self,
      seed,
      temperature,
      tokens: OWN_TOKENS,
      folder,
    },
    io,
  );
}

async function optionsFor(
  heads: ExitHeads,
  settings: CalibrateSettings,
  [agreement = defaults.agreement, ...others]: readonly number[],
): Promise<CalibrationChoice> {
  const { delta, loss, costs, seed } = withDefaults(defaults, settings);
  const { fill = exactFill(heads.model.config), score, unit, population, candidates } = settings;
  const { choices = 1 + others.length } = settings;
  if (settings.paper === true) return { procedure: "paper", agreement, fill, ...given({ score }) };
  return {
    agreement,
    delta,
    choices,
    loss: tokenLosses[loss as keyof typeof tokenLosses],
    ...given({ unit, population, candidates, score }),
    fill,
    seed,
    ...(costs !== "counted" && {
      costs: await (costs === "measured" ? measureUnitTimes(heads, { fill }) : readTimes(costs, heads.depths.length)),
    }),
  };
}

/**
 * The other seeds that split these documents for these heads before. Notes this one beside the heads, if it can, or
 * beside the policy if the heads are the package's.
 */
async function seedsBefore(
  { heads: folder, out, ...settings }: CalibrateSettings,
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
): Promise<number[]> {
  const { seed } = withDefaults(defaults, settings);
  const beside = folder ?? (out && dirname(out));
  if (beside === undefined) return [];
  const file = join(beside, "calibrated.json");
  const hash = `${await heads.hash()} ${hashDocuments(documents)}`;
  const known = (await fileExists(file)) ? ((await readJson(file)) as Record<string, number[]>) : {};
  const seeds = known[hash] ?? [];
  const noted = JSON.stringify({ ...known, [hash]: [...new Set([...seeds, seed])] });
  await writeFileAtomic(file, `${noted}\n`).catch(() => undefined);
  return seeds.filter((one) => one !== seed);
}

function seedLines(seeds: readonly number[], { certificate }: Certified | PaperCalibration): string[] {
  if (seeds.length === 0 || "guarantee" in certificate || (certificate.settings.choices ?? 1) > seeds.length) return [];
  return [
    `Warning: these documents were split with seed ${seeds.join(", ")} before; to use the better of several ` +
      `certificates breaks the promise more often than it says: make each with --choices ${seeds.length + 1}`,
  ];
}

type Judged = Pick<RecordDocumentsOptions, "sampling" | "against" | "store">;

/**
 * Stores what calibration needs of this share of the documents: records and, for a fill that changes other tokens, runs
 * of the candidates, which all records together propose.
 */
async function workOnShare(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options: CalibrationChoice,
  { shard, ...judged }: Judged & { readonly shard: Shard },
  io: Io,
): Promise<void> {
  const own = shareOf(documents, shard);
  const name = nameOf(shard);
  if (own.length > 0) await recordAll(io, "calibrate", heads, own, judged);
  note(io, `${name}: all of its documents are recorded`);
  if ("procedure" in options || isExactFill(options.fill) || own.length === 0) return;
  const { signal } = io;
  const store = filledStore(judged.store!);
  const records = await recordDocuments(heads, documents, { ...judged, store, signal }).catch((error: unknown) => {
    if (error instanceof UnfilledError) return undefined;
    throw error;
  });
  if (records === undefined) {
    note(io, "other shards still record; once they are done, run the same command again, for the candidates");
    return;
  }
  const candidates = await proposeThresholds(records, options);
  if (candidates.thresholds.length > 0) {
    await withProgress(io, "calibrate", (report) =>
      runPolicies(heads, own, candidates, {
        ...judged,
        signal,
        onRun: ({ done, total }) => report({ done, total, text: "policies run on batches of documents" }),
      }),
    );
  }
  note(io, `${name}: all candidates have run on its documents`);
}

class UnfilledError extends Error {}

/** Throws an `UnfilledError` where the store lacks something. */
function filledStore(store: CacheStore): CacheStore {
  return {
    ...store,
    async read(name) {
      const bytes = await store.read(name);
      if (bytes === undefined) throw new UnfilledError(name);
      return bytes;
    },
  };
}

async function choose(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options: CalibrationChoice,
  { judged, self, ownText }: CalibrateSettings & { readonly judged: Judged },
  io: Io,
): Promise<Certified | PaperCalibration> {
  if ("procedure" in options) {
    return calibratePaper(await recordAll(io, "calibrate", heads, documents, given({ store: judged.store })), options);
  }
  const { proposing, prompts } =
    ownText === undefined ? { proposing: documents, prompts: [] } : ownTextParts(heads.model, documents);
  const { notes, ...certified } = await withProgress(io, "calibrate", (report) =>
    calibrate(heads, proposing, {
      ...options,
      ...judged,
      signal: io.signal,
      ...(ownText !== undefined && { ownText: { prompts, maxNewTokens: ownText } }),
      onDocument: ({ document, documents: total }) => report({ done: document, total, text: "documents" }),
      onRun: ({ done, total }) => report({ done, total, text: "policies run on batches of documents" }),
    }),
  );
  // Texts of the model's own are independent draws.
  return { ...certified, notes: self === undefined ? notes : { ...notes, dependence: null } };
}

interface Finish {
  /** On which the policy is timed. */
  readonly texts: readonly (readonly number[])[];
  /** Before the verdict. */
  readonly lines: readonly string[];
  /** Steps after the verdict. @default none */
  readonly next?: (worth: Worth) => Promise<readonly string[]>;
}

/** Writes the certificate, so that it is kept whatever happens then, times the policy, and says what both are worth. */
async function finishCalibration(
  io: Io,
  settings: CalibrateSettings,
  heads: ExitHeads,
  calibration: Certified | PaperCalibration,
  { texts, lines, next }: Finish,
): Promise<void> {
  const { out } = settings;
  const { policy, certificate } = calibration;
  if (out !== undefined) {
    const file =
      "guarantee" in certificate
        ? `{\n"policy": ${JSON.stringify(policy, undefined, 2)},\n"certificate": ${JSON.stringify(certificate)}\n}\n`
        : `${JSON.stringify(certificate)}\n`;
    await writeFileAtomic(out, file);
  }
  const exits = leaves(policy);
  const asked = settings.threads ?? defaults.threads;
  const timed = exits && asked !== heads.model.device.info.threads ? await openHeads(settings, io, asked) : { heads };
  const race = exits ? await raceExits(timed.heads, policy, texts, settings, io) : undefined;
  if ("model" in timed) await timed.model.device.dispose();
  const steps = (await next?.(worthOf(race))) ?? [];
  writeResult(io, settings, { ...calibration, ...(race && { timed: race }) }, [
    ...calibrationLines(calibration, heads.model.config.numLayers),
    ...(out === undefined ? [] : [`policy: ${out}`]),
    ...lines,
    calibrationVerdict(certificate, race),
    ...nextLines(...steps),
  ]);
}
