/**
 * Self-supervised training: the frozen model is the teacher, its states are the inputs, and AdamW changes the heads
 * alone. Every step is a function of (seed, step, weights), so a run resumes from a checkpoint bit for bit.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { allNames, requireKnown } from "../../known.js";
import type { Document } from "../../model/index.js";
import { sha256 } from "../../model/sha256.js";
import { createRng } from "../../tensor/index.js";
import { cosineSchedule } from "../../tensor/optim/optim.js";
import { runSteps, type StepProgress } from "../../tensor/optim/run-steps.js";
import { aheadBatch, type BatchSource, batchSource, disposeBatch, type HiddenBatch } from "../states/batches.js";
import { type ExitHeads, requireHeads } from "../heads/exit-heads.js";
import { requireTokens } from "../heads/head-shape.js";
import { taughtBy } from "../heads/taught.js";
import {
  checkLoss,
  createStudents,
  type HeadLoss,
  measureStudents,
  type StudentStep,
  trainBatch,
} from "./train-batch.js";
import type { ExitQuality } from "./measure-exits.js";

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
  /**
   * Compares these tokens (ascending ids) and all others as one, in heads that use the model's unembedding;
   * `frequentTokens` finds them. @default the whole vocabulary
   */
  readonly list?: readonly number[];
  /** Data to measure the heads on. @default none */
  readonly held?: BatchSource;
  /** Steps between measurements; one is made after the last step. @default 100 */
  readonly measureEvery?: number;
  readonly onMeasure?: (event: MeasureStep) => unknown;
  /** Seeds the order of the windows. @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
  /** A promise is waited for, so that the event loop can run. */
  readonly onStep?: (event: TrainStep) => unknown;
  /** Called when `checkpointEvery` asks for it, and after the last step. */
  readonly onCheckpoint?: (checkpoint: Uint8Array, step: number) => void | Promise<void>;
  /** Steps between checkpoints, or a test after each (by the clock, before an abort). @default 100 */
  readonly checkpointEvery?: number | ((step: number) => boolean);
  /** A checkpoint of the same heads and options. */
  readonly resume?: Uint8Array;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

export const trainDefaults = {
  steps: 500,
  batchSize: 8,
  /** Fewer if the context is shorter. */
  sequenceLength: 128,
  learningRate: 1e-3,
  weightDecay: 0.01,
  maxGradientNorm: 0,
  loss: { kind: "kl" },
  seed: 0,
  checkpointEvery: 100,
  measureEvery: 100,
} as const satisfies TrainOptions;

const trainOptionNames = allNames<TrainOptions>()(
  "steps",
  "batchSize",
  "sequenceLength",
  "learningRate",
  "warmup",
  "weightDecay",
  "maxGradientNorm",
  "loss",
  "list",
  "held",
  "measureEvery",
  "onMeasure",
  "seed",
  "signal",
  "onStep",
  "onCheckpoint",
  "checkpointEvery",
  "resume",
  "now",
);

export interface TrainStep extends Omit<StepProgress, "gradientNorm"> {
  /** Mean over positions and heads, nats. */
  readonly loss: number;
  /** Loss of each head that has something to train. */
  readonly losses: readonly number[];
  /** Share of the batch at which each one's argmax is the model's. */
  readonly agreement: readonly number[];
}

interface MeasureStep {
  readonly step: number;
  readonly exits: readonly ExitQuality[];
}

export interface TrainSummary {
  readonly steps: number;
  readonly tokens: number;
  readonly last: TrainStep | undefined;
}

/**
 * Trains all heads, the look-ahead head included, on text (strings or token ids), or on recorded states
 * (`cachedBatches`). The backbone and a preview of its unembedding do not change. If aborted, rejects with the signal's
 * reason; if a loss is NaN or infinite, with a NumericsError that names the head. Heads keep what they have learned.
 *
 * @example
 * ```ts
 * import { attachHeads, trainHeads } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const heads = attachHeads(model, { exits: [3, 6] });
 * const text = ["The people of the United States", "The state of the Union is strong"];
 * const losses: number[] = [];
 * await trainHeads(heads, text, { steps: 2, onStep: ({ loss }) => losses.push(loss) });
 * console.log(losses.length); // 2
 * ```
 */
export async function trainHeads(
  heads: ExitHeads,
  data: readonly Document[] | BatchSource,
  options: TrainOptions = {},
): Promise<TrainSummary> {
  requireHeads("trainHeads", heads);
  requireKnown("trainHeads", options, trainOptionNames);
  const { model, ahead } = heads;
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
    list: listed,
    held,
    measureEvery = trainDefaults.measureEvery,
    onMeasure,
    resume,
    now,
  } = options;
  requireInteger("trainHeads: steps", steps, 1);
  requireInteger("trainHeads: batchSize", batchSize, 1);
  requireInteger("trainHeads: measureEvery", measureEvery, 1);
  if (typeof checkpointEvery === "number") requireInteger("trainHeads: checkpointEvery", checkpointEvery, 1);
  requireNumber("trainHeads: weightDecay", weightDecay, 1e3);
  requireNumber("trainHeads: maxGradientNorm", maxGradientNorm, 1e9);
  const { vocabSize } = model.config;
  if (listed !== undefined) requireTokens("the tokens of a training list", listed, vocabSize, vocabSize - 1);
  checkLoss(loss, listed?.length ?? vocabSize);
  const source = batchSource(model, data, heads.inputs, { batchSize, sequenceLength, seed });
  const schedule = cosineSchedule({ learningRate, steps, warmup });
  const taught = await taughtBy(heads, data, signal);
  const students = await createStudents(heads, listed);
  const drafters = await createStudents({ model, heads: ahead === undefined ? [] : [ahead] }, listed);
  const all = [...students.all, ...drafters.all];
  if (all.length === 0) {
    throw new OptionError(
      "train-nothing",
      "trainHeads: a preview of the unembedding is fitted (fitPreviews), not trained; attach heads at other depths too",
    );
  }
  try {
    const { last, tokens } = await runSteps({
      caller: "trainHeads",
      nameOf: (part) =>
        all[part]!.head === ahead ? "the look-ahead head" : `the head at depth ${heads.depths[part]!}`,
      parameters: [
        ...all.flatMap(({ head }) => Object.values(head.weights.tensors)),
        ...students.parameters,
        ...drafters.parameters,
      ],
      adamw: { weightDecay, maxGradientNorm },
      steps,
      schedule,
      async gradients(step) {
        const batch = await source.batch(step, signal);
        const rng = createRng(seed).fork(`draw ${step}`);
        const results: StudentStep[] = [];
        let pairs: HiddenBatch | undefined;
        try {
          if (students.all.length > 0) {
            results.push(...(await trainBatch(model, students, batch, { loss, rng, signal })));
          }
          pairs = ahead && (await aheadBatch(batch, ahead));
          if (pairs !== undefined) results.push(...(await trainBatch(model, drafters, pairs, { loss, rng, signal })));
        } finally {
          disposeBatch(batch);
          if (pairs !== undefined) disposeBatch(pairs);
        }
        heads.taught = taught;
        for (const { head } of all) head.weights.changed(); // the optimiser changes them in place
        return { tokens: batch.rows, results, losses: results.map((result) => result.loss) };
      },
      event: ({ step, learningRate, tokensPerSecond, timeLeft }, { results, losses }): TrainStep => ({
        step,
        steps,
        losses,
        loss: losses.reduce((total, value) => total + value, 0) / losses.length,
        agreement: results.map((result) => result.agreement),
        learningRate,
        tokensPerSecond,
        timeLeft,
      }),
      async onStep(event) {
        await onStep?.(event);
        const due = event.step % measureEvery === 0 || event.step === steps;
        if (held === undefined || !due) return;
        await onMeasure?.({ step: event.step, exits: await measureStudents(heads, students, held, { signal }) });
      },
      checkpoints: {
        description: {
          format: "early-exits/head-training",
          modelHash: await model.hash(signal),
          depths: [...heads.depths, ...(ahead ? ["ahead"] : [])].join(","),
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
            ...(listed && { list: await sha256(listed.join(",")) }),
          }),
        },
        resume,
        onCheckpoint,
        every: checkpointEvery,
      },
      signal,
      now,
    });
    heads.taught = taught; // by a checkpoint of the last step, too
    return { steps, tokens, last };
  } finally {
    if (signal?.aborted) heads.taught = taught; // a checkpoint may have changed the heads
    for (const { head } of all) head.weights.changed();
    students.dispose();
    drafters.dispose();
  }
}
