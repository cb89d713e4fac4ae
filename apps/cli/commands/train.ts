/**
 * `early-exits train`: exit heads for a frozen model, on text, on answers to prompts, or on either sampled from the
 * model. OUT/checkpoint survives an interrupt; at the end OUT holds heads.json, heads.safetensors, training.json and,
 * if documents were held out, training-log.jsonl. Long because it declares its options.
 */
import { join } from "node:path";
import { attachHeads, type ExitHeads, libraryVersion, type Model } from "early-exits";
import { type ExitQuality, frequentTokens, projectionInputs } from "early-exits/exits";
import type { Document } from "early-exits/model";
import { fileExists, readDocuments, readPrompts, writeHeads } from "early-exits/node";
import { type CommandDefinition, given, type OptionDefinition, type SettingsOf } from "../command.js";
import { hashDocuments } from "../documents.js";
import { percent } from "../format.js";
import { InterruptedError, type Io, note, refuseIf, writeResult } from "../io.js";
import { commandLine, nextLines } from "../next-lines.js";
import { trainingVerdict } from "../calibration-lines.js";
import { modelDefaults, openModel, trainingThreads } from "../open-model.js";
import {
  depths,
  integer,
  modelFolder,
  modelOptions,
  number,
  outOption,
  promptsOption,
  seedOption,
  selfOption,
  textOption,
} from "../options.js";
import { ownFile, ownSeed, writePrompts } from "../own-text.js";
import { holdOut, openSources, sampleAnswers } from "../training/head-data.js";
import {
  depthsOf,
  fitHeads,
  fitKeysAndValues,
  type HeadRecipe,
  type HeadTraining,
  type LearningCurve,
  measureHeld,
  qualityLines,
  recipeDefaults,
  recipeFor,
  sampleText,
  trainExitHeads,
} from "../training/train-heads.js";
import { openRun } from "../training/training-run.js";

/** Documents of the model's own, and steps on them: minutes, for a model of 135 M weights. */
const OWN_DOCUMENTS = 400;
const OWN_STEPS = 100;

const options = [
  { ...outOption, description: "where to write the heads", required: true },
  {
    ...textOption,
    description:
      "training text, without labels: lines of a .jsonl file, text cut at blank lines, or a folder of both. Of " +
      "prompts and answers, answers count",
  },
  {
    ...selfOption,
    description:
      "train on this many documents of the model's own: answers to --prompts, or to prompts that a chat model " +
      "writes itself, or texts from nothing",
    defaultNote: "with --prompts, one for each",
  },
  { ...promptsOption, description: "prompts to sample answers to: text, token ids or messages" },
  { flags: "--self-tokens <n>", description: "largest number of tokens of a sampled answer", parse: integer(1) },
  {
    flags: "--exits <n>",
    description: "number of exits, placed by a rule; with --preview 0 is enough",
    parse: integer(0),
    defaultNote: "fewer if the model has fewer blocks, one late exit if the vocabulary is large",
  },
  { flags: "--depths <list>", description: "depths of the exits, as in 12,21, in place of --exits", parse: depths },
  {
    flags: "--kind <kind>",
    description: "kind of head",
    choices: ["dense", "linear"],
    defaultNote: "linear if the vocabulary is large, else dense",
  },
  {
    flags: "--head-preview <rank>",
    description: "linear heads rank all tokens by a preview of this rank, and compute few logits exactly; 0 for none",
    parse: integer(0),
    defaultNote: "a sixth of the hidden size if the vocabulary is large, else none",
  },
  {
    flags: "--preview <rank>",
    description:
      "one more exit, after the last block: a preview of the model's unembedding of this rank, fitted to its " +
      "states; 0 for none",
    parse: integer(0),
    defaultNote: "a third of the hidden size if the vocabulary is large, 4/5 beyond 128,000 tokens, else none",
  },
  {
    flags: "--preview-list <n>",
    description: "tokens that previews rank and can emit, the most frequent ones; 0 for the vocabulary",
    parse: integer(0),
  },
  {
    flags: "--candidates <n>",
    description: "tokens whose logits a preview computes exactly",
    parse: integer(2),
    defaultNote: "depends on the vocabulary",
  },
  { flags: "--steps <n>", description: "training steps", parse: integer(1) },
  { flags: "--batch <n>", description: "windows per step", parse: integer(1) },
  {
    flags: "--sequence <n>",
    description: "tokens per window",
    parse: integer(2),
    defaultNote: "fewer if the context is shorter",
  },
  {
    flags: "--list <n>",
    description: "tokens that the loss compares, the most frequent ones, all others as one; 0 for the vocabulary",
    parse: integer(0),
    defaultNote: "8192 for a large vocabulary, else 0",
  },
  {
    flags: "--held-share <share>",
    description: "share of the documents, if there are 20, that is held out to measure on",
    parse: number(1),
  },
  { flags: "--measure-every <n>", description: "steps between two measurements", parse: integer(1) },
  { flags: "--lr <rate>", description: "peak learning rate", parse: number(1) },
  {
    flags: "--project <input>",
    description:
      "also fit keys and values of skipped blocks (for calibrate --fill project) from the normalised exit state, " +
      "or from both it and the raw state",
    choices: projectionInputs,
  },
  {
    flags: "--cache <folder>",
    description: "record hidden states there once, and train from them",
    defaultNote: "OUT/checkpoint while it trains on prompts of the model's own",
  },
  {
    flags: "--cache-limit <mb>",
    description: "most megabytes of states there; the others are recorded again when they are needed",
    parse: number(1e9),
  },
  { flags: "--force", description: "overwrite finished heads in OUT" },
  { flags: "--resume", description: "continue from OUT/checkpoint, bit for bit" },
  { ...seedOption, description: "seed of sampling, initial weights and batches" },
  ...modelOptions,
] as const satisfies readonly OptionDefinition[];

type TrainSettings = SettingsOf<typeof options, "dir">;

export const trainCommand: CommandDefinition<TrainSettings> = {
  name: "train",
  description: "Train exit heads; the model stays frozen",
  positional: [modelFolder],
  options,
  defaults: { ...modelDefaults, ...recipeDefaults, self: OWN_DOCUMENTS },
  examples: [
    "train my-model --text corpus.txt --out heads",
    "train chat-model.gguf --self --dtype int8 --out heads",
    "train my-model --text answers.jsonl --depths 12,21 --kind linear --cache states --out heads",
    "train my-model --text answers.jsonl --exits 0 --preview 96 --out previewed",
    "train my-model --self --prompts prompts.jsonl --cache states --out heads",
  ],
  run,
};

async function run(settings: TrainSettings, io: Io): Promise<void> {
  const { dir, out, text, prompts } = settings;
  const sampled = settings.self !== undefined;
  refuseIf((text === undefined) !== sampled, "train: give either --text PATH or --self, the text to train on");
  refuseIf(prompts !== undefined && !sampled, "train: --prompts are answered with --self");
  refuseIf(
    settings.exits !== undefined && settings.depths !== undefined,
    "train: give either --exits, a number, or --depths, a list",
  );
  refuseIf(
    settings.exits === 0 && (settings.preview ?? 0) === 0,
    "train: --exits 0 leaves nothing to make; give a number from 1, or --preview too",
  );
  const model = await openModel(io, dir, { ...settings, threads: settings.threads ?? trainingThreads() });
  refuseIf(
    (settings.kind ?? recipeFor(model).kind) === "dense" && (settings.list ?? 0) + (settings.headPreview ?? 0) > 0,
    "train: --list and --head-preview are for linear heads; add --kind linear, or leave them out",
  );
  const asked = prompts === undefined ? [] : await readPrompts(prompts, model);
  const ownPrompts = sampled && prompts === undefined && model.tokenizer.chatTemplate !== undefined;
  const given = text === undefined ? undefined : await readDocuments(text, model);
  const dataHash = hashDocuments(given ?? asked);
  const training = await openRun<HeadRecipe>(io, {
    folder: join(out, "checkpoint"),
    resume: settings.resume === true,
    force: settings.force === true,
    finished: join(out, "heads.json"),
    given: {
      ...chosenBy(settings, asked.length, ownPrompts),
      storage: model.storedAs,
      cached: settings.cache !== undefined,
    },
    dataHash,
    defaults: recipeFor(model),
  });
  try {
    const { options } = training;
    const cache = settings.cache ?? (ownPrompts ? join(out, "checkpoint", "states") : undefined);
    const { self: count, selfTemperature, selfTokens } = options;
    const seed = ownSeed(options.seed, "training");
    const written = async () => ({ count, seed, file: await ownFile(out, "prompts", model, [seed]) });
    const toAnswer = ownPrompts ? await writePrompts(model, await written(), io) : asked;
    const states = toAnswer.length > 0 && cache !== undefined ? join(cache, "answers") : undefined;
    const documents =
      given ??
      (toAnswer.length === 0
        ? await sampleText(model, options, io)
        : await sampleAnswers(
            model,
            toAnswer,
            { ...options, self: ownPrompts ? toAnswer.length : options.self },
            {
              file: await ownFile(out, "answers", model, [options.seed, selfTemperature, selfTokens, dataHash]),
              states: states === undefined ? undefined : { folder: states, depths: depthsOf(model, options) },
            },
            io,
          ));
    const data = holdOut(documents, options);
    const heads = await attach(model, data.train, options);
    note(io, `heads: ${describe(heads, options)} of ${model.config.numLayers}`);
    if (training.resumedAt > 0) note(io, `resuming after step ${training.resumedAt}`);
    const { cacheLimit } = settings;
    const sources = await openSources(heads, data, options, { cache, cacheLimit, folder: states }, io);
    const list = options.list === 0 ? undefined : await longList(model, data.train, options.list);
    const job: HeadTraining = { run: training, sources, list, log: join(out, "training-log.jsonl") };
    if (training.resumedAt === 0) await fitHeads("maps", heads, sources.train, options, io);
    const before = training.resumedAt === 0 ? await measureHeld(heads, sources.held, io) : [];
    const curve = await trainExitHeads(heads, job, io);
    await fitHeads("previews", heads, sources.train, options, io);
    const after = await measureHeld(heads, sources.held, io);
    await fitKeysAndValues(heads, data.train, options, io);
    await writeTraining(heads, job, { curve, before, after }, { settings, documents }, io);
  } catch (error) {
    if (!io.signal.aborted) throw error;
    const folder = join(out, "checkpoint");
    const saved = await fileExists(join(folder, "state.safetensors"));
    throw new InterruptedError(
      saved
        ? `train: interrupted; the state is in ${folder}, continue with --resume`
        : "train: interrupted before the first step; the same command begins again, after the answers that are there",
      { cause: error },
    );
  } finally {
    await model.device.dispose();
  }
}

/**
 * The user's choice, and what follows: the number of documents, what suits prompts of the model's own, no depths beside
 * a number of exits. A resumed run has stored the rest.
 */
function chosenBy(settings: TrainSettings, prompts: number, ownPrompts: boolean): object {
  const { self, ...others } = settings;
  const chosen = given(others);
  const open = self === true;
  const count = open ? (prompts > 0 ? prompts : OWN_DOCUMENTS) : self;
  if (settings.resume === true) return { ...chosen, self: open ? undefined : self };
  return {
    ...(ownPrompts && { steps: OWN_STEPS, selfTemperature: 0 }),
    ...(settings.exits !== undefined && { depths: [] }),
    ...chosen,
    self: count,
  };
}

async function attach(model: Model, documents: readonly Document[], recipe: HeadRecipe): Promise<ExitHeads> {
  const { kind, exits, depths: chosen, headPreview, preview, previewList, candidates } = recipe;
  const tokens = previewList > 0 ? await longList(model, documents, previewList) : undefined;
  const size = { ...(candidates > 0 && { candidates }), ...(tokens && { tokens }) };
  const ranked = kind === "linear" && headPreview > 0;
  return attachHeads(model, {
    exits: chosen.length > 0 ? chosen : exits,
    kind,
    ...(ranked && { preview: { rank: headPreview, ...size } }),
    ...(preview > 0 && { unembeddingPreview: { rank: preview, ...size } }),
  });
}

function describe({ depths }: ExitHeads, { kind, preview }: HeadRecipe): string {
  const heads = preview > 0 ? depths.slice(0, -1) : depths;
  const parts = [
    ...(heads.length > 0 ? [`${kind} at depth ${heads.join(", ")}`] : []),
    ...(preview > 0 ? [`a preview of the unembedding after block ${depths.at(-1)}`] : []),
  ];
  return parts.join("; ");
}

function longList(model: Model, documents: readonly Document[], n: number): Promise<number[]> {
  const most = Math.min(n, model.config.vocabSize - 1);
  return frequentTokens(model, documents, most, { countText: true, positions: 4096 });
}

interface Outcome {
  readonly curve: LearningCurve;
  /** Quality before and after the steps; empty without held-out documents. */
  readonly before: readonly ExitQuality[];
  readonly after: readonly ExitQuality[];
}

/** Writes heads and training.json together, then removes the checkpoint. */
async function writeTraining(
  heads: ExitHeads,
  { run: training }: HeadTraining,
  { curve, before, after }: Outcome,
  { settings, documents }: { readonly settings: TrainSettings; readonly documents: readonly Document[] },
  io: Io,
): Promise<void> {
  const { out, dir, text, dtype } = settings;
  const { options } = training;
  const { points, tokensPerSecond } = curve;
  const first = points[0];
  const final = points.at(-1);
  const result = {
    format: "early-exits/head-training",
    version: 1,
    model: dir,
    text: text ?? null,
    textHash: text === undefined ? null : hashDocuments(documents),
    options,
    depths: heads.depths,
    loss: final?.loss ?? null,
    agreement: final?.agreement ?? [],
    held: { before, after },
    tokensPerSecond,
    curve: points,
    device: heads.model.device.backend,
    date: new Date(io.now()).toISOString(),
    libraryVersion,
  };
  await writeHeads(out, heads, { files: { "training.json": `${JSON.stringify(result, undefined, 2)}\n` } });
  await training.finish();
  const risen = (from: readonly (number | undefined)[], to: readonly (number | undefined)[]) =>
    heads.depths
      .slice(0, to.length)
      .map((depth, i) => `depth ${depth} ${percent(from[i])} -> ${percent(to[i])}`)
      .join(", ");
  const held = settings.self === undefined ? { text: "held-out.txt" } : { self: true };
  const shares = (exits: readonly ExitQuality[]) => exits.map(({ agreement }) => agreement);
  writeResult(io, settings, { out, ...result }, [
    `${out}: ${describe(heads, options)}`,
    ...(final === undefined
      ? []
      : [`agreement with the full model on training text: ${risen(first!.agreement, final.agreement)}`]),
    ...(after.length === 0
      ? []
      : [`agreement with the full model on held-out documents: ${risen(shares(before), shares(after))}`]),
    ...qualityLines(after),
    ...trainingVerdict(after),
    ...nextLines(commandLine("calibrate", [dir], { heads: out, ...held, agreement: ".9", dtype, out: "policy.json" })),
  ]);
}
