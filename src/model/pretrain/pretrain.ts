/**
 * Training a model from scratch on text: next-token cross-entropy, AdamW, warm-up and cosine, clipping. It runs
 * inference's blocks, through autograd. A step is a function of (seed, step, weights and moments), so a run resumes bit
 * for bit. Two recipes make early exits more worthwhile:
 *   supervision    loss + w·Σ_d cross-entropy of unembed(state after d blocks): shallow states learn to predict through
 *                  the unembedding ("deep supervision", Lee et al. 2015; LayerSkip's early-exit loss, Elhoushi et al.
 *                  2024)
 *   layerDropout   block l is skipped with probability p·(2^(l/(L-1)) - 1): 0 for the first, p for the last
 *                  (LayerSkip). Every micro-batch draws its own blocks; the gradients of a step's micro-batches add up
 * Documents are concatenated, each followed by the end-of-text token, and cut into windows of T + 1 tokens.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { ModelError, OptionError, requireInteger, requireNumber } from "../../errors.js";
import { allNames, requireKnown } from "../../known.js";
import { createRng, type Rng, Tensor } from "../../tensor/index.js";
import { joined } from "../../tensor/formats/bytes.js";
import { backwardInParts } from "../../tensor/autograd.js";
import { scopeInParts } from "../../tensor/tensor.js";
import { add, scale } from "../../tensor/ops/arithmetic.js";
import { crossEntropy } from "../../tensor/ops/loss.js";
import { mean } from "../../tensor/ops/reduce.js";
import { cosineSchedule } from "../../tensor/optim/optim.js";
import { runSteps, type StepProgress } from "../../tensor/optim/run-steps.js";
import { keyValueLayers, type ModelConfig } from "../config.js";
import type { Model } from "../model.js";
import { allWeights } from "../weights.js";

export interface PretrainOptions {
  /** @default 1000 */
  readonly steps?: number;
  /** Windows per step. @default 16 */
  readonly batchSize?: number;
  /** T. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** @default 3e-3 */
  readonly learningRate?: number;
  /** @default 5 % of the steps */
  readonly warmup?: number;
  /** @default 0.1 */
  readonly weightDecay?: number;
  /** @default 1 */
  readonly maxGradientNorm?: number;
  /** Windows per forward pass. @default batchSize */
  readonly microBatchSize?: number;
  /** Depths that learn to predict the next token too, and each one's weight of loss. @default none */
  readonly supervision?: Supervision;
  /** p of skipping the last block. @default 0 */
  readonly layerDropout?: number;
  /** @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
  /** A promise is awaited, so the callback can let the event loop run. */
  readonly onStep?: (event: PretrainStep) => unknown;
  readonly onCheckpoint?: (checkpoint: Uint8Array, step: number) => void | Promise<void>;
  /**
   * Steps between checkpoints, or a predicate (by the clock, before an abort); the last step is always saved. @default
   * 200
   */
  readonly checkpointEvery?: number | ((step: number) => boolean);
  readonly resume?: Uint8Array;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

interface Supervision {
  readonly depths: readonly number[];
  readonly weight: number;
}

export interface PretrainStep extends StepProgress {
  /** Loss of the batch at full depth, without dropped blocks; nats per token. */
  readonly loss: number;
}

/** Each document is followed by the end-of-text token if the model has one. */
export function tokenStream(model: Model, documents: readonly (string | readonly number[])[]): Uint32Array {
  const end = model.config.eosTokenIds.slice(0, 1);
  const parts = documents.map((document) => [
    ...(typeof document === "string" ? model.tokenizer.encode(document, { addSpecialTokens: false }) : document),
    ...end,
  ]);
  return joined(Uint32Array, parts);
}

const optionNames = allNames<PretrainOptions>()(
  "steps",
  "batchSize",
  "sequenceLength",
  "learningRate",
  "warmup",
  "weightDecay",
  "maxGradientNorm",
  "microBatchSize",
  "supervision",
  "layerDropout",
  "seed",
  "signal",
  "onStep",
  "onCheckpoint",
  "checkpointEvery",
  "resume",
  "now",
);

/**
 * Trains every weight of a model of `createModel`. `stream` comes from `tokenStream`. Returns the last step. Throws a
 * NumericsError if the loss or, with clipping, the gradient becomes NaN or infinite.
 *
 * @example
 * ```ts
 * import { createModel, pretrain } from "early-exits";
 * import { createDevice } from "early-exits/node";
 *
 * const config = { model_type: "gpt2", n_layer: 2, n_embd: 16, n_head: 2, n_positions: 32, vocab_size: 8 };
 * const model = createModel(config, { device: await createDevice("wasm") });
 * const counting = Uint32Array.from({ length: 256 }, (_, i) => i % 8);
 * const last = await pretrain(model, counting, { steps: 60, batchSize: 4, sequenceLength: 16, learningRate: 0.01 });
 * console.log(last!.loss < 0.5); // true
 * ```
 */
export async function pretrain(
  model: Model,
  stream: Uint32Array,
  options: PretrainOptions = {},
): Promise<PretrainStep | undefined> {
  requireKnown("pretrain", options, optionNames);
  const {
    steps = 1000,
    batchSize = 16,
    sequenceLength = Math.min(128, model.config.maxPositionEmbeddings),
    learningRate = 3e-3,
    warmup = Math.ceil(steps / 20),
    weightDecay = 0.1,
    maxGradientNorm = 1,
    microBatchSize = batchSize,
    supervision = { depths: [], weight: 0 },
    layerDropout = 0,
    seed = 0,
    signal,
    onStep,
    onCheckpoint,
    checkpointEvery = 200,
    resume,
    now,
  } = options;
  requireInteger("pretrain: steps", steps, 1);
  requireInteger("pretrain: batchSize", batchSize, 1);
  requireInteger("pretrain: sequenceLength", sequenceLength, 1, model.config.maxPositionEmbeddings);
  requireInteger("pretrain: microBatchSize", microBatchSize, 1, batchSize);
  if (batchSize % microBatchSize !== 0) {
    throw new OptionError(
      "option-range",
      `pretrain: a batch of ${batchSize} windows does not divide into micro-batches of ${microBatchSize}`,
      { batchSize, microBatchSize },
    );
  }
  requireNumber("pretrain: layerDropout", layerDropout, 1);
  requireNumber("pretrain: supervision.weight", supervision.weight, 1e3);
  for (const depth of supervision.depths) {
    requireInteger("pretrain: supervision.depths", depth, 1, model.config.numLayers - 1);
  }
  if (stream.length < sequenceLength + 1) {
    throw new OptionError(
      "documents-few",
      `pretrain: the text has ${stream.length} tokens, a window needs ${sequenceLength + 1}; give more text`,
      { tokens: stream.length },
    );
  }
  const tokens = batchSize * sequenceLength;
  const { last } = await runSteps({
    caller: "pretrain",
    nameOf: () => "the model",
    parameters: trainableWeights(model),
    adamw: { weightDecay, maxGradientNorm, beta2: 0.95 },
    steps,
    schedule: cosineSchedule({ learningRate, steps, warmup, final: 0.1 }),
    async gradients(step) {
      const rng = createRng(seed).fork(`step ${step}`);
      let loss = 0;
      for (let done = 0; done < batchSize; done += microBatchSize) {
        const windows = sampleWindows(stream, microBatchSize, sequenceLength, rng);
        const dropped = drawDropped(model.config, layerDropout, rng);
        const value = await microStep(model, windows, {
          batch: microBatchSize,
          share: microBatchSize / batchSize,
          supervision,
          dropped,
          signal,
        });
        loss += (value * microBatchSize) / batchSize;
      }
      return { tokens, losses: [loss] };
    },
    event: (progress, { losses: [loss] }): PretrainStep => ({ ...progress, loss: loss! }),
    onStep,
    checkpoints: {
      description: {
        format: "early-exits/pretraining",
        ...textOf({ seed, steps, batchSize, sequenceLength, learningRate, warmup, weightDecay, maxGradientNorm }),
        microBatchSize: String(microBatchSize),
        supervision: JSON.stringify(supervision),
        layerDropout: String(layerDropout),
      },
      resume,
      onCheckpoint,
      every: checkpointEvery,
    },
    signal,
    now,
  });
  return last;
}

function textOf(numbers: Readonly<Record<string, number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)]));
}

interface MicroStep {
  readonly batch: number;
  readonly share: number;
  readonly supervision: Supervision;
  readonly dropped: ReadonlySet<number>;
  readonly signal: CancelSignal | undefined;
}

/** Adds gradients to the weights' and returns the cross-entropy at full depth. */
async function microStep(
  model: Model,
  { inputs, targets }: Windows,
  { batch, share, supervision, dropped, signal }: MicroStep,
): Promise<number> {
  const last = model.config.numLayers;
  const loss = await scopeInParts(function* () {
    const states = yield* model.forwardInParts(inputs, {
      batch,
      wanted: (depth) => depth === last || supervision.depths.includes(depth),
      skipped: (layer) => dropped.has(layer),
    });
    const lossAt = (depth: number): Tensor => mean(crossEntropy(model.unembed(states.get(depth)!), targets));
    const full = lossAt(last);
    const total = supervision.depths.reduce((sum, depth) => add(sum, scale(lossAt(depth), supervision.weight)), full);
    yield* backwardInParts(scale(total, share));
    return full;
  }, signal);
  const [value] = await loss.read();
  loss.dispose();
  return value!;
}

/** Deeper blocks more often, never the first, and never the last that computes keys and values for others. */
function drawDropped(config: ModelConfig, layerDropout: number, rng: Rng): ReadonlySet<number> {
  const dropped = new Set<number>();
  if (layerDropout === 0) return dropped;
  for (let layer = 1; layer < config.numLayers; layer++) {
    const drops = rng.uniform() < layerDropout * (2 ** (layer / (config.numLayers - 1)) - 1);
    if (drops && !(config.numKvSharedLayers > 0 && layer === keyValueLayers(config) - 1)) dropped.add(layer);
  }
  return dropped;
}

interface Windows {
  readonly inputs: number[];
  readonly targets: number[];
}

function sampleWindows(stream: Uint32Array, count: number, length: number, rng: Rng): Windows {
  const inputs: number[] = [];
  const targets: number[] = [];
  for (let b = 0; b < count; b++) {
    const begin = rng.integer(stream.length - length);
    for (let t = begin; t < begin + length; t++) {
      inputs.push(stream[t]!);
      targets.push(stream[t + 1]!);
    }
  }
  return { inputs, targets };
}

function trainableWeights(model: Model): Tensor[] {
  return allWeights(model.weights).map((weight) => {
    if (weight instanceof Tensor && weight.requiresGrad) return weight;
    throw new ModelError(
      "model-frozen",
      "pretrain: the model's weights are frozen (it was loaded for inference); make it with createModel",
    );
  });
}
