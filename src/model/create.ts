/**
 * Models from scratch, for pretraining, tests and lessons. Initialised as in GPT-2: normal(0, 0.02), projections onto
 * the residual stream scaled by 1/√(2L). files/serialize.ts writes their checkpoint.
 */
import { createRng, type Device, type Rng, type Shape, Tensor } from "../tensor/index.js";
import { sizeOf } from "../tensor/shape.js";
import { hashCheckpoint, memorySource, stackedShape } from "./checkpoint.js";
import type { ModelConfig } from "./config.js";
import { families, readModelConfig } from "./families/families.js";
import { Model } from "./model.js";
import { serializeModel } from "./files/serialize.js";
import type { Tokenizer } from "./tokenizer/tokenizer.js";
import {
  type BlockPart,
  type BlockWeights,
  type LinearPlan,
  type LinearWeights,
  type ModelWeights,
  type NormPlan,
  type NormWeights,
  partsOf,
} from "./weights.js";

interface CreateModelOptions {
  readonly device: Device;
  /** @default 0 */
  readonly seed?: number;
  readonly tokenizer?: Tokenizer | undefined;
}

/**
 * Creates trainable weights from the contents of a config.json. The model's hash changes with training.
 *
 * @example
 * ```ts
 * import { createModel } from "early-exits";
 * import { createDevice } from "early-exits/node";
 *
 * const config = { model_type: "gpt2", n_layer: 2, n_embd: 16, n_head: 2, n_positions: 32, vocab_size: 64 };
 * const model = createModel(config, { device: await createDevice("wasm"), seed: 1 });
 * console.log((await model.logits([1, 2, 3])).length); // 192
 * ```
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

/** The family's layout says which norms and biases there are. */
function initialWeights(config: ModelConfig, device: Device, rng: Rng): ModelWeights {
  const { hiddenSize: c, vocabSize, numLayers } = config;
  const layout = families[config.modelType].plan(config, "");
  const tensor = (shape: Shape, value: () => number): Tensor =>
    Tensor.from(device, Float32Array.from({ length: sizeOf(shape) }, value), shape, { requiresGrad: true });
  const matrix = (shape: Shape, deviation = 0.02): Tensor => tensor(shape, () => rng.normal() * deviation);
  const linear = ({ weight, bias }: LinearPlan, deviation?: number): LinearWeights => {
    const shape = stackedShape(weight);
    return { weight: matrix(shape, deviation), ...(bias && { bias: tensor([shape[0]], () => 0) }) };
  };
  const norm = ({ gain, bias }: NormPlan): NormWeights => ({
    gain: tensor(gain.shape, () => 1),
    ...(bias && { bias: tensor(bias.shape, () => 0) }),
  });
  const part = ([name, plan]: readonly [BlockPart, LinearPlan | NormPlan]) => {
    const isResidual = name === "attentionOut" || name === "down";
    const deviation = isResidual ? 0.02 / Math.sqrt(2 * numLayers) : undefined;
    return [name, "gain" in plan ? norm(plan) : linear(plan, deviation)] as const;
  };
  const embedding = matrix([vocabSize, c]);
  return {
    embedding,
    ...(config.rotary === undefined && { positionEmbedding: matrix([config.maxPositionEmbeddings, c]) }),
    blocks: layout.blocks.map((block) => Object.fromEntries(partsOf(block).map(part)) as unknown as BlockWeights),
    finalNorm: norm(layout.finalNorm),
    unembedding: layout.unembedding ? linear(layout.unembedding) : { weight: embedding },
  };
}
