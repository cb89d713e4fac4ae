/** Stages of `early-exits train`, each under a progress line: sampled text, recorded states, heads, keys and values. */
import { type ExitHeads, fitProjections, type Model, sampleDocuments, trainHeads, type TrainStep } from "early-exits";
import {
  type BatchSource,
  type ExitQuality,
  fitMaps,
  fitPreviews,
  measureExits,
  type ProjectionInput,
} from "early-exits/exits";
import type { Document } from "early-exits/model";
import { percent, speed } from "../format.js";
import { type Io, note } from "../io.js";
import { withProgress } from "../progress.js";
import type { HeadSources } from "./head-data.js";
import type { HeadRecipe } from "./head-recipe.js";
import { openLog } from "./training-log.js";
import type { TrainingRun } from "./training-run.js";

/** Values at some fifty of the steps. */
export interface LearningCurve {
  readonly points: readonly Pick<TrainStep, "step" | "loss" | "agreement">[];
  readonly tokensPerSecond: number | null;
}

/** Deterministic, so that a resumed run trains on the same text. */
export function sampleText(
  model: Model,
  { self, sequence, seed }: Pick<HeadRecipe, "self" | "sequence" | "seed">,
  io: Io,
): Promise<number[][]> {
  return withProgress(io, "sample", async (report) => {
    const documents: number[][] = [];
    for await (const document of sampleDocuments(model, { count: self, length: sequence, seed, signal: io.signal })) {
      documents.push(document);
      await report({ done: documents.length, total: self, text: "documents" });
    }
    return documents;
  });
}

/** Fits the maps of linear heads, where their training starts. */
export async function fitHeadMaps(
  heads: ExitHeads,
  data: HeadSources["train"],
  { sequence, batch, seed }: HeadRecipe,
  io: Io,
): Promise<void> {
  if (!heads.heads.some(({ shape }) => shape.kind === "linear")) return;
  await withProgress(io, "maps", (report) =>
    fitMaps(heads, data, {
      sequenceLength: sequence,
      batchSize: batch,
      seed,
      signal: io.signal,
      onBatch: ({ batch: done, batches }) => report({ done, total: batches, text: "batches" }),
    }),
  );
}

/** Fits previews to the vectors that the trained maps make. */
export async function fitHeadPreviews(
  heads: ExitHeads,
  data: HeadSources["train"],
  { sequence, batch, seed }: HeadRecipe,
  io: Io,
): Promise<void> {
  if (!heads.heads.some(({ preview }) => preview !== undefined)) return;
  await withProgress(io, "previews", (report) =>
    fitPreviews(heads, data, {
      sequenceLength: sequence,
      batchSize: batch,
      seed,
      signal: io.signal,
      onBatch: ({ batch: done, batches }) => report({ done, total: batches, text: "batches" }),
    }),
  );
}

/** Measures heads as they decode; nothing without held-out documents. */
export async function measureHeld(
  heads: ExitHeads,
  held: BatchSource | undefined,
  io: Io,
): Promise<readonly ExitQuality[]> {
  return held === undefined ? [] : measureExits(heads, held, { signal: io.signal });
}

export interface HeadTraining {
  readonly run: TrainingRun<HeadRecipe>;
  readonly sources: HeadSources;
  /** undefined: the whole vocabulary. */
  readonly list: readonly number[] | undefined;
  readonly log: string;
}

/** Trains heads with anything to train, with the run's checkpoints; logs their quality on held-out documents. */
export async function trainExitHeads(
  heads: ExitHeads,
  { run, sources, list, log }: HeadTraining,
  io: Io,
): Promise<LearningCurve> {
  const { options } = run;
  if (heads.heads.every(({ shape }) => shape.kind === "preview")) return { points: [], tokensPerSecond: null };
  const points: LearningCurve["points"][number][] = [];
  const smooth = createSmoother();
  const append = sources.held && (await openLog(log, run.resumedAt));
  const started = io.now();
  return withProgress(io, "train", async (report) => {
    const { last } = await trainHeads(heads, sources.train, {
      steps: options.steps,
      batchSize: options.batch,
      sequenceLength: options.sequence,
      learningRate: options.lr,
      seed: options.seed,
      signal: io.signal,
      now: io.now,
      checkpointEvery: run.due,
      onCheckpoint: (checkpoint) => run.save(checkpoint),
      ...(run.resume && { resume: run.resume }),
      ...(list && { list }),
      ...(sources.held && { held: sources.held }),
      measureEvery: options.measureEvery,
      async onMeasure({ step, exits }) {
        const { loss = NaN } = points.at(-1) ?? {};
        await append?.({ step, seconds: (io.now() - started) / 1000, loss, exits });
        // A preview of the unembedding is fitted when training is over.
        const trained = exits.filter(({ depth }) => depth < heads.model.config.numLayers);
        for (const line of qualityLines(trained)) note(io, `step ${step}, held out: ${line}`);
      },
      onStep: (event) => {
        const { step, steps, tokensPerSecond } = event;
        const { loss: smoothLoss, agreement } = smooth(event);
        const kept = step === 1 || step === steps || step % Math.max(1, Math.round(steps / 50)) === 0;
        if (kept || step % options.measureEvery === 0) points.push({ step, loss: smoothLoss, agreement });
        const shares = agreement.map((share) => percent(share)).join(" ");
        const text = `loss ${smoothLoss.toFixed(3)}, agreement ${shares}, ${speed(tokensPerSecond)}`;
        return report({ done: step, total: steps, text });
      },
    });
    return { points, tokensPerSecond: last?.tokensPerSecond ?? null };
  });
}

export async function fitKeysAndValues(
  heads: ExitHeads,
  documents: readonly Document[],
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

/** Per exit: agreement, then what may leave and its speed, per level. */
export function qualityLines(exits: readonly ExitQuality[]): string[] {
  return exits.map(({ depth, agreement, levels }) => {
    const shares = levels.map(
      ({ level, coverage, speedup }) => `${level.toFixed(2).slice(1)} ${percent(coverage)} ${speedup.toFixed(2)}x`,
    );
    return `depth ${depth} agrees ${percent(agreement)}; may leave at ${shares.join(", ")}`;
  });
}
