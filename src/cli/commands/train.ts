/**
 * `early-exits train`: exit heads for a frozen model, on text or on text sampled from the model itself. While it runs,
 * OUT/checkpoint holds its state (an interrupt keeps it); at the end OUT holds heads.json, heads.safetensors and
 * training.json.
 */
import { join } from "node:path";
import {
  attachHeads,
  type ExitHeads,
  fitProjections,
  type HeadKind,
  type HeadLoss,
  libraryVersion,
  type Model,
  sampleDocuments,
  trainGates,
  trainHeads,
  type TrainStep,
  type WeightDtype,
} from "../../index.js";
import {
  cachedBatches,
  frequentTokens,
  type Placement,
  type ProjectionInput,
  recordHidden,
} from "../../exits/index.js";
import { folderStore, readModel, writeFileAtomic, writeHeads } from "../../node/index.js";
import { percent, speed } from "../format.js";
import {
  breathe,
  type CommonOptions,
  InterruptedError,
  type Io,
  note,
  openDevice,
  UsageError,
  writeResult,
} from "../io.js";
import { createProgress } from "../progress.js";
import { readDocuments } from "../text-source.js";
import { hashDocuments, openRun } from "../training-run.js";

/** The options that make the run what it is. */
interface HeadRecipe {
  /** How many, or which depths. */
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
  /** What learned keys and values are made of. */
  readonly project: ProjectionInput | "none";
  /** Steps of training gates; 0: none. */
  readonly gate: number;
  /** How the heads' matrices are stored when packed. */
  readonly headDtype: WeightDtype | "model";
}

export type TrainSettings = CommonOptions & { readonly [K in keyof HeadRecipe]?: HeadRecipe[K] | undefined } & {
  readonly dir: string;
  readonly out: string;
  readonly text?: string | undefined;
  readonly cache?: string | undefined;
  readonly resume?: boolean | undefined;
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
};

export async function run(settings: TrainSettings, io: Io): Promise<void> {
  const { dir, out, text, self = 0, cache } = settings;
  if ((text === undefined) === (self === 0)) {
    throw new UsageError("train: give either --text FILE or --self N, the text to train on");
  }
  const model = await readModel(dir, {
    device: await openDevice(io, settings.device),
    ...(settings.dtype && { dtype: settings.dtype }),
  });
  const given = text === undefined ? undefined : await readDocuments(text);
  const { numLayers, maxPositionEmbeddings } = model.config;
  const training = await openRun<HeadRecipe>(io, {
    folder: join(out, "checkpoint"),
    resume: settings.resume === true,
    given: settings,
    dataHash: given?.hash ?? "sampled",
    defaults: {
      exits: Math.min(3, numLayers - 1),
      placement: "v2",
      kind: "dense",
      inner: 0,
      steps: 500,
      batch: 8,
      sequence: Math.min(128, maxPositionEmbeddings),
      lr: 1e-3,
      loss: "kl",
      temperature: 1,
      topK: 0,
      weight: 0.9,
      seed: 0,
      self: 0,
      project: "none",
      gate: 0,
      headDtype: "model",
    },
  });
  const { options } = training;
  let heads: ExitHeads | undefined;
  try {
    const documents = given?.documents ?? (await sample(model, options, io));
    const inner = options.inner > 0 ? options.inner : undefined;
    const shortlist =
      options.kind === "shortlist"
        ? await frequentTokens(model, documents, inner ?? Math.min(256, model.config.vocabSize >> 1))
        : undefined;
    heads = attachHeads(model, {
      exits: options.exits,
      placement: options.placement,
      kind: options.kind,
      seed: options.seed,
      ...(inner !== undefined && { inner }),
      ...(shortlist && { shortlist }),
      ...(options.headDtype !== "model" && { dtype: options.headDtype }),
    });
    note(io, `heads: ${options.kind} after blocks ${heads.depths.join(", ")} of ${numLayers}`);
    if (training.resumedAt > 0) note(io, `resuming after step ${training.resumedAt}`);
    const source = cache === undefined ? documents : await cached(heads, documents, options, cache, io);
    const loss: HeadLoss =
      options.loss === "kl"
        ? { kind: "kl", temperature: options.temperature, topK: options.topK }
        : { kind: "penalized", weight: options.weight };
    const curve: Pick<TrainStep, "step" | "loss" | "agreement">[] = [];
    const smooth = createSmoother();
    const progress = createProgress(io, "train");
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
      async onStep(event) {
        const { step, steps, timeLeft, tokensPerSecond } = event;
        const { loss: smoothLoss, agreement } = smooth(event);
        if (step === 1 || step === steps || step % Math.max(1, Math.round(steps / 50)) === 0) {
          curve.push({ step, loss: smoothLoss, agreement });
        }
        progress.update({
          done: step,
          total: steps,
          timeLeft,
          text:
            `loss ${smoothLoss.toFixed(3)}, ` +
            `agreement ${agreement.map((share) => percent(share)).join(" ")}, ${speed(tokensPerSecond)}`,
        });
        await breathe();
      },
    }).finally(() => progress.end());
    if (options.gate > 0) await learnGates(heads, source, options, io);
    if (options.project !== "none") await fit(heads, documents, options.project, options, io);
    await writeHeads(out, heads);
    const first = curve[0];
    const final = curve.at(-1);
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
      tokensPerSecond: last?.tokensPerSecond ?? null,
      curve,
      device: model.device.backend,
      date: new Date(io.now()).toISOString(),
      libraryVersion,
    };
    await writeFileAtomic(join(out, "training.json"), `${JSON.stringify(result, undefined, 2)}\n`);
    await training.finish();
    writeResult(io, settings, { out, ...result }, [
      `${out}: ${heads.depths.length} ${options.kind} heads after blocks ${heads.depths.join(", ")}`,
      "agreement with the full model on training " +
        `text: ${heads.depths.map((depth, i) => `depth ${depth} ${percent(first?.agreement[i])} -> ${percent(final?.agreement[i])}`).join(", ")}`,
    ]);
  } catch (error) {
    if (io.signal.aborted) {
      throw new InterruptedError(
        `train: interrupted; the state is in ${join(out, "checkpoint")}, continue with --resume`,
        { cause: error },
      );
    }
    throw error;
  } finally {
    heads?.dispose();
    model.dispose();
  }
}

/** Exponential means: single batches are noisy. */
function createSmoother(): (event: TrainStep) => { loss: number; agreement: number[] } {
  let state: { loss: number; agreement: number[] } | undefined;
  return ({ loss, agreement }) => {
    const mix = (before: number | undefined, value: number): number =>
      before === undefined ? value : 0.9 * before + 0.1 * value;
    state = { loss: mix(state?.loss, loss), agreement: agreement.map((value, i) => mix(state?.agreement[i], value)) };
    return state;
  };
}

/** Text sampled from the model: the same every time, so a resumed run trains on it again. */
async function sample(model: Model, { self, sequence, seed }: HeadRecipe, io: Io): Promise<number[][]> {
  const progress = createProgress(io, "sample");
  const documents: number[][] = [];
  try {
    for await (const document of sampleDocuments(model, { count: self, length: sequence, seed, signal: io.signal })) {
      documents.push(document);
      progress.update({ done: documents.length, total: self, text: "documents" });
      await breathe();
    }
  } finally {
    progress.end();
  }
  return documents;
}

/** Trains gates, with progress. */
async function learnGates(
  heads: ExitHeads,
  source: Parameters<typeof trainGates>[1],
  { gate, batch, sequence, seed }: HeadRecipe,
  io: Io,
): Promise<void> {
  const progress = createProgress(io, "gates");
  try {
    await trainGates(heads, source, {
      steps: gate,
      batchSize: batch,
      sequenceLength: sequence,
      seed,
      signal: io.signal,
      async onStep({ step, steps, losses }) {
        progress.update({
          done: step,
          total: steps,
          text: `cross-entropy ${losses.map((loss) => loss.toFixed(3)).join(" ")}`,
        });
        await breathe();
      },
    });
  } finally {
    progress.end();
  }
}

/** Fits keys and values of skipped blocks, with progress. */
async function fit(
  heads: ExitHeads,
  documents: readonly (string | readonly number[])[],
  input: ProjectionInput,
  { sequence, seed }: HeadRecipe,
  io: Io,
): Promise<void> {
  const progress = createProgress(io, "fit");
  try {
    await fitProjections(heads, documents, {
      input,
      sequenceLength: sequence,
      seed,
      signal: io.signal,
      async onBatch({ batch, batches }) {
        progress.update({ done: batch, total: batches, text: "batches" });
        await breathe();
      },
    });
  } finally {
    progress.end();
  }
}

/** Records the hidden states once (or finds them recorded) and reads batches from there. */
async function cached(
  heads: ExitHeads,
  documents: readonly (string | readonly number[])[],
  { batch, sequence, seed }: HeadRecipe,
  folder: string,
  io: Io,
): ReturnType<typeof cachedBatches> {
  const store = folderStore(join(folder, hashDocuments(documents).slice(0, 12)));
  const progress = createProgress(io, "record");
  try {
    await recordHidden(heads.model, documents, heads.depths, store, {
      sequenceLength: sequence,
      signal: io.signal,
      async onShard({ shard, shards, reused }) {
        progress.update({ done: shard + 1, total: shards, text: reused ? "shards (kept)" : "shards" });
        await breathe();
      },
    });
  } finally {
    progress.end();
  }
  return cachedBatches(heads.model, heads.depths, store, { rows: batch * sequence, seed });
}
