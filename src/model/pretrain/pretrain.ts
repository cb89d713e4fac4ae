/**
 * Training a model from scratch on text: next-token cross-entropy, AdamW, warm-up and cosine decay, clipped gradients.
 * It runs the same blocks as inference, through autograd. A step is a function of (seed, step, weights, moments), so a
 * checkpoint resumes bit for bit. Two recipes that make models suit early exits may be added, alone or together:
 *   supervision    loss + w·Σ_d cross-entropy of unembed(state after d blocks), so that shallow states learn to predict
 *                  ("deep supervision", Lee et al. 2015; LayerSkip's early-exit loss, Elhoushi et al. 2024)
 *   layerDropout   block l is skipped with probability p·(2^(l/(L-1)) - 1): 0 for the first block, p for the last
 *                  (LayerSkip); drawn anew for every micro-batch, and the micro-batches' gradients add up
 * Documents are concatenated, each followed by the end-of-text token, and cut into windows of T + 1 tokens.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { ModelError, OptionError, requireInteger, requireNumber } from "../../errors.js";
import { backward, createRng, type Rng, scope, Tensor } from "../../tensor/index.js";
import { add, crossEntropy, mean, scale } from "../../tensor/ops/index.js";
import { Adamw, cosineSchedule, restoreTraining, saveTraining } from "../../tensor/optim/index.js";
import { keyValueLayers, type ModelConfig } from "../config.js";
import type { Model } from "../model.js";
import { allWeights } from "../weights.js";

export interface PretrainOptions {
  /** @default 1000 */
  readonly steps?: number;
  /** Windows per step. @default 16 */
  readonly batchSize?: number;
  /** T, tokens per window. @default 128, or the context limit if shorter */
  readonly sequenceLength?: number;
  /** @default 3e-3 */
  readonly learningRate?: number;
  /** @default 5 % of the steps */
  readonly warmup?: number;
  /** @default 0.1 */
  readonly weightDecay?: number;
  /** @default 1 */
  readonly maxGradientNorm?: number;
  /** Windows run at once; gradients of a step's micro-batches are added. @default batchSize */
  readonly microBatchSize?: number;
  /** Depths at which the state must predict the next token too, and the weight of each such loss. @default none */
  readonly supervision?: Supervision;
  /** p: probability of skipping the last block. @default 0 */
  readonly layerDropout?: number;
  /** @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
  /** Called after every step; a promise is waited for, the moment to let the event loop run. */
  readonly onStep?: (event: PretrainStep) => unknown;
  readonly onCheckpoint?: (checkpoint: Uint8Array, step: number) => void | Promise<void>;
  /**
   * Steps between checkpoints, or whether to make one after a step (by the clock, before an abort). There is one after
   * the last step in any case. @default 200
   */
  readonly checkpointEvery?: number | ((step: number) => boolean);
  readonly resume?: Uint8Array;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

export interface Supervision {
  readonly depths: readonly number[];
  readonly weight: number;
}

export interface PretrainStep {
  readonly step: number;
  readonly steps: number;
  /** Mean cross-entropy of the batch at full depth (less the blocks dropped), nats per token. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  /** Seconds. */
  readonly timeLeft: number;
}

/** The token stream of documents, each ended by the end-of-text token where the model has one. */
export function tokenStream(model: Model, documents: readonly (string | readonly number[])[]): Uint32Array {
  const end = model.config.eosTokenIds.slice(0, 1);
  const parts = documents.map((document) => [
    ...(typeof document === "string" ? model.tokenizer.encode(document, { addSpecialTokens: false }) : document),
    ...end,
  ]);
  const stream = new Uint32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    stream.set(part, at);
    at += part.length;
  }
  return stream;
}

/** Trains every weight of a model made by `createModel`. `stream` comes from `tokenStream`. Returns the last step. */
export async function pretrain(
  model: Model,
  stream: Uint32Array,
  options: PretrainOptions = {},
): Promise<PretrainStep | undefined> {
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
    now = () => performance.now(),
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
  requireNumber("pretrain: layerDropout", layerDropout, 0, 1);
  requireNumber("pretrain: supervision.weight", supervision.weight, 0, 1e3);
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
  const parameters = trainableWeights(model);
  const optimizer = new Adamw(parameters, { weightDecay, maxGradientNorm, beta2: 0.95 });
  const schedule = cosineSchedule({ learningRate, steps, warmup, final: 0.1 });
  let last: PretrainStep | undefined;
  try {
    const run = {
      format: "early-exits/pretraining",
      ...Object.fromEntries(
        Object.entries({
          seed,
          steps,
          batchSize,
          sequenceLength,
          learningRate,
          warmup,
          weightDecay,
          maxGradientNorm,
        }).map(([name, value]) => [name, String(value)]),
      ),
      microBatchSize: String(microBatchSize),
      supervision: JSON.stringify(supervision),
      layerDropout: String(layerDropout),
    };
    if (resume !== undefined) restoreTraining(optimizer, resume, run);
    const started = now();
    const first = optimizer.steps;
    while (optimizer.steps < steps) {
      signal?.throwIfAborted();
      const step = optimizer.steps;
      const rng = createRng(seed).fork(`step ${step}`);
      let value = 0;
      for (let done = 0; done < batchSize; done += microBatchSize) {
        const windows = sampleWindows(stream, microBatchSize, sequenceLength, rng);
        const dropped = drawDropped(model.config, layerDropout, rng);
        const loss = scope(() =>
          microStep(model, windows, { batch: microBatchSize, share: microBatchSize / batchSize, supervision, dropped }),
        );
        value += ((await loss.read())[0]! * microBatchSize) / batchSize;
        loss.dispose();
      }
      const gradientNorm = await optimizer.step(schedule(step));
      const elapsed = (now() - started) / 1000;
      const done = step + 1 - first;
      last = {
        step: step + 1,
        steps,
        loss: value,
        gradientNorm,
        learningRate: schedule(step),
        tokensPerSecond: (done * batchSize * sequenceLength) / elapsed,
        timeLeft: (elapsed / done) * (steps - step - 1),
      };
      await onStep?.(last);
      const due = typeof checkpointEvery === "number" ? (step + 1) % checkpointEvery === 0 : checkpointEvery(step + 1);
      if (onCheckpoint && (due || step + 1 === steps)) await onCheckpoint(await saveTraining(optimizer, run), step + 1);
    }
  } finally {
    optimizer.dispose();
  }
  return last;
}

/**
 * Mean next-token cross-entropy over the first `windows` windows of a stream, nats per token; NaN where it is shorter
 * than one.
 */
export async function evaluateLoss(
  model: Model,
  stream: Uint32Array,
  { windows = 64, sequenceLength = Math.min(128, model.config.maxPositionEmbeddings) } = {},
): Promise<number> {
  const count = Math.min(windows, Math.floor((stream.length - 1) / sequenceLength));
  let total = count === 0 ? NaN : 0;
  for (let w = 0; w < count; w++) {
    const window = Array.from(stream.subarray(w * sequenceLength, (w + 1) * sequenceLength + 1));
    const loss = scope(() =>
      mean(
        crossEntropy(model.unembed(model.forward(window.slice(0, -1)).get(model.config.numLayers)!), window.slice(1)),
      ),
    );
    total += (await loss.read())[0]! / count;
    loss.dispose();
  }
  return total;
}

interface MicroStep {
  readonly batch: number;
  /** Of the step's windows. */
  readonly share: number;
  readonly supervision: Supervision;
  readonly dropped: ReadonlySet<number>;
}

/** Adds the gradients of a micro-batch to the weights' and returns its cross-entropy at full depth. */
function microStep(
  model: Model,
  { inputs, targets }: Windows,
  { batch, share, supervision, dropped }: MicroStep,
): Tensor {
  const last = model.config.numLayers;
  const states = model.forward(inputs, {
    batch,
    wanted: (depth) => depth === last || supervision.depths.includes(depth),
    skipped: (layer) => dropped.has(layer),
  });
  const lossAt = (depth: number): Tensor => mean(crossEntropy(model.unembed(states.get(depth)!), targets));
  const loss = lossAt(last);
  const total = supervision.depths.reduce((sum, depth) => add(sum, scale(lossAt(depth), supervision.weight)), loss);
  backward(scale(total, share));
  return loss;
}

/**
 * The blocks passed over in one micro-batch: likelier the deeper, never the first, nor the last that makes keys and
 * values for others.
 */
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
  const [inputs, targets]: [number[], number[]] = [[], []];
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
