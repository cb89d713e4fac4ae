/**
 * Self-supervised training of gates. At every position of a text, the exit's head either agrees with the frozen model
 * or not; a gate learns to predict this from the state alone, by cross-entropy and AdamW. For sampled text there is
 * more to agree about than a token: with p the full model's distribution and q the head's, after the same processors,
 *   target = 1 - TV(p, q)          loss = - target log gate - (1 - target) log(1 - gate)
 * is smallest where the gate is the expected target: the share of draws that a best coupling of p and q keeps. At
 * temperature 0 that is agreement. Train the heads first: training them further makes their gates out of date.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import {
  canonicalSampling,
  LOSS_UNIT,
  processedDistribution,
  rowOf,
  type SamplingOptions,
  totalVariation,
} from "../../model/decode/index.js";
import { backward, createRng, scope, Tensor } from "../../tensor/index.js";
import { add, crossEntropy, mul, scale, sliceRows, sum } from "../../tensor/ops/index.js";
import { cosineSchedule, runSteps } from "../../tensor/optim/index.js";
import { giveTurn } from "../../turns.js";
import {
  type BatchSource,
  batchSource,
  byParts,
  disposeBatch,
  type HiddenBatch,
  headInputs,
  outcomeOf,
  statesAt,
  wantedBy,
} from "../states/index.js";
import type { Document } from "../../model/index.js";
import { createTeacher } from "./create-teacher.js";
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
   * How tokens will be chosen. A gate for sampled text predicts 1 - TV in place of agreement. A repetition penalty
   * depends on the text so far, which states do not tell, so none is allowed. @default greedy
   */
  readonly sampling?: Omit<SamplingOptions, "repetitionPenalty">;
  /**
   * For greedy text: judge heads that use the model's unembedding on these tokens (ascending ids) in place of the whole
   * vocabulary: what a gate learns hardly changes, and a step takes a fraction of the time. @default the whole
   * vocabulary
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
    sampling,
    list: listed,
    signal,
    onStep,
  } = options;
  requireInteger("trainGates: inner", inner, 1, 2 ** 24);
  requireInteger("trainGates: steps", steps, 1);
  const settings = requireWithoutPenalty(canonicalSampling(sampling));
  const source = batchSource(model, data, wantedBy(heads.heads), options);
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
        try {
          const kept =
            settings.temperature === 0
              ? await agreement(heads, batch, { list, signal })
              : await keptDraws(heads, batch, { settings, signal });
          const losses: number[] = [];
          for (const [exit, head] of heads.heads.entries()) {
            losses.push(await trainStep(gates[exit]!, statesAt(batch, head, "trainGates"), kept[exit]!));
          }
          return { tokens: batch.rows, losses };
        } finally {
          disposeBatch(batch);
        }
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

function requireWithoutPenalty(settings: Required<SamplingOptions>): Required<SamplingOptions> {
  const { repetitionPenalty } = settings;
  if (repetitionPenalty === 1) return settings;
  throw new OptionError(
    "option-conflict",
    `trainGates: sampling: a repetition penalty of ${repetitionPenalty} depends on the text so far, which the states ` +
      "that gates read do not tell; train the gates without it",
    { repetitionPenalty },
  );
}

/** [exits][R] 1 where the head's token is the full model's, else 0. */
async function agreement(
  { model, heads }: ExitHeads,
  batch: HiddenBatch,
  { list, signal }: { readonly list: TrainingList | undefined; readonly signal: CancelSignal | undefined },
): Promise<number[][]> {
  const { argmax } = batch.outcome ?? (await outcomeOf(model, batch.final, { signal }));
  const parts = { multiplyAdds: model.config.vocabSize * model.config.hiddenSize, signal };
  const agrees: number[][] = [];
  const inputs = await headInputs(batch, heads, { caller: "trainGates", weights: "packed", signal });
  try {
    for (const [exit, head] of heads.entries()) {
      const tokens = await byParts(inputs.of[exit]!, parts, (part) => tokensOf(head, part, list));
      agrees.push(tokens.flat().map((id, r) => Number(argmax[r] === id)));
    }
  } finally {
    inputs.dispose();
  }
  return agrees;
}

/** Logits that are made distributions, which takes JavaScript some milliseconds, between two turns. */
const LOGITS_AT_ONCE = 2 ** 18;

/** [exits][R] 1 - TV of the distributions that the head and the full model are sampled by. */
async function keptDraws(
  { model, heads }: ExitHeads,
  batch: HiddenBatch,
  { settings, signal }: { readonly settings: Required<SamplingOptions>; readonly signal: CancelSignal | undefined },
): Promise<number[][]> {
  const { vocabSize, hiddenSize } = model.config;
  const kept = heads.map((): number[] => []);
  const distributions = (values: Float32Array): Float64Array[] =>
    Array.from({ length: values.length / vocabSize }, (_, r) =>
      processedDistribution(rowOf(values, r, vocabSize), [], settings),
    );
  const parts = { multiplyAdds: vocabSize * hiddenSize, most: Math.ceil(LOGITS_AT_ONCE / vocabSize), signal };
  const inputs = await headInputs(batch, heads, { caller: "trainGates", weights: "packed", signal });
  const judge = async (final: Tensor, begin: number): Promise<void> => {
    const { logits } = await createTeacher(model, final);
    const right = distributions(await logits.read());
    logits.dispose();
    for (const [exit, head] of heads.entries()) {
      await giveTurn(signal);
      const own = scope(() => head.logitsOf(sliceRows(inputs.of[exit]!, begin, begin + right.length)));
      const used = distributions(await head.readLogits(own));
      own.dispose();
      kept[exit]!.push(...used.map((q, r) => 1 - totalVariation(right[r]!, q) / LOSS_UNIT));
    }
  };
  await byParts(batch.final, parts, judge).finally(() => {
    inputs.dispose();
  });
  return kept;
}

/** Adds this batch's gradient of one gate's mean loss at states [R, C] to its weights. Returns the loss. */
async function trainStep(gate: Gate, states: Tensor, kept: readonly number[]): Promise<number> {
  const total = scope(() => {
    const loss = sum(expectedCrossEntropy(gate.trainingLogits(states), kept));
    backward(scale(loss, 1 / kept.length));
    return loss;
  });
  const [value] = await total.read();
  total.dispose();
  return value! / kept.length;
}

/** [R] The cross-entropy of logits [R, 2] with "agrees" of this probability. */
function expectedCrossEntropy(logits: Tensor, kept: readonly number[]): Tensor {
  if (kept.every((share) => share === 0 || share === 1)) return crossEntropy(logits, kept);
  const weighted = (target: number, weights: readonly number[]): Tensor =>
    mul(
      crossEntropy(
        logits,
        weights.map(() => target),
      ),
      Tensor.from(logits.device, weights, [weights.length]),
    );
  return add(
    weighted(1, kept),
    weighted(
      0,
      kept.map((share) => 1 - share),
    ),
  );
}

/** The tokens of a head at its inputs [R, C]. */
async function tokensOf(head: ExitHead, inputs: Tensor, list: TrainingList | undefined): Promise<number[]> {
  const listed = head.shape.shortlist !== undefined; // it misses tokens that the training list has
  if (list !== undefined && head.readsUnembedding && !head.isModelsOwn && !listed) {
    return list.best(scope(() => head.mappedOf(inputs)));
  }
  const logits = scope(() => head.logitsOf(inputs));
  const stats = await head.readStats(logits);
  logits.dispose();
  return Array.from({ length: inputs.shape[0]! }, (_, r) => confidenceAt(stats, r).argmax);
}
