/**
 * Self-supervised training of exit heads: the frozen model is the teacher, its states are the inputs, AdamW changes the
 * heads alone. Gradients stop at the heads' inputs (nothing below requires any). Memory is bounded by treating one head
 * and at most `CHUNK_ELEMENTS` logits at a time. Every step is a function of (seed, step, weights): a checkpoint
 * resumes bit for bit.
 */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { backward, scope } from "../../tensor/index.js";
import { argmax, scale, sliceRows, sum } from "../../tensor/ops/index.js";
import { Adamw, cosineSchedule, restoreTraining, saveTraining } from "../../tensor/optim/index.js";
import { type BatchSource, batchSource, disposeBatch, type HiddenBatch } from "./batches.js";
import type { Document } from "../../model/index.js";
import type { ExitHead, ExitHeads, Teacher } from "../heads/index.js";
import { checkLoss, headLoss, type HeadLoss } from "./loss.js";
import { createTeacher } from "./teacher.js";

const CHUNK_ELEMENTS = 2 ** 22;

export interface TrainOptions {
  /** @default 500 */
  readonly steps?: number;
  /** Windows per step. @default 8 */
  readonly batchSize?: number;
  /** Tokens per window at most. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** Peak of the cosine schedule. @default 1e-3 */
  readonly learningRate?: number;
  /** Steps of linear warm-up. @default 5 % of the steps */
  readonly warmup?: number;
  /** @default 0.01 */
  readonly weightDecay?: number;
  /** Clip gradients to this global norm; 0 for no clipping. @default 0 */
  readonly maxGradientNorm?: number;
  /** @default { kind: "kl" } */
  readonly loss?: HeadLoss;
  /** Seeds the order of the windows. @default 0 */
  readonly seed?: number;
  readonly signal?: AbortSignal;
  /** Called after every step; a promise is waited for, the moment to let the event loop run. */
  readonly onStep?: (event: TrainStep) => unknown;
  /** Called with a checkpoint as `checkpointEvery` says, and after the last step. */
  readonly onCheckpoint?: (checkpoint: Uint8Array, step: number) => void | Promise<void>;
  /** Steps between checkpoints, or whether to make one after a step (by the clock, before an abort). @default 100 */
  readonly checkpointEvery?: number | ((step: number) => boolean);
  /** Continue from a checkpoint of the same heads and options. */
  readonly resume?: Uint8Array;
  /** Milliseconds, for tokens/s and ETA. @default performance.now */
  readonly now?: () => number;
}

const DEFAULT_LOSS: HeadLoss = { kind: "kl" };

export const trainDefaults = {
  steps: 500,
  batchSize: 8,
  /** Fewer if the context is shorter. */
  sequenceLength: 128,
  learningRate: 1e-3,
  weightDecay: 0.01,
  maxGradientNorm: 0,
  loss: DEFAULT_LOSS,
  seed: 0,
  checkpointEvery: 100,
} as const satisfies TrainOptions;

export interface TrainStep {
  /** Steps done, 1..steps. */
  readonly step: number;
  readonly steps: number;
  /** Mean over positions and heads, nats. */
  readonly loss: number;
  /** Mean loss of each head. */
  readonly losses: readonly number[];
  /** Share of this batch's positions where each head's argmax is the model's. */
  readonly agreement: readonly number[];
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  /** Seconds. */
  readonly timeLeft: number;
}

export interface TrainSummary {
  readonly steps: number;
  readonly tokens: number;
  readonly last: TrainStep | undefined;
}

/**
 * Trains all heads on text (documents, as strings or token ids), or on a recorded source of hidden states
 * (`cachedBatches`). The backbone is not touched. Resolves when the last step is done; rejects with the signal's reason
 * when aborted (heads keep what they learned).
 */
export async function trainHeads(
  heads: ExitHeads,
  data: readonly Document[] | BatchSource,
  options: TrainOptions = {},
): Promise<TrainSummary> {
  const { model } = heads;
  const {
    steps = trainDefaults.steps,
    batchSize = trainDefaults.batchSize,
    sequenceLength = Math.min(trainDefaults.sequenceLength, model.config.maxPositionEmbeddings),
    learningRate = trainDefaults.learningRate,
    warmup = Math.ceil(steps / 20),
    weightDecay = trainDefaults.weightDecay,
    maxGradientNorm = trainDefaults.maxGradientNorm,
    loss = trainDefaults.loss,
    seed = trainDefaults.seed,
    signal,
    onStep,
    onCheckpoint,
    checkpointEvery = trainDefaults.checkpointEvery,
    resume,
    now = () => performance.now(),
  } = options;
  requireInteger("trainHeads: steps", steps, 1);
  requireInteger("trainHeads: batchSize", batchSize, 1);
  if (typeof checkpointEvery === "number") requireInteger("trainHeads: checkpointEvery", checkpointEvery, 1);
  requireNumber("trainHeads: weightDecay", weightDecay, 0, 1e3);
  requireNumber("trainHeads: maxGradientNorm", maxGradientNorm, 0, 1e9);
  checkLoss(loss, model.config.vocabSize);
  const source = batchSource(model, data, heads.depths, { batchSize, sequenceLength, seed });
  const schedule = cosineSchedule({ learningRate, steps, warmup });
  await heads.ready();
  heads.thaw();
  const optimizer = new Adamw(heads.parameters, { weightDecay, maxGradientNorm });
  let last: TrainStep | undefined;
  let tokens = 0;
  try {
    const run = {
      format: "early-exits/head-training",
      modelHash: await model.hash(),
      depths: heads.depths.join(","),
      options: JSON.stringify({
        steps,
        batchSize,
        sequenceLength,
        learningRate,
        warmup,
        weightDecay,
        maxGradientNorm,
        loss,
        seed,
      }),
    };
    if (resume !== undefined) restoreTraining(optimizer, resume, run);
    const started = now();
    const first = optimizer.steps;
    while (optimizer.steps < steps) {
      signal?.throwIfAborted();
      const step = optimizer.steps;
      const batch = await source.batch(step);
      const teacher = await createTeacher(model, batch.final, { topK: loss.kind === "kl" ? (loss.topK ?? 0) : 0 });
      const results: HeadStep[] = [];
      for (const head of heads.heads) results.push(await trainStep(head, batch, teacher, loss, heads.heads.length));
      teacher.logits.dispose();
      disposeBatch(batch);
      heads.thaw(); // onStep may have packed or hashed them
      await optimizer.step(schedule(step));
      tokens += batch.rows;
      const losses = results.map((result) => result.loss);
      const elapsed = (now() - started) / 1000;
      last = {
        step: step + 1,
        steps,
        losses,
        loss: losses.reduce((total, value) => total + value, 0) / losses.length,
        agreement: results.map((result) => result.agreement),
        learningRate: schedule(step),
        tokensPerSecond: tokens / elapsed,
        timeLeft: (elapsed / (step + 1 - first)) * (steps - step - 1),
      };
      await onStep?.(last);
      const due = typeof checkpointEvery === "number" ? (step + 1) % checkpointEvery === 0 : checkpointEvery(step + 1);
      if (onCheckpoint && (due || step + 1 === steps)) await onCheckpoint(await saveTraining(optimizer, run), step + 1);
    }
  } finally {
    optimizer.dispose();
  }
  return { steps, tokens, last };
}

interface HeadStep {
  readonly loss: number;
  readonly agreement: number;
}

/** Adds this batch's gradient of one head's mean loss (over positions and heads) to its weights. */
async function trainStep(
  head: ExitHead,
  batch: HiddenBatch,
  teacher: Teacher,
  loss: HeadLoss,
  heads: number,
): Promise<HeadStep> {
  const { rows } = batch;
  const states = batch.hidden.get(head.depth);
  if (states === undefined) {
    throw new OptionError(
      "batch-depth",
      `trainHeads: the data holds no states at depth ${head.depth}; record them for these heads`,
      { depth: head.depth },
    );
  }
  const own = await head.targetOf(teacher);
  const step = Math.max(1, Math.floor(CHUNK_ELEMENTS / head.model.config.vocabSize));
  let total = 0;
  let agreed = 0;
  for (let begin = 0; begin < rows; begin += step) {
    const end = Math.min(begin + step, rows);
    const part = scope(() => {
      const target = begin === 0 && end === rows ? own : sliceTeacher(own, begin, end);
      const logits = head.trainingLogits(begin === 0 && end === rows ? states : sliceRows(states, begin, end));
      const chunkLoss = sum(headLoss(target, logits, loss));
      backward(scale(chunkLoss, 1 / (rows * heads)));
      return { chunkLoss, logits };
    });
    const best = await argmax(part.logits);
    total += (await part.chunkLoss.read())[0]!;
    // the rest bucket agrees with nobody
    agreed += best.filter((id, r) => id === own.argmax[begin + r] && id !== head.shape.shortlist?.length).length;
    part.chunkLoss.dispose();
    part.logits.dispose();
  }
  if (own !== teacher) own.logits.dispose();
  return { loss: total / rows, agreement: agreed / rows };
}

function sliceTeacher({ logits, argmax: best, topIds }: Teacher, begin: number, end: number): Teacher {
  const k = topIds.length / best.length;
  return {
    logits: sliceRows(logits, begin, end),
    argmax: best.slice(begin, end),
    topIds: topIds.slice(begin * k, end * k),
  };
}
