/**
 * Models from scratch, for pretraining, tests and lessons. Initialised as in GPT-2: normal(0, 0.02), projections onto
 * the residual stream scaled by 1/√(2L). files/serialize.ts writes their checkpoint.
 */
import { createRng, type Device, type Rng, type Shape, Tensor } from "../tensor/index.js";
import { sizeOf } from "../tensor/shape.js";
import { hashCheckpoint, memorySource } from "./checkpoint.js";
import type { ModelConfig } from "./config.js";
import { families, readModelConfig } from "./families/families.js";
import { Model } from "./model.js";
import { serializeModel } from "./files/serialize.js";
import type { Tokenizer } from "./tokenizer/tokenizer.js";
import type { BlockWeights, LinearPlan, LinearWeights, ModelWeights, NormPlan, NormWeights } from "./weights.js";

interface CreateModelOptions {
  readonly device: Device;
  /** @default 0 */
  readonly seed?: number;
  readonly tokenizer?: Tokenizer | undefined;
}

/** Creates trainable weights from the contents of a config.json. The model's hash changes with training. */
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

/** Widths of projections. */
function widthsOf({ numHeads, numKvHeads, headDim }: ModelConfig): { query: number; keyValue: number } {
  return { query: numHeads * headDim, keyValue: 2 * numKvHeads * headDim };
}

/** The family's layout says which norms and biases there are. */
function initialWeights(config: ModelConfig, device: Device, rng: Rng): ModelWeights {
  const { hiddenSize: c, intermediateSize: f, vocabSize, numLayers } = config;
  const layout = families[config.modelType].plan(config, "");
  const { query, keyValue } = widthsOf(config);
  const residual = 0.02 / Math.sqrt(2 * numLayers);
  const tensor = (shape: Shape, value: () => number): Tensor =>
    Tensor.from(device, Float32Array.from({ length: sizeOf(shape) }, value), shape, { requiresGrad: true });
  const matrix = (n: number, k: number, deviation = 0.02): Tensor => tensor([n, k], () => rng.normal() * deviation);
  const linear = ({ bias }: LinearPlan, n: number, k: number, deviation?: number): LinearWeights => ({
    weight: matrix(n, k, deviation),
    ...(bias && { bias: tensor([n], () => 0) }),
  });
  const norm = ({ gain, bias }: NormPlan): NormWeights => ({
    gain: tensor(gain.shape, () => 1),
    ...(bias && { bias: tensor(bias.shape, () => 0) }),
  });
  const embedding = matrix(vocabSize, c);
  return {
    embedding,
    ...(config.rotary === undefined && { positionEmbedding: matrix(config.maxPositionEmbeddings, c) }),
    blocks: layout.blocks.map((block): BlockWeights => ({
      ...(block.attentionNorm && { attentionNorm: norm(block.attentionNorm) }),
      query: linear(block.query, query, c),
      ...(block.queryNorm && { queryNorm: norm(block.queryNorm) }),
      ...(block.keyValue && { keyValue: linear(block.keyValue, keyValue, c) }),
      ...(block.keyNorm && { keyNorm: norm(block.keyNorm) }),
      attentionOut: linear(block.attentionOut, c, query, residual),
      ...(block.attentionPostNorm && { attentionPostNorm: norm(block.attentionPostNorm) }),
      ...(block.mlpNorm && { mlpNorm: norm(block.mlpNorm) }),
      up: linear(block.up, config.gatedMlp ? 2 * f : f, c),
      down: linear(block.down, c, f, residual),
      ...(block.mlpPostNorm && { mlpPostNorm: norm(block.mlpPostNorm) }),
    })),
    finalNorm: norm(layout.finalNorm),
    unembedding: layout.unembedding ? linear(layout.unembedding, vocabSize, c) : { weight: embedding },
  };
}
