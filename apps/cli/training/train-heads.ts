/** Stages of `early-exits train`, each under a progress line: sampled text, recorded states, heads, keys and values. */
import { type ExitHeads, fitProjections, type Model, sampleDocuments, trainHeads, type TrainStep } from "early-exits";
import {
  type BatchSource,
  defaultKind,
  type ExitQuality,
  fitMaps,
  fitPreviews,
  measureExits,
  placeExits,
  previewSize,
  type ProjectionInput,
} from "early-exits/exits";
import type { Document } from "early-exits/model";
import { libraryDefaults } from "early-exits/node";
import { percent, speed } from "../format.js";
import { type Io, note } from "../io.js";
import { withProgress } from "../progress.js";
import type { HeadSources } from "./head-data.js";
import { openLog, type TrainingRun } from "./training-run.js";

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

/** Fits in closed form, under a progress line. */
function fit(
  io: Io,
  label: string,
  { sequence, seed }: HeadRecipe,
  run: (options: Parameters<typeof fitMaps>[2]) => Promise<unknown>,
): Promise<unknown> {
  return withProgress(io, label, (report) =>
    run({
      sequenceLength: sequence,
      seed,
      signal: io.signal,
      onBatch: ({ batch, batches }) => report({ done: batch, total: batches, text: "batches" }),
    }),
  );
}

const fittings = { maps: fitMaps, previews: fitPreviews } as const;

/**
 * Fits, where heads have them: before the steps the maps of linear heads, where their training starts; after them
 * previews, to the vectors that the trained maps make.
 */
export async function fitHeads(
  part: keyof typeof fittings,
  heads: ExitHeads,
  data: HeadSources["train"],
  recipe: HeadRecipe,
  io: Io,
): Promise<void> {
  const has = heads.heads.some(({ shape, preview }) =>
    part === "maps" ? shape.kind === "linear" : preview !== undefined,
  );
  if (!has) return;
  await fit(io, part, recipe, (options) => fittings[part](heads, data, { ...options, batchSize: recipe.batch }));
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
  recipe: HeadRecipe,
  io: Io,
): Promise<void> {
  const { project: input } = recipe;
  if (input === "none") return;
  await fit(io, "fit", recipe, (options) => fitProjections(heads, documents, { ...options, input }));
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

/** Options that determine the heads. */
export interface HeadRecipe {
  /** If `depths` is empty; 0: only the preview of the unembedding. */
  readonly exits: number;
  /** Empty: a rule places the exits. */
  readonly depths: readonly number[];
  readonly kind: "dense" | "linear";
  /** Rank of the preview of linear heads; 0: none. */
  readonly headPreview: number;
  /** Rank of the unembedding's preview, an exit after the last block; 0: none. */
  readonly preview: number;
  /** Most frequent tokens, which previews rank; 0: all. */
  readonly previewList: number;
  /** Tokens whose logits a preview computes exactly; 0: its default. */
  readonly candidates: number;
  readonly steps: number;
  readonly batch: number;
  readonly sequence: number;
  readonly lr: number;
  /** Tokens that the loss compares; 0: the whole vocabulary. */
  readonly list: number;
  /** Share of documents held out to measure on. */
  readonly heldShare: number;
  readonly measureEvery: number;
  readonly seed: number;
  /** Sampled documents; 0: text is given. */
  readonly self: number;
  readonly selfTemperature: number;
  readonly selfTokens: number;
  /** Input of predicted keys and values. */
  readonly project: ProjectionInput | "none";
  /** Dtypes of weights and cache; whether states are recorded: both change bits. */
  readonly storage: string;
  readonly cached: boolean;
}

/** Independent of the model. */
export const recipeDefaults = {
  exits: libraryDefaults.attach.exits,
  previewList: 0,
  steps: libraryDefaults.train.steps,
  batch: libraryDefaults.train.batchSize,
  sequence: libraryDefaults.train.sequenceLength,
  lr: libraryDefaults.train.learningRate,
  heldShare: 0.05,
  measureEvery: libraryDefaults.train.measureEvery,
  selfTokens: 144,
  seed: 0,
} as const satisfies Partial<HeadRecipe>;

/** Vocabulary above which the loss compares a list of tokens: all would take most of the time. */
const LARGE_VOCABULARY = 16_384;
const LISTED = 8192;

/**
 * The place of a single exit in a model with a large vocabulary, as a share of its blocks: plain models decide late.
 */
const LATE = 0.7;

/**
 * Recipe without the user's word. If the vocabulary is so large that a head would cost more than the blocks it saves,
 * it is that of the package's exits: a late head with a preview of the vocabulary, and a preview of the unembedding.
 */
export function recipeFor({ config, storedAs }: Model): HeadRecipe {
  const large = defaultKind(config) !== "dense";
  return {
    ...recipeDefaults,
    exits: Math.min(large ? 1 : recipeDefaults.exits, config.numLayers - 1),
    depths: large && config.numLayers > 1 ? [Math.max(1, Math.round(LATE * config.numLayers))] : [],
    kind: defaultKind(config),
    headPreview: large ? previewSize(config, "linear").rank : 0,
    preview: large ? previewSize(config, "preview").rank : 0,
    candidates: 0,
    sequence: Math.min(recipeDefaults.sequence, config.maxPositionEmbeddings),
    list: config.vocabSize > LARGE_VOCABULARY ? LISTED : 0,
    self: 0,
    selfTemperature: 1,
    project: "none",
    storage: storedAs,
    cached: false,
  };
}

/** Depths without the preview of the unembedding, whose states are always recorded. */
export function depthsOf({ config }: Model, { exits, depths }: HeadRecipe): readonly number[] {
  if (depths.length > 0) return depths.filter((depth) => depth < config.numLayers);
  return exits === 0 ? [] : placeExits(config.numLayers, exits);
}
