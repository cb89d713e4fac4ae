/**
 * Models from scratch: trainable weights from a configuration, for pretraining, tests and lessons. Initialised as in
 * GPT-2: normal(0, 0.02), with the projections onto the residual stream scaled by 1/√(2L). files/serialize.ts writes
 * their checkpoint.
 */
import { createRng, type Device, type Rng, type Shape, sizeOf, Tensor } from "../tensor/index.js";
import { hashCheckpoint, memorySource } from "./checkpoint.js";
import { keyValueLayers, type ModelConfig } from "./config.js";
import { readModelConfig } from "./families/index.js";
import { Model } from "./model.js";
import { serializeModel } from "./files/index.js";
import type { Tokenizer } from "./tokenizer/index.js";
import { type BlockWeights, type LinearWeights, type ModelWeights, type NormWeights, widthsOf } from "./weights.js";

export interface CreateModelOptions {
  readonly device: Device;
  /** @default 0 */
  readonly seed?: number;
  readonly tokenizer?: Tokenizer | undefined;
}

/**
 * Creates a model with fresh trainable weights from the contents of a config.json. Its hash changes as its weights are
 * trained.
 */
export function createModel(configJson: unknown, { device, seed = 0, tokenizer }: CreateModelOptions): Model {
  const config = readModelConfig(configJson);
  const weights = initialWeights(config, device, createRng(seed));
  const model: Model = new Model({
    device,
    config,
    weights,
    tokenizer,
    hash: async () => hashCheckpoint(memorySource(await serializeModel(model)), config),
  });
  return model;
}

interface LinearOptions {
  /** @default false */
  readonly bias?: boolean;
  /** Standard deviation of the weights. @default 0.02 */
  readonly deviation?: number;
}

function initialWeights(config: ModelConfig, device: Device, rng: Rng): ModelWeights {
  const { hiddenSize: c, intermediateSize: f, vocabSize, numLayers, biases } = config;
  const { query, keyValue } = widthsOf(config);
  const residual = 0.02 / Math.sqrt(2 * numLayers);
  const tensor = (shape: Shape, value: () => number): Tensor =>
    Tensor.from(device, Float32Array.from({ length: sizeOf(shape) }, value), shape, { requiresGrad: true });
  const matrix = (n: number, k: number, deviation = 0.02): Tensor => tensor([n, k], () => rng.normal() * deviation);
  const linear = (n: number, k: number, { bias = false, deviation }: LinearOptions = {}): LinearWeights => ({
    weight: matrix(n, k, deviation),
    ...(bias && { bias: tensor([n], () => 0) }),
  });
  const norm = (): NormWeights => ({
    gain: tensor([c], () => 1),
    ...(config.norm === "layerNorm" && { bias: tensor([c], () => 0) }),
  });
  const embedding = matrix(vocabSize, c);
  return {
    embedding,
    ...(config.rotary === undefined && { positionEmbedding: matrix(config.maxPositionEmbeddings, c) }),
    blocks: Array.from({ length: numLayers }, (_, l): BlockWeights => ({
      attentionNorm: norm(),
      query: linear(query, c, { bias: biases.query }),
      ...(l < keyValueLayers(config) && { keyValue: linear(keyValue, c, { bias: biases.keyValue }) }),
      attentionOut: linear(c, query, { bias: biases.attentionOut, deviation: residual }),
      mlpNorm: norm(),
      up: linear(config.gatedMlp ? 2 * f : f, c, { bias: biases.mlp }),
      down: linear(c, f, { bias: biases.mlp, deviation: residual }),
    })),
    finalNorm: norm(),
    unembedding: config.tieWordEmbeddings ? { weight: embedding } : linear(vocabSize, c),
  };
}
