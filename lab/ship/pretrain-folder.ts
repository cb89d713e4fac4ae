/**
 * A small llama-style model from scratch, from text to a Hugging Face folder: the whole recipe of lab/pretrain.ts,
 * which feeds it the corpus of the embedded model, or a text file. Writes to OUT model.safetensors (bfloat16),
 * config.json, tokenizer.json, tokenizer_config.json, training.json (data, options, losses) and training-log.jsonl;
 * while it runs, OUT/checkpoint, from which --resume continues bit for bit.
 */
import { join } from "node:path";
import {
  createModel,
  EarlyExitError,
  libraryVersion,
  loadModel,
  type Model,
  pretrain,
  splitDocuments,
} from "early-exits";
import {
  countParameters,
  cutDocuments,
  huggingFaceTokenizer,
  llamaConfigJson,
  memorySource,
  type PretrainStep,
  serializeModel,
  type Tokenizer,
  tokenStream,
  trainByteLevelBpe,
} from "early-exits/model";
import { crossEntropy, scope } from "early-exits/tensor";
import { mean } from "../../src/tensor/ops/reduce.js";
import { type RecipeName, recipeOptions } from "../../src/model/pretrain/recipes.js";
import { readJson, readText } from "early-exits/node";
import { writeFolder } from "../../src/node/folder-transaction.js";
import { hashDocuments } from "../../apps/cli/documents.js";
import { count, speed } from "../../apps/cli/format.js";
import { type CommonOptions, InterruptedError, type Io, note, writeResult } from "../../apps/cli/io.js";
import { openDevice } from "../../apps/cli/open-model.js";
import { withProgress } from "../../apps/cli/progress.js";
import { type Append, openLog, openRun, type TrainingRun } from "../../apps/cli/training/training-run.js";

/** The options that determine the model; kept in the checkpoint and in training.json. */
export interface PretrainRecipe {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** This many of the last blocks attend to the keys and values of the block below them. */
  readonly kvShared: number;
  readonly intermediate: number;
  readonly context: number;
  /** Entries of the tokenizer that is trained on the text; ignored if a tokenizer is given. */
  readonly vocab: number;
  readonly steps: number;
  /** Windows per step. */
  readonly batch: number;
  /** Tokens per window. */
  readonly sequence: number;
  readonly lr: number;
  readonly recipe: RecipeName;
  readonly seed: number;
  /** Steps between validation losses. */
  readonly validateEvery: number;
}

export const pretrainDefaults: PretrainRecipe = {
  layers: 6,
  hidden: 96,
  heads: 6,
  kvHeads: 2,
  kvShared: 0,
  intermediate: 256,
  context: 256,
  vocab: 1024,
  steps: 1000,
  batch: 16,
  sequence: 256,
  lr: 3e-3,
  recipe: "vanilla",
  seed: 1,
  validateEvery: 100,
};

export type PretrainSettings = CommonOptions & {
  readonly [K in keyof PretrainRecipe]?: PretrainRecipe[K] | undefined;
} & {
  readonly out: string;
  readonly resume?: boolean | undefined;
  /** Overwrites a finished model. @default false */
  readonly force?: boolean | undefined;
  readonly device?: string | undefined;
  /** A tokenizer.json to use instead of training one. */
  readonly tokenizer?: string | undefined;
};

export interface PretrainText {
  readonly train: readonly string[];
  /** Watched during training. */
  readonly validation: readonly string[];
  /** Evaluated once, at the end. */
  readonly test?: readonly string[];
  /** Description of the text and its split, in words and numbers. */
  readonly description: Readonly<Record<string, unknown>>;
}

/** The share of a text that is trained on; the rest is held out. */
const TRAIN_SHARE = 0.95;

/** Reads a text file and holds out some of its documents, or the end of it if it is one document. */
export async function pretrainText(path: string, seed: number): Promise<PretrainText> {
  const text = await readText(path);
  const cut = Math.floor(TRAIN_SHARE * text.length);
  const { train, held } =
    cutDocuments(text).length > 1
      ? splitDocuments(text, { train: TRAIN_SHARE, seed })
      : { train: [text.slice(0, cut)], held: [text.slice(cut)] };
  const documents = { train: train.length, validation: held.length };
  return { train, validation: held, description: { text: path, documents } };
}

/** training.json. */
export interface PretrainReport {
  readonly format: "early-exits/pretraining";
  readonly version: 1;
  readonly data: Readonly<Record<string, unknown>>;
  readonly options: PretrainRecipe;
  readonly parameters: number;
  readonly trainingTokens: number;
  /** Tokens seen: steps x batch x sequence. */
  readonly tokensSeen: number;
  /** Nats per token; the weights as stored, in bfloat16. */
  readonly loss: { readonly train: number; readonly validation: number; readonly test?: number };
  readonly charactersPerToken: number;
  readonly seconds: number;
  readonly device: string;
  readonly date: string;
  readonly libraryVersion: string;
}

/** Windows for a validation loss during training, and for the final losses. */
const QUICK = 16;
const FINAL = 64;

/**
 * Trains a model on the text and writes its folder. Rejects with an InterruptedError, and keeps the checkpoint, if the
 * signal aborts.
 */
export async function pretrainFolder(data: PretrainText, settings: PretrainSettings, io: Io): Promise<PretrainReport> {
  const { out } = settings;
  const device = await openDevice(io, settings.device);
  const training = await openRun<PretrainRecipe>(io, {
    folder: join(out, "checkpoint"),
    resume: settings.resume === true,
    force: settings.force === true,
    finished: join(out, "model.safetensors"),
    given: settings,
    defaults: {
      ...pretrainDefaults,
      sequence: Math.min(pretrainDefaults.sequence, settings.context ?? pretrainDefaults.context),
    },
    dataHash: hashDocuments([
      ...data.train,
      settings.tokenizer === undefined ? "" : await readText(settings.tokenizer),
    ]),
  });
  const { options } = training;
  const { tokenizer, tokenizerJson, tokenizerConfig } = await openTokenizer(data.train, settings.tokenizer, options);
  const configJson = configOf(options, tokenizer);
  const model = createModel(configJson, { device, seed: options.seed, tokenizer });
  const parameters = countParameters(model.weights);
  const stream = tokenStream(model, data.train);
  const characters = data.train.reduce((sum, document) => sum + document.length, 0);
  const charactersPerToken = characters / stream.length;
  const tokensSeen = options.steps * options.batch * options.sequence;
  note(
    io,
    `model: ${count(parameters)} parameters; text: ${count(stream.length)} tokens (${charactersPerToken.toFixed(2)} ` +
      `characters each), ${(tokensSeen / stream.length).toFixed(2)} epochs in ${options.steps} steps`,
  );
  if (training.resumedAt > 0) note(io, `resuming after step ${training.resumedAt}`);

  const started = io.now();
  const validation = tokenStream(model, data.validation);
  await runTraining({ model, stream, validation, training, out, started }, io);

  const weights = await serializeModel(model, { dtype: "BF16" });
  // The losses are those of the stored weights, not of the float32 weights they were rounded from.
  const stored = await loadModel(configJson, memorySource(weights), { device, tokenizer });
  const finalLoss = (tokens: Uint32Array): Promise<number> => lossOn(stored, tokens, options, FINAL);
  const report: PretrainReport = {
    format: "early-exits/pretraining",
    version: 1,
    data: data.description,
    options,
    parameters,
    trainingTokens: stream.length,
    tokensSeen,
    loss: {
      train: await finalLoss(stream),
      validation: await finalLoss(validation),
      ...(data.test && { test: await finalLoss(tokenStream(stored, data.test)) }),
    },
    charactersPerToken: Number(charactersPerToken.toFixed(4)),
    seconds: Number(((io.now() - started) / 1000).toFixed(1)),
    device: device.backend,
    date: new Date(io.now()).toISOString(),
    libraryVersion,
  };
  const json = (value: unknown, indent = 2): string => `${JSON.stringify(value, undefined, indent)}\n`;
  await writeFolder(out, {
    "tokenizer.json": json(tokenizerJson, 1),
    "tokenizer_config.json": json(tokenizerConfig),
    "config.json": json(configJson),
    "training.json": json(report),
    "model.safetensors": weights,
  });
  await training.finish();
  const { train, validation: validationLoss, test } = report.loss;
  writeResult(io, settings, report, [
    `${out}: ${count(parameters)} parameters, ${(weights.length / 1e6).toFixed(2)} MB in bfloat16`,
    `loss, nats per token: train ${train.toFixed(3)}, validation ${validationLoss.toFixed(3)}` +
      (test === undefined ? "" : `, test ${test.toFixed(3)}`),
  ]);
  stored.dispose();
  model.dispose();
  return report;
}

/** Training one is deterministic, so a resumed run makes the same tokenizer again. */
async function openTokenizer(
  documents: readonly string[],
  path: string | undefined,
  { vocab, context }: PretrainRecipe,
): Promise<{ readonly tokenizer: Tokenizer; readonly tokenizerJson: unknown; readonly tokenizerConfig: object }> {
  const tokenizerJson = path === undefined ? trainByteLevelBpe(documents, { vocabSize: vocab }) : await readJson(path);
  const tokenizerConfig = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<|endoftext|>",
    eos_token: "<|endoftext|>",
    add_bos_token: false,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    model_max_length: context,
  };
  const tokenizer = await huggingFaceTokenizer(tokenizerJson, path === undefined ? tokenizerConfig : {});
  if (tokenizer.eosTokenId === undefined) {
    throw new EarlyExitError(
      "tokenizer-end",
      `${path ?? "tokenizer"}: names no end-of-text token, which separates documents; use a tokenizer that has one`,
    );
  }
  return { tokenizer, tokenizerJson, tokenizerConfig };
}

function configOf(options: PretrainRecipe, { vocabSize, bosTokenId, eosTokenId }: Tokenizer): unknown {
  return llamaConfigJson({
    vocabSize,
    hiddenSize: options.hidden,
    numLayers: options.layers,
    numHeads: options.heads,
    numKvHeads: options.kvHeads,
    numKvSharedLayers: options.kvShared,
    intermediateSize: options.intermediate,
    maxPositionEmbeddings: options.context,
    tieWordEmbeddings: true,
    eosTokenIds: [eosTokenId!],
    torchDtype: "bfloat16",
    ...(bosTokenId !== undefined && { bosTokenId }),
  });
}

interface Pretraining {
  readonly model: Model;
  readonly stream: Uint32Array;
  readonly validation: Uint32Array;
  readonly training: TrainingRun<PretrainRecipe>;
  readonly out: string;
  readonly started: number;
}

async function runTraining({ model, stream, validation, training, out, started }: Pretraining, io: Io): Promise<void> {
  const { options } = training;
  const log = trainingLog(await openLog(join(out, "training-log.jsonl"), training.resumedAt), started, io);
  let lastValidation = NaN;
  const work = withProgress(io, "pretrain", (report) =>
    pretrain(model, stream, {
      steps: options.steps,
      batchSize: options.batch,
      sequenceLength: options.sequence,
      learningRate: options.lr,
      seed: options.seed,
      signal: io.signal,
      now: io.now,
      ...recipeOptions(options.recipe, options.layers, options.batch),
      checkpointEvery: training.due,
      onCheckpoint: (checkpoint) => training.save(checkpoint),
      ...(training.resume && { resume: training.resume }),
      async onStep(event) {
        const { step, steps, loss, tokensPerSecond } = event;
        const validate = step % options.validateEvery === 0 || step === steps;
        if (validate) lastValidation = await lossOn(model, validation, options, QUICK);
        await log(event, validate ? lastValidation : undefined);
        const validated = Number.isNaN(lastValidation) ? "" : `, validation ${lastValidation.toFixed(3)}`;
        const text = `loss ${loss.toFixed(3)}${validated}, ${speed(tokensPerSecond)}`;
        await report({ done: step, total: steps, text });
      },
    }),
  );
  await work.catch((error: unknown) => {
    if (!io.signal.aborted) throw error;
    const folder = join(out, "checkpoint");
    throw new InterruptedError(`pretrain: interrupted; the state is in ${folder}, continue with --resume`, {
      cause: error,
    });
  });
}

/** Steps between two lines of the log. */
const LOG_EVERY = 10;

/**
 * Logs the first step, every tenth step and every validated step, each with the mean loss since the line before;
 * `started` is a time of `io.now`.
 */
function trainingLog(
  append: Append,
  started: number,
  io: Io,
): (event: PretrainStep, validationLoss: number | undefined) => Promise<void> {
  let losses: number[] = [];
  return async ({ step, loss, gradientNorm, learningRate, tokensPerSecond }, validationLoss) => {
    losses.push(loss);
    if (validationLoss === undefined && step % LOG_EVERY !== 0 && step !== 1) return;
    const mean = losses.reduce((sum, value) => sum + value / losses.length, 0);
    losses = [];
    await append({
      step,
      loss: Number(mean.toFixed(4)),
      ...(validationLoss !== undefined && { validationLoss: Number(validationLoss.toFixed(4)) }),
      gradientNorm: Number(gradientNorm.toFixed(3)),
      learningRate: Number(learningRate.toPrecision(4)),
      tokensPerSecond: Math.round(tokensPerSecond),
      seconds: Number(((io.now() - started) / 1000).toFixed(1)),
    });
  };
}

/** NaN (null in JSON) if the text is shorter than a window. */
async function lossOn(
  model: Model,
  tokens: Uint32Array,
  { sequence }: PretrainRecipe,
  windows: number,
): Promise<number> {
  return tokens.length > sequence ? evaluateLoss(model, tokens, { windows, sequenceLength: sequence }) : NaN;
}

/** Mean next-token cross-entropy over the first `windows` windows, nats per token; NaN below one window. */
export async function evaluateLoss(
  model: Model,
  stream: Uint32Array,
  { windows = 64, sequenceLength = Math.min(128, model.config.maxPositionEmbeddings) } = {},
): Promise<number> {
  const count = Math.min(windows, Math.floor((stream.length - 1) / sequenceLength));
  let total = count === 0 ? NaN : 0;
  for (let w = 0; w < count; w++) {
    const window = Array.from(stream.subarray(w * sequenceLength, (w + 1) * sequenceLength + 1));
    const loss = scope(() =>
      mean(
        crossEntropy(model.unembed(model.forward(window.slice(0, -1)).get(model.config.numLayers)!), window.slice(1)),
      ),
    );
    total += (await loss.read())[0]! / count;
    loss.dispose();
  }
  return total;
}
