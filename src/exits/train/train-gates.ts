/**
 * Self-supervised training of gates. At every position of a text, the exit's head either agrees with the frozen model
 * or not; a gate learns to predict this from the state alone, by binary cross-entropy and AdamW. Train the heads first:
 * training them further makes their gates out of date.
 */
import { requireInteger } from "../../errors.js";
import { backward, createRng, scope, type Tensor } from "../../tensor/index.js";
import { crossEntropy, scale, sum } from "../../tensor/ops/index.js";
import { cosineSchedule, runSteps } from "../../tensor/optim/index.js";
import { type BatchSource, batchSource, disposeBatch, type HiddenBatch, outcomeOf, statesAt } from "../states/index.js";
import type { Document } from "../../model/index.js";
import { confidenceAt, defaultGateInner, type ExitHead, type ExitHeads, Gate } from "../heads/index.js";
import type { TrainOptions } from "./train-heads.js";
import { TrainingList } from "./training-list.js";

export interface TrainGatesOptions extends Pick<
  TrainOptions,
  "steps" | "batchSize" | "sequenceLength" | "learningRate" | "warmup" | "weightDecay" | "seed" | "signal"
> {
  /** Hidden size m of the MLP. @default a quarter of the model's */
  readonly inner?: number;
  /**
   * Judge heads that use the model's unembedding on these tokens (ascending ids) in place of the whole vocabulary: what
   * a gate learns hardly changes, and a step takes a fraction of the time. @default the whole vocabulary
   */
  readonly list?: readonly number[];
  /** Called after every step; a promise is waited for. */
  readonly onStep?: (event: GateStep) => unknown;
}

export interface GateStep {
  /** Steps done, 1..steps. */
  readonly step: number;
  readonly steps: number;
  /** Mean cross-entropy of each gate over the batch's positions, nats. */
  readonly losses: readonly number[];
}

/**
 * Trains a gate for every head, on text (documents, as strings or token ids) or on recorded states, and sets
 * `head.gate`. The model and the weights of the heads do not change. If aborted, rejects with the signal's reason; the
 * heads then keep the gates that they had.
 */
export async function trainGates(
  heads: ExitHeads,
  data: readonly Document[] | BatchSource,
  options: TrainGatesOptions = {},
): Promise<void> {
  const { model } = heads;
  const { hiddenSize } = model.config;
  const {
    inner = defaultGateInner(hiddenSize),
    steps = 500,
    learningRate = 3e-3,
    warmup = Math.ceil(steps / 20),
    weightDecay = 0.01,
    seed = 0,
    list: listed,
    signal,
    onStep,
  } = options;
  requireInteger("trainGates: inner", inner, 1, 2 ** 24);
  requireInteger("trainGates: steps", steps, 1);
  const source = batchSource(model, data, heads.depths, options);
  const schedule = cosineSchedule({ learningRate, steps, warmup });
  await heads.freeze();
  const list =
    listed !== undefined && heads.heads.some(({ readsUnembedding }) => readsUnembedding)
      ? await TrainingList.create(model, listed)
      : undefined;
  const rng = createRng(seed);
  const gates = heads.depths.map((depth) => Gate.create(model, inner, rng.fork(`gate at depth ${depth}`)));
  try {
    await runSteps({
      caller: "trainGates",
      nameOf: (part) => `the gate at depth ${heads.depths[part]!}`,
      parameters: gates.flatMap(({ weights }) => Object.values(weights)),
      adamw: { weightDecay },
      steps,
      schedule,
      async gradients(step) {
        const batch = await source.batch(step, signal);
        const { argmax } = batch.outcome ?? (await outcomeOf(model, batch.final));
        const losses: number[] = [];
        for (const [exit, head] of heads.heads.entries()) {
          losses.push(await trainStep(head, gates[exit]!, batch, { argmax, list }));
        }
        disposeBatch(batch);
        return { tokens: batch.rows, losses };
      },
      event: ({ step }, { losses }): GateStep => ({ step, steps, losses }),
      onStep,
      signal,
    });
  } catch (error) {
    for (const gate of gates) gate.dispose();
    throw error;
  } finally {
    list?.dispose();
  }
  heads.thaw(); // the hash changes
  for (const [exit, head] of heads.heads.entries()) head.gate = gates[exit];
}

/** What a gate learns from: the full model's tokens, and the list on which heads are judged, if there is one. */
interface Judgement {
  readonly argmax: Int32Array;
  readonly list: TrainingList | undefined;
}

/** Adds this batch's gradient of one gate's mean loss to its weights. Returns the loss. */
async function trainStep(head: ExitHead, gate: Gate, batch: HiddenBatch, { argmax, list }: Judgement): Promise<number> {
  const states = statesAt(batch, head, "trainGates");
  const tokens = await tokensOf(head, states, list);
  const agrees = Array.from(argmax, (id, r) => Number(tokens[r] === id));
  const total = scope(() => {
    const loss = sum(crossEntropy(gate.trainingLogits(states), agrees));
    backward(scale(loss, 1 / batch.rows));
    return loss;
  });
  const [value] = await total.read();
  total.dispose();
  return value! / batch.rows;
}

/** The tokens of a head at states [R, C]. */
async function tokensOf(head: ExitHead, states: Tensor, list: TrainingList | undefined): Promise<number[]> {
  if (list !== undefined && head.readsUnembedding && !head.isModelsOwn) {
    return list.best(scope(() => head.mapped(states)));
  }
  const logits = scope(() => head.logits(states));
  const stats = await head.readStats(logits);
  logits.dispose();
  return Array.from({ length: states.shape[0]! }, (_, r) => confidenceAt(stats, r).argmax);
}
