/**
 * Trains learned keys and values further, after their closed-form fit (fit-projections.ts). The fit matches keys and
 * values, but what matters is their effect on the tokens that attend to them. So a random half of a window's positions
 * leave at an exit and get the learned keys and values in the blocks above. The others run all blocks of the frozen
 * model and attend to them, and the map learns to keep their distributions:
 *     minimise the mean, over the positions that stay, of KL(full model || with learned keys and values)
 * Of a document with a `from`, only positions from there on leave or count: what comes before is a prompt.
 * AdamW starts from the fitted map; the backbone and the heads do not change. Chance decides here which positions
 * leave; a policy is left out.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, PolicyError, requireInteger, requireNumber } from "../../errors.js";
import { batchWindows, type Document, markedWindows, type Model, type Window } from "../../model/index.js";
import { createRng, type Rng, Tensor } from "../../tensor/index.js";
import { backwardInParts } from "../../tensor/autograd.js";
import { scopeInParts } from "../../tensor/tensor.js";
import { add, columns, embedding, klDivergence, linear, mul, scale, sub, sum } from "../../tensor/ops/index.js";
import { cosineSchedule } from "../../tensor/optim/optim.js";
import { runSteps } from "../../tensor/optim/run-steps.js";
import {
  type ExitHead,
  type ExitHeads,
  Projection,
  type ProjectionInput,
  skippedLayers,
  unitGain,
  withoutGain,
} from "../heads/index.js";
import { rowsPerTurn } from "../../turns.js";
import type { TrainOptions } from "./train-heads.js";

export interface RefineProjectionsOptions extends Pick<
  TrainOptions,
  "steps" | "batchSize" | "sequenceLength" | "learningRate" | "warmup" | "seed" | "signal"
> {
  /** Probability that a position leaves. @default 0.5 */
  readonly share?: number;
  /** Called after every step; a promise is waited for. */
  readonly onStep?: (event: RefineStep) => unknown;
}

export interface RefineStep {
  /** Steps done, 1..steps. */
  readonly step: number;
  readonly steps: number;
  /** Mean KL over the positions that stay, in nats, of each exit that has a map. */
  readonly losses: readonly number[];
}

/** A map under training. */
interface Trained {
  readonly head: ExitHead;
  readonly input: ProjectionInput;
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/**
 * Trains `head.projection` of every head that has one. If aborted, rejects with the signal's reason; the heads then
 * keep the maps that they had.
 */
export async function refineProjections(
  heads: ExitHeads,
  documents: readonly Document[],
  options: RefineProjectionsOptions = {},
): Promise<void> {
  const { model } = heads;
  const {
    steps = 200,
    batchSize = 8,
    sequenceLength = Math.min(128, model.config.maxPositionEmbeddings),
    learningRate = 1e-3,
    warmup = Math.ceil(steps / 20),
    share = 0.5,
    seed = 0,
    signal,
    onStep,
  } = options;
  requireInteger("refineProjections: steps", steps, 1);
  requireInteger("refineProjections: batchSize", batchSize, 1);
  requireNumber("refineProjections: share", share, 0, 1, { open: true });
  const trained = await Promise.all(
    heads.heads.flatMap((head) => (head.projection === undefined ? [] : [trainable(head, head.projection)])),
  );
  if (trained.length === 0) {
    throw new PolicyError(
      "policy-fill",
      "refineProjections: no head has learned keys and values; fit them first (fitProjections)",
    );
  }
  const windows = markedWindows(model, documents, sequenceLength).flatMap(({ ids, from }): Window[] =>
    ids.length >= sequenceLength && from < sequenceLength ? [{ ids: ids.slice(0, sequenceLength), from }] : [],
  );
  if (windows.length === 0) {
    throw new OptionError(
      "documents-few",
      `refineProjections: no document fills a window of ${sequenceLength} tokens; give longer documents or a ` +
        "smaller sequenceLength",
      { sequenceLength },
    );
  }
  const schedule = cosineSchedule({ learningRate, steps, warmup });
  const rng = createRng(seed).fork("who leaves");
  const parameters = trained.flatMap(({ weight, bias }) => [weight, bias]);
  try {
    await runSteps({
      caller: "refineProjections",
      nameOf: (part) => `the keys and values learned at depth ${trained[part]!.head.depth}`,
      parameters,
      adamw: { weightDecay: 0 },
      steps,
      schedule,
      async gradients(step) {
        const chosen = batchWindows(windows, { batchSize: Math.min(batchSize, windows.length), seed, step });
        const losses: number[] = [];
        for (const map of trained) losses.push(await trainStep(model, map, chosen, { share, rng, signal }));
        return { tokens: chosen.length * sequenceLength, losses };
      },
      event: ({ step }, { losses }): RefineStep => ({ step, steps, losses }),
      onStep,
      signal,
    });
  } catch (error) {
    for (const tensor of parameters) tensor.dispose();
    throw error;
  }
  heads.thaw(); // the hash changes
  for (const { head, input, weight, bias } of trained) head.projection = new Projection(model, input, weight, bias);
}

async function trainable(head: ExitHead, { input, weight, bias }: Projection): Promise<Trained> {
  const copy = async (of: Tensor): Promise<Tensor> =>
    Tensor.from(of.device, await of.read(), of.shape, { requiresGrad: true });
  return { head, input, weight: await copy(weight), bias: await copy(bias) };
}

interface StepOptions {
  readonly share: number;
  readonly rng: Rng;
  readonly signal: CancelSignal | undefined;
}

/** Adds the gradient of one map's loss on windows of equal length, a few windows at a time. Returns the loss. */
async function trainStep(
  model: Model,
  map: Trained,
  windows: readonly Window[],
  options: StepOptions,
): Promise<number> {
  const { vocabSize, hiddenSize } = model.config;
  const { length } = windows[0]!.ids;
  const most = Math.max(1, Math.floor(rowsPerTurn(vocabSize * hiddenSize) / length));
  let loss = 0;
  for (let begin = 0; begin < windows.length; begin += most) {
    const part = windows.slice(begin, begin + most);
    loss += await trainPart(model, map, part, { ...options, weight: part.length / windows.length });
  }
  return loss;
}

/** Adds the gradient of `weight` times the mean loss of the positions that stay. Returns the weighted mean. */
async function trainPart(
  model: Model,
  map: Trained,
  windows: readonly Window[],
  { share, rng, weight, signal }: StepOptions & { readonly weight: number },
): Promise<number> {
  const ids = windows.flatMap((window) => window.ids);
  const judged = windows.flatMap(({ ids: { length }, from }, w) =>
    Array.from({ length: length - from }, (_, i) => w * length + from + i),
  );
  const leaving = new Set(judged.filter(() => rng.uniform() < share));
  const staying = judged.filter((row) => !leaving.has(row));
  if (staying.length === 0) return 0;
  const batch = windows.length;
  const { depth } = map.head;
  const { numLayers, vocabSize, hiddenSize } = model.config;
  const full = await scopeInParts(function* () {
    const wanted = (at: number): boolean => at === depth || at === numLayers;
    const states = yield* model.forwardInParts(ids, { batch, wanted });
    return { exit: states.get(depth)!, final: states.get(numLayers)! };
  }, signal);
  const input = await mapInput(model, full.exit, map.input);
  const layers = skippedLayers(model.config, depth);
  const rows = rowsPerTurn(vocabSize * hiddenSize);
  try {
    const loss = await scopeInParts(function* () {
      const made = linear(input, map.weight, { bias: map.bias }); // [R, skipped · 2·G·D]
      const left = Tensor.from(
        model.device,
        Float32Array.from(ids, (_, row) => Number(leaving.has(row))),
        [ids.length, 1],
      );
      const width = made.shape[1]! / layers.length;
      const states = yield* model.forwardInParts(ids, {
        batch,
        start: { depth, states: full.exit }, // below, nothing changes
        keyValues(layer, own) {
          const index = layers.indexOf(layer);
          return index < 0 ? own : add(own, mul(sub(columns(made, index * width, (index + 1) * width), own), left));
        },
      });
      let total: Tensor | undefined;
      for (let begin = 0; begin < staying.length; begin += rows) {
        const some = staying.slice(begin, begin + rows);
        yield;
        const teacher = model.unembed(embedding(full.final, some));
        yield;
        const divergence = sum(klDivergence(teacher, model.unembed(embedding(states.get(numLayers)!, some))));
        total = total === undefined ? divergence : add(total, divergence);
      }
      const weighted = scale(total!, weight / staying.length);
      yield* backwardInParts(weighted);
      return weighted;
    }, signal);
    const [value] = await loss.read();
    loss.dispose();
    return value!;
  } finally {
    for (const tensor of [full.exit, full.final, input]) tensor.dispose();
  }
}

/** The input of a map at states [R, C]: their norm without gain, alone or beside the states themselves. */
async function mapInput(model: Model, states: Tensor, input: ProjectionInput): Promise<Tensor> {
  const gain = unitGain(model);
  const normed = withoutGain(model, states, gain);
  gain.dispose();
  if (input === "normalized") return normed;
  const [rows, width] = states.shape as [number, number];
  const left = await normed.read();
  const right = await states.read();
  normed.dispose();
  const both = new Float32Array(2 * rows * width);
  for (let r = 0; r < rows; r++) {
    both.set(left.subarray(r * width, (r + 1) * width), 2 * r * width);
    both.set(right.subarray(r * width, (r + 1) * width), (2 * r + 1) * width);
  }
  return Tensor.from(model.device, both, [rows, 2 * width]);
}
