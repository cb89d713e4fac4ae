/**
 * `early-exits pretrain`: a small llama-style model from scratch, from text to a Hugging Face folder. `pretrainFolder`
 * is the whole recipe; the command feeds it a text file, lab/pretrain.ts the corpus of the embedded model. Written
 * to OUT: model.safetensors (bfloat16), config.json, tokenizer.json, tokenizer_config.json, training.json (data,
 * options, losses) and training-log.jsonl; while it runs, OUT/checkpoint, from which --resume continues bit for bit.
 */
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createModel,
  EarlyExitError,
  libraryVersion,
  loadModel,
  type Model,
  pretrain,
  splitDocuments,
} from "../../index.js";
import {
  countParameters,
  cutDocuments,
  evaluateLoss,
  huggingFaceTokenizer,
  llamaConfigJson,
  memorySource,
  type RecipeName,
  recipeOptions,
  serializeModel,
  tokenStream,
  trainByteLevelBpe,
} from "../../model/index.js";
import { readJson, readText, writeFileAtomic } from "../../node/index.js";
import { count, speed } from "../format.js";
import { breathe, type CommonOptions, InterruptedError, type Io, note, openDevice, writeResult } from "../io.js";
import { createProgress } from "../progress.js";
import { hashDocuments, openRun } from "../training-run.js";

/** The options that make the run what it is; kept in the checkpoint and in training.json. */
export interface PretrainRecipe {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Last blocks that attend to the keys and values of the block before them all. */
  readonly kvShared: number;
  readonly intermediate: number;
  readonly context: number;
  /** Entries of the tokenizer that is trained on the text; ignored where a tokenizer is given. */
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
  readonly device?: string | undefined;
  /** A tokenizer.json to use instead of training one. */
  readonly tokenizer?: string | undefined;
};

export interface PretrainText {
  readonly train: readonly string[];
  /** Watched during training. */
  readonly validation: readonly string[];
  /** Looked at once, at the end. */
  readonly test?: readonly string[];
  /** What the text is and how it was cut, in words and numbers. */
  readonly description: Readonly<Record<string, unknown>>;
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

/** Windows per validation loss while training, and for the final losses. */
const QUICK = 16;
const FINAL = 64;
const LOG_EVERY = 10;

export async function run(settings: PretrainSettings & { readonly text: string }, io: Io): Promise<PretrainReport> {
  const text = await readText(settings.text);
  const { train, held } =
    cutDocuments(text).length > 1
      ? splitDocuments(text, { train: 0.95, seed: settings.seed ?? pretrainDefaults.seed })
      : splitCharacters(text);
  return pretrainFolder(
    {
      train,
      validation: held,
      description: { text: settings.text, documents: { train: train.length, validation: held.length } },
    },
    settings,
    io,
  );
}

/**
 * Trains a model on the text and writes its folder. Rejects with an InterruptedError, checkpoint kept, when the signal
 * aborts.
 */
export async function pretrainFolder(data: PretrainText, settings: PretrainSettings, io: Io): Promise<PretrainReport> {
  const { out } = settings;
  const device = await openDevice(io, settings.device);
  const training = await openRun<PretrainRecipe>(io, {
    folder: join(out, "checkpoint"),
    resume: settings.resume === true,
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

  // Deterministic, so a resumed run makes the same one again.
  const tokenizerJson =
    settings.tokenizer === undefined
      ? trainByteLevelBpe(data.train, { vocabSize: options.vocab })
      : await readJson(settings.tokenizer);
  const tokenizerConfig = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<|endoftext|>",
    eos_token: "<|endoftext|>",
    add_bos_token: false,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    model_max_length: options.context,
  };
  const tokenizer = await huggingFaceTokenizer(tokenizerJson, settings.tokenizer === undefined ? tokenizerConfig : {});
  const { bosTokenId, eosTokenId } = tokenizer;
  if (eosTokenId === undefined) {
    throw new EarlyExitError(
      "tokenizer-end",
      `${settings.tokenizer ?? "tokenizer"}: names no end-of-text token, which separates documents; use a ` +
        "tokenizer that has one",
    );
  }
  const configJson = llamaConfigJson({
    vocabSize: tokenizer.vocabSize,
    hiddenSize: options.hidden,
    numLayers: options.layers,
    numHeads: options.heads,
    numKvHeads: options.kvHeads,
    numKvSharedLayers: options.kvShared,
    intermediateSize: options.intermediate,
    maxPositionEmbeddings: options.context,
    tieWordEmbeddings: true,
    eosTokenIds: [eosTokenId],
    torchDtype: "bfloat16",
    ...(bosTokenId !== undefined && { bosTokenId }),
  });
  const model = createModel(configJson, { device, seed: options.seed, tokenizer });
  const parameters = countParameters(model.weights);
  const stream = tokenStream(model, data.train);
  const validation = tokenStream(model, data.validation);
  const characters = data.train.reduce((sum, document) => sum + document.length, 0);
  note(
    io,
    `model: ${count(parameters)} parameters; text: ${count(stream.length)} tokens ` +
      `(${(characters / stream.length).toFixed(2)} characters ` +
      `each), ${((options.steps * options.batch * options.sequence) / stream.length).toFixed(2)} epochs ` +
      `in ${options.steps} steps`,
  );
  if (training.resumedAt > 0) note(io, `resuming after step ${training.resumedAt}`);

  /** NaN (null in JSON) where the text has no window. */
  const lossOn = (of: Model, tokens: Uint32Array, windows: number): Promise<number> =>
    tokens.length > options.sequence
      ? evaluateLoss(of, tokens, { windows, sequenceLength: options.sequence })
      : Promise.resolve(NaN);
  const log = await openLog(join(out, "training-log.jsonl"), training.resumedAt);
  const progress = createProgress(io, "pretrain");
  const started = io.now();
  let sinceLog: number[] = [];
  let lastValidation = NaN;
  try {
    await pretrain(model, stream, {
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
      async onStep({ step, steps, loss, gradientNorm, learningRate, tokensPerSecond, timeLeft }) {
        sinceLog.push(loss);
        const validate = step % options.validateEvery === 0 || step === steps;
        if (validate) lastValidation = await lossOn(model, validation, QUICK);
        if (validate || step % LOG_EVERY === 0 || step === 1) {
          await log({
            step,
            loss: round(mean(sinceLog), 4),
            ...(validate && { validationLoss: round(lastValidation, 4) }),
            gradientNorm: round(gradientNorm, 3),
            learningRate: Number(learningRate.toPrecision(4)),
            tokensPerSecond: Math.round(tokensPerSecond),
            seconds: round((io.now() - started) / 1000, 1),
          });
          sinceLog = [];
        }
        progress.update({
          done: step,
          total: steps,
          timeLeft,
          text: `loss ${loss.toFixed(3)}${Number.isNaN(lastValidation) ? "" : `, validation ${lastValidation.toFixed(3)}`}, ${speed(tokensPerSecond)}`,
        });
        await breathe();
      },
    });
  } catch (error) {
    progress.end();
    if (io.signal.aborted) {
      throw new InterruptedError(
        `pretrain: interrupted; the state is in ${join(out, "checkpoint")}, continue with --resume`,
        { cause: error },
      );
    }
    throw error;
  }
  progress.end();

  const weights = await serializeModel(model, { dtype: "BF16" });
  // Losses of what is stored, not of the float32 weights it was rounded from.
  const stored = await loadModel(configJson, memorySource(weights), { device, tokenizer });
  const report: PretrainReport = {
    format: "early-exits/pretraining",
    version: 1,
    data: data.description,
    options,
    parameters,
    trainingTokens: stream.length,
    tokensSeen: options.steps * options.batch * options.sequence,
    loss: {
      train: await lossOn(stored, stream, FINAL),
      validation: await lossOn(stored, validation, FINAL),
      ...(data.test && { test: await lossOn(stored, tokenStream(stored, data.test), FINAL) }),
    },
    charactersPerToken: round(characters / stream.length, 4),
    seconds: round((io.now() - started) / 1000, 1),
    device: device.backend,
    date: new Date(io.now()).toISOString(),
    libraryVersion,
  };
  const json = (value: unknown, indent = 2): string => `${JSON.stringify(value, undefined, indent)}\n`;
  await writeFileAtomic(join(out, "tokenizer.json"), json(tokenizerJson, 1));
  await writeFileAtomic(join(out, "tokenizer_config.json"), json(tokenizerConfig));
  await writeFileAtomic(join(out, "config.json"), json(configJson));
  await writeFileAtomic(join(out, "training.json"), json(report));
  await writeFileAtomic(join(out, "model.safetensors"), weights);
  await training.finish();
  writeResult(io, settings, report, [
    `${out}: ${count(parameters)} parameters, ${(weights.length / 1e6).toFixed(2)} MB in bfloat16`,
    `loss, nats per token: train ${report.loss.train.toFixed(3)}, ` +
      `validation ${report.loss.validation.toFixed(3)}${report.loss.test === undefined ? "" : `, test ${report.loss.test.toFixed(3)}`}`,
  ]);
  stored.dispose();
  model.dispose();
  return report;
}

/** Appends JSON lines; lines beyond the step a run resumes at are cut off first. */
async function openLog(
  path: string,
  resumedAt: number,
): Promise<(entry: Readonly<Record<string, number>>) => Promise<void>> {
  const before = resumedAt === 0 ? "" : await readFile(path, "utf8").catch(() => "");
  const kept = before
    .split("\n")
    .filter((line) => line !== "" && (JSON.parse(line) as { step: number }).step <= resumedAt);
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
  return (entry) => appendFile(path, `${JSON.stringify(entry)}\n`);
}

/** A text that is one document: its last 5 % are held out. */
function splitCharacters(text: string): { train: string[]; held: string[] } {
  const cut = Math.floor(0.95 * text.length);
  return { train: [text.slice(0, cut)], held: [text.slice(cut)] };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value / values.length, 0);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
