/**
 * The stages of `early-exits train`, each under a progress line: text sampled from the model, recorded hidden states,
 * the heads, gates, and learned keys and values.
 */
import { join } from "node:path";
import {
  type ExitHeads,
  fitProjections,
  type HeadKind,
  type HeadLoss,
  type Model,
  sampleDocuments,
  trainGates,
  trainHeads,
  type TrainStep,
  type WeightDtype,
} from "../../index.js";
import { cachedBatches, fitMaps, type Placement, type ProjectionInput, recordHidden } from "../../exits/index.js";
import { folderStore } from "../../node/index.js";
import { hashDocuments } from "../documents.js";
import { percent, speed } from "../format.js";
import type { Io } from "../io.js";
import { withProgress } from "../progress.js";
import type { TrainingRun } from "./training-run.js";

/** The options that determine the heads; kept in the checkpoint and in training.json. */
export interface HeadRecipe {
  /** How many, or at which depths. */
  readonly exits: number | readonly number[];
  readonly placement: Placement;
  readonly kind: HeadKind;
  /** 0: the kind's default. */
  readonly inner: number;
  readonly steps: number;
  readonly batch: number;
  readonly sequence: number;
  readonly lr: number;
  readonly loss: HeadLoss["kind"];
  readonly temperature: number;
  readonly topK: number;
  readonly weight: number;
  readonly seed: number;
  /** Documents sampled from the model; 0: text is given. */
  readonly self: number;
  /** The input from which keys and values are predicted. */
  readonly project: ProjectionInput | "none";
  /** Steps of training gates; 0: none. */
  readonly gate: number;
  /** How the heads' matrices are stored when packed. */
  readonly headDtype: WeightDtype | "model";
}

/** Smoothed loss and agreement, at some fifty of the steps. */
export interface LearningCurve {
  readonly points: readonly Pick<TrainStep, "step" | "loss" | "agreement">[];
  readonly tokensPerSecond: number | null;
}

type Source = Parameters<typeof trainHeads>[1];
type Documents = readonly (string | readonly number[])[];

/** Samples text from the model: the same every time, so that a resumed run trains on it again. */
export function sampleText(model: Model, { self, sequence, seed }: HeadRecipe, io: Io): Promise<number[][]> {
  return withProgress(io, "sample", async (report) => {
    const documents: number[][] = [];
    for await (const document of sampleDocuments(model, { count: self, length: sequence, seed, signal: io.signal })) {
      documents.push(document);
      await report({ done: documents.length, total: self, text: "documents" });
    }
    return documents;
  });
}

/** Records the hidden states, unless the folder has them already, and reads batches from there. */
export async function recordAndRead(
  heads: ExitHeads,
  documents: Documents,
  { batch, sequence, seed }: HeadRecipe,
  folder: string,
  io: Io,
): ReturnType<typeof cachedBatches> {
  const store = folderStore(join(folder, hashDocuments(documents).slice(0, 12)));
  await withProgress(io, "record", (report) =>
    recordHidden(heads.model, documents, heads.depths, store, {
      sequenceLength: sequence,
      signal: io.signal,
      onShard: ({ shard, shards, reused }) =>
        report({ done: shard + 1, total: shards, text: reused ? "shards (kept)" : "shards" }),
    }),
  );
  return cachedBatches(heads.model, heads.depths, store, { rows: batch * sequence, seed });
}

/** Fits the maps of heads that have a closed form: where their training starts. */
export async function fitHeadMaps(
  heads: ExitHeads,
  documents: Documents,
  { sequence, seed }: HeadRecipe,
  io: Io,
): Promise<void> {
  if (!heads.heads.some(({ fits }) => fits)) return;
  await withProgress(io, "maps", (report) =>
    fitMaps(heads, documents, {
      sequenceLength: sequence,
      seed,
      signal: io.signal,
      onBatch: ({ batch, batches }) => report({ done: batch, total: batches, text: "batches" }),
    }),
  );
}

/** Trains the heads, with checkpoints as the run wants them. */
export function trainExitHeads(
  heads: ExitHeads,
  source: Source,
  training: TrainingRun<HeadRecipe>,
  loss: HeadLoss,
  io: Io,
): Promise<LearningCurve> {
  const { options } = training;
  const points: LearningCurve["points"][number][] = [];
  const smooth = createSmoother();
  return withProgress(io, "train", async (report) => {
    const { last } = await trainHeads(heads, source, {
      steps: options.steps,
      batchSize: options.batch,
      sequenceLength: options.sequence,
      learningRate: options.lr,
      seed: options.seed,
      loss,
      signal: io.signal,
      now: io.now,
      checkpointEvery: training.due,
      onCheckpoint: (checkpoint) => training.save(checkpoint),
      ...(training.resume && { resume: training.resume }),
      onStep: (event) => {
        const { step, steps, timeLeft, tokensPerSecond } = event;
        const { loss: smoothLoss, agreement } = smooth(event);
        if (step === 1 || step === steps || step % Math.max(1, Math.round(steps / 50)) === 0) {
          points.push({ step, loss: smoothLoss, agreement });
        }
        const shares = agreement.map((share) => percent(share)).join(" ");
        const text = `loss ${smoothLoss.toFixed(3)}, agreement ${shares}, ${speed(tokensPerSecond)}`;
        return report({ done: step, total: steps, timeLeft, text });
      },
    });
    return { points, tokensPerSecond: last?.tokensPerSecond ?? null };
  });
}

/** Trains gates. */
export async function trainExitGates(
  heads: ExitHeads,
  source: Source,
  { gate, batch, sequence, seed }: HeadRecipe,
  io: Io,
): Promise<void> {
  await withProgress(io, "gates", (report) =>
    trainGates(heads, source, {
      steps: gate,
      batchSize: batch,
      sequenceLength: sequence,
      seed,
      signal: io.signal,
      onStep: ({ step, steps, losses }) => {
        const text = `cross-entropy ${losses.map((loss) => loss.toFixed(3)).join(" ")}`;
        return report({ done: step, total: steps, text });
      },
    }),
  );
}

/** Fits keys and values of skipped blocks. */
export async function fitKeysAndValues(
  heads: ExitHeads,
  documents: Documents,
  input: ProjectionInput,
  { sequence, seed }: HeadRecipe,
  io: Io,
): Promise<void> {
  await withProgress(io, "fit", (report) =>
    fitProjections(heads, documents, {
      input,
      sequenceLength: sequence,
      seed,
      signal: io.signal,
      onBatch: ({ batch, batches }) => report({ done: batch, total: batches, text: "batches" }),
    }),
  );
}

/** Exponential means: single batches are noisy. */
function createSmoother(): (event: TrainStep) => { loss: number; agreement: number[] } {
  let state: { loss: number; agreement: number[] } | undefined;
  const mix = (before: number | undefined, value: number): number =>
    before === undefined ? value : 0.9 * before + 0.1 * value;
  return ({ loss, agreement }) => {
    const shares = agreement.map((value, i) => mix(state?.agreement[i], value));
    state = { loss: mix(state?.loss, loss), agreement: shares };
    return state;
  };
}
