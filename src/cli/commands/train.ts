/**
 * `early-exits train`: trains exit heads for a frozen model, on text or on text sampled from the model itself. While it
 * runs, OUT/checkpoint holds its state, which an interrupt keeps; at the end OUT holds heads.json, heads.safetensors
 * and training.json.
 */
import { join } from "node:path";
import { attachHeads, type ExitHeads, headKinds, type HeadLoss, libraryVersion, type Model } from "../../index.js";
import { defaultKind, defaultListed, frequentTokens, projectionInputs } from "../../exits/index.js";
import { attachDefaults } from "../../exits/heads/index.js";
import { headLossDefaults, trainDefaults } from "../../exits/train/index.js";
import { weightDtypes } from "../../tensor/index.js";
import { writeFileAtomic, writeHeads } from "../../node/index.js";
import type { CommandDefinition } from "../command.js";
import { readDocuments, type TextSource } from "../documents.js";
import { percent } from "../format.js";
import { type CommonOptions, InterruptedError, type Io, note, UsageError, writeResult } from "../io.js";
import { modelDefaults, type ModelSettings, openModel } from "../open-model.js";
import { exits, integer, modelFolder, modelOptions, number } from "../options.js";
import {
  fitHeadMaps,
  fitKeysAndValues,
  type HeadRecipe,
  type LearningCurve,
  openRun,
  recordAndRead,
  sampleText,
  trainExitGates,
  trainExitHeads,
  type TrainingRun,
} from "../training/index.js";

export type TrainSettings = CommonOptions &
  ModelSettings & { readonly [K in keyof HeadRecipe]?: HeadRecipe[K] | undefined } & {
    readonly dir: string;
    readonly out: string;
    readonly text?: string | undefined;
    /** Folder for recorded hidden states. */
    readonly cache?: string | undefined;
    readonly resume?: boolean | undefined;
  };

const defaults = {
  exits: attachDefaults.exits,
  placement: attachDefaults.placement,
  steps: trainDefaults.steps,
  batch: trainDefaults.batchSize,
  sequence: trainDefaults.sequenceLength,
  lr: trainDefaults.learningRate,
  loss: trainDefaults.loss.kind,
  ...headLossDefaults,
  seed: attachDefaults.seed,
} as const satisfies Partial<HeadRecipe>;

export const trainCommand: CommandDefinition<TrainSettings> = {
  name: "train",
  description: "Train exit heads; the model stays frozen",
  positional: [modelFolder],
  options: [
    { flags: "--out <folder>", description: "where to write the heads", required: true },
    { flags: "--text <file>", description: "training text; no labels are needed" },
    {
      flags: "--self <n>",
      description: "train on this many documents sampled from the model itself instead of text",
      parse: integer(1),
    },
    {
      flags: "--exits <n|list>",
      description: "number of exits, or their depths, as in 2,4,6",
      parse: exits,
      defaultNote: "fewer if the model has fewer blocks",
    },
    {
      flags: "--placement <rule>",
      description: "where a given number of exits is placed: the rule of the paper's first or second version",
      choices: ["v1", "v2"],
    },
    {
      flags: "--kind <kind>",
      description: "kind of head",
      choices: headKinds,
      defaultNote: "linear if the vocabulary is large, else dense",
    },
    {
      flags: "--inner <n>",
      description: "inner size of lowRank and mlp heads, number of tokens of heads with a shortlist",
      parse: integer(1),
      defaultNote: "depends on the kind",
    },
    { flags: "--steps <n>", description: "training steps", parse: integer(1) },
    { flags: "--batch <n>", description: "windows per step", parse: integer(1) },
    {
      flags: "--sequence <n>",
      description: "tokens per window",
      parse: integer(2),
      defaultNote: "fewer if the context is shorter",
    },
    { flags: "--lr <rate>", description: "peak learning rate", parse: number(0, 1) },
    {
      flags: "--loss <loss>",
      description: "kl (the paper's second version) or penalized cross-entropy (its first)",
      choices: ["kl", "penalized"],
    },
    {
      flags: "--temperature <t>",
      description: "kl: above 1 softens both distributions, below 1 stresses the most likely tokens",
      parse: number(0, 1e6),
    },
    { flags: "--top-k <k>", description: "kl: only the model's k most likely tokens; 0 for all", parse: integer(0) },
    { flags: "--weight <w>", description: "penalized: weight of the entropy term", parse: number(0, 1) },
    {
      flags: "--project <input>",
      description:
        "also fit keys and values of skipped blocks (for calibrate --fill project) from the normalised exit state, " +
        "or from both it and the raw state",
      choices: projectionInputs,
    },
    {
      flags: "--gate <steps>",
      description:
        "then train gates for this many steps (for calibrate --score gate): small networks that predict, before a " +
        "head runs, whether it agrees with the model",
      parse: integer(1),
    },
    {
      flags: "--head-dtype <dtype>",
      description: "how the heads' own matrices are stored",
      choices: weightDtypes,
      defaultNote: "as the model's",
    },
    { flags: "--cache <folder>", description: "record hidden states there once, and train from them" },
    { flags: "--resume", description: "continue from OUT/checkpoint, bit for bit" },
    { flags: "--seed <n>", description: "seed of sampling, initial weights and batches", parse: integer(0) },
    ...modelOptions,
  ],
  defaults: { ...modelDefaults, ...defaults },
  examples: [
    "train my-model --text corpus.txt --out heads",
    "train my-model --text corpus.jsonl --exits 2,4 --kind tied --out heads",
    "train my-model --self 64 --out heads",
  ],
  run,
};

async function run(settings: TrainSettings, io: Io): Promise<void> {
  const { dir, out, text, self = 0 } = settings;
  if ((text === undefined) === (self === 0)) {
    throw new UsageError("train: give either --text FILE or --self N, the text to train on");
  }
  const model = await openModel(io, dir, settings);
  const given = text === undefined ? undefined : await readDocuments(text);
  const training = await openRun<HeadRecipe>(io, {
    folder: join(out, "checkpoint"),
    resume: settings.resume === true,
    given: settings,
    dataHash: given?.hash ?? "sampled",
    defaults: recipeFor(model),
  });
  let heads: ExitHeads | undefined;
  try {
    const documents = given?.documents ?? (await sampleText(model, training.options, io));
    heads = await attach(model, documents, training.options);
    note(io, `heads: ${training.options.kind} after blocks ${heads.depths.join(", ")} of ${model.config.numLayers}`);
    if (training.resumedAt > 0) note(io, `resuming after step ${training.resumedAt}`);
    const curve = await trainAll(heads, documents, training, settings.cache, io);
    await writeHeads(out, heads);
    await writeTraining(heads, training, curve, { settings, given }, io);
  } catch (error) {
    if (!io.signal.aborted) throw error;
    const folder = join(out, "checkpoint");
    throw new InterruptedError(`train: interrupted; the state is in ${folder}, continue with --resume`, {
      cause: error,
    });
  } finally {
    heads?.dispose();
    model.dispose();
  }
}

function recipeFor({ config }: Model): HeadRecipe {
  return {
    exits: Math.min(defaults.exits, config.numLayers - 1),
    placement: defaults.placement,
    kind: defaultKind(config),
    inner: 0,
    steps: defaults.steps,
    batch: defaults.batch,
    sequence: Math.min(defaults.sequence, config.maxPositionEmbeddings),
    lr: defaults.lr,
    loss: defaults.loss,
    temperature: defaults.temperature,
    topK: defaults.topK,
    weight: defaults.weight,
    seed: defaults.seed,
    self: 0,
    project: "none",
    gate: 0,
    headDtype: "model",
  };
}

async function attach(
  model: Model,
  documents: readonly (string | readonly number[])[],
  { kind, exits, placement, inner, headDtype, seed }: HeadRecipe,
): Promise<ExitHeads> {
  const listed = defaultListed(model.config, kind);
  return attachHeads(model, {
    exits,
    placement,
    kind,
    seed,
    ...(inner > 0 && { inner }),
    ...(listed !== undefined && {
      shortlist: await frequentTokens(model, documents, inner > 0 ? inner : listed),
    }),
    ...(headDtype !== "model" && { dtype: headDtype }),
  });
}

/** Heads, then gates and learned keys and values if the recipe has them. */
async function trainAll(
  heads: ExitHeads,
  documents: readonly (string | readonly number[])[],
  training: TrainingRun<HeadRecipe>,
  cache: string | undefined,
  io: Io,
): Promise<LearningCurve> {
  const { options } = training;
  const source = cache === undefined ? documents : await recordAndRead(heads, documents, options, cache, io);
  const loss: HeadLoss =
    options.loss === "kl"
      ? { kind: "kl", temperature: options.temperature, topK: options.topK }
      : { kind: "penalized", weight: options.weight };
  if (training.resumedAt === 0) await fitHeadMaps(heads, documents, options, io);
  const curve = await trainExitHeads(heads, source, training, loss, io);
  if (options.gate > 0) await trainExitGates(heads, source, options, io);
  if (options.project !== "none") await fitKeysAndValues(heads, documents, options.project, options, io);
  return curve;
}

/** Writes training.json, removes the checkpoint and prints the result. */
async function writeTraining(
  heads: ExitHeads,
  training: TrainingRun<HeadRecipe>,
  { points, tokensPerSecond }: LearningCurve,
  { settings, given }: { readonly settings: TrainSettings; readonly given: TextSource | undefined },
  io: Io,
): Promise<void> {
  const { out, dir, text } = settings;
  const { options } = training;
  const first = points[0];
  const final = points.at(-1);
  const result = {
    format: "early-exits/head-training",
    version: 1,
    model: dir,
    text: text ?? null,
    textHash: given?.hash ?? null,
    options,
    depths: heads.depths,
    loss: final?.loss ?? null,
    agreement: final?.agreement ?? [],
    tokensPerSecond,
    curve: points,
    device: heads.model.device.backend,
    date: new Date(io.now()).toISOString(),
    libraryVersion,
  };
  await writeFileAtomic(join(out, "training.json"), `${JSON.stringify(result, undefined, 2)}\n`);
  await training.finish();
  const rise = heads.depths.map(
    (depth, i) => `depth ${depth} ${percent(first?.agreement[i])} -> ${percent(final?.agreement[i])}`,
  );
  writeResult(io, settings, { out, ...result }, [
    `${out}: ${heads.depths.length} ${options.kind} heads after blocks ${heads.depths.join(", ")}`,
    `agreement with the full model on training text: ${rise.join(", ")}`,
  ]);
}
