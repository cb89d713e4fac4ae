/**
 * Models from scratch: trainable weights from a configuration, for pretraining, tests and lessons; and their checkpoint
 * in the Hugging Face layout of the llama family, so that what this library trains, any other can load. Initialisation
 * as in GPT-2: normal(0, 0.02), the projections onto the residual stream scaled by 1/√(2L).
 */
import { ModelError } from "../errors.js";
import { createRng, type Device, type Rng, Tensor } from "../tensor/index.js";
import { type SafetensorsDtype, serializeSafetensors } from "../tensor/formats/index.js";
import { hashCheckpoint, memorySource, type Part } from "./checkpoint.js";
import { keyValueLayers, type ModelConfig } from "./config.js";
import { families, readModelConfig } from "./families/index.js";
import { Model } from "./model.js";
import type { Tokenizer } from "./tokenizer/index.js";
import {
  type BlockWeights,
  type LinearWeights,
  type Matrix,
  type ModelWeights,
  type NormWeights,
  widthsOf,
} from "./weights.js";

export interface CreateModelOptions {
  readonly device: Device;
  /** @default 0 */
  readonly seed?: number;
  readonly tokenizer?: Tokenizer | undefined;
}

/**
 * A model with fresh trainable weights, from the contents of a config.json. Its hash follows its weights as they are
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

function initialWeights(config: ModelConfig, device: Device, rng: Rng): ModelWeights {
  const { hiddenSize: c, intermediateSize: f, vocabSize, numLayers, biases } = config;
  const { query, keyValue } = widthsOf(config);
  const residual = 0.02 / Math.sqrt(2 * numLayers);
  const tensor = (shape: readonly number[], value: () => number): Tensor =>
    Tensor.from(device, Float32Array.from({ length: shape.reduce((size, axis) => size * axis, 1) }, value), shape, {
      requiresGrad: true,
    });
  const matrix = (n: number, k: number, deviation = 0.02): Tensor => tensor([n, k], () => rng.normal() * deviation);
  const linear = (n: number, k: number, bias: boolean, deviation?: number): LinearWeights => ({
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
      query: linear(query, c, biases.query),
      ...(l < keyValueLayers(config) && { keyValue: linear(keyValue, c, biases.keyValue) }),
      attentionOut: linear(c, query, biases.attentionOut, residual),
      mlpNorm: norm(),
      up: linear(config.gatedMlp ? 2 * f : f, c, biases.mlp),
      down: linear(c, f, biases.mlp, residual),
    })),
    finalNorm: norm(),
    unembedding: config.tieWordEmbeddings ? { weight: embedding } : linear(vocabSize, c, false),
  };
}

/**
 * The weights as a safetensors file in their family's Hugging Face layout. Works from the family's own plan, read
 * backwards: every part of a weight goes to the rows of the tensor it would be loaded from.
 */
export async function serializeModel(
  model: Model,
  { dtype = "F32" }: { readonly dtype?: Extract<SafetensorsDtype, "F32" | "BF16" | "F16"> } = {},
): Promise<Uint8Array> {
  const { config, weights } = model;
  const family = families[config.modelType];
  const plan = family.plan(config, family.prefixes[0]!);
  const tensors: Record<string, { dtype: typeof dtype; shape: readonly number[]; data: Float32Array }> = {};

  const put = async (weight: Matrix, parts: Part[]): Promise<void> => {
    const values = await weight.read();
    const columns = weight.shape.length === 2 ? weight.shape[1]! : 1;
    let row = 0;
    for (const { name, shape, transposed = false, rows } of parts) {
      const target = (tensors[name] ??= {
        dtype,
        shape,
        data: new Float32Array(shape.reduce((size, axis) => size * axis, 1)),
      });
      const count = rows?.length ?? shape[transposed ? 1 : 0]!;
      for (let r = 0; r < count; r++, row++) {
        const to = rows?.[r] ?? r;
        for (let k = 0; k < columns; k++) {
          target.data[transposed ? k * shape[1]! + to : to * columns + k] = values[row * columns + k]!;
        }
      }
    }
  };
  const putLinear = async (
    { weight, bias }: LinearWeights,
    linear: { weight: readonly Part[]; bias?: readonly Part[] },
  ): Promise<void> => {
    await put(weight, [...linear.weight]);
    if (bias && linear.bias) await put(bias, [...linear.bias]);
  };
  const putNorm = async ({ gain, bias }: NormWeights, norm: { gain: Part; bias?: Part }): Promise<void> => {
    await put(gain, [norm.gain]);
    if (bias && norm.bias) await put(bias, [norm.bias]);
  };

  await put(weights.embedding, [plan.embedding]);
  if (weights.positionEmbedding && plan.positionEmbedding) {
    await put(weights.positionEmbedding, [plan.positionEmbedding]);
  }
  for (const [l, block] of weights.blocks.entries()) {
    const at = plan.blocks[l]!;
    await putNorm(block.attentionNorm, at.attentionNorm);
    await putNorm(block.mlpNorm, at.mlpNorm);
    for (const name of ["query", "keyValue", "attentionOut", "up", "down"] as const) {
      const linear = block[name];
      const to = at[name];
      if (linear && to) await putLinear(linear, to);
    }
  }
  await putNorm(weights.finalNorm, plan.finalNorm);
  if (plan.unembedding) await putLinear(weights.unembedding, plan.unembedding);
  return serializeSafetensors(tensors, { format: "pt" });
}

/** The config.json that `loadModel` reads back into the same configuration (llama family). */
export function llamaConfigJson(
  config: Pick<
    ModelConfig,
    | "vocabSize"
    | "hiddenSize"
    | "numLayers"
    | "numHeads"
    | "numKvHeads"
    | "intermediateSize"
    | "maxPositionEmbeddings"
    | "tieWordEmbeddings"
    | "bosTokenId"
    | "eosTokenIds"
  > & { readonly numKvSharedLayers?: number; readonly torchDtype?: string },
): Record<string, unknown> {
  if (config.hiddenSize % config.numHeads !== 0) {
    throw new ModelError(
      "config-heads",
      `llama: hidden size ${config.hiddenSize} is not a multiple of ${config.numHeads} heads`,
    );
  }
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKvHeads,
    head_dim: config.hiddenSize / config.numHeads,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxPositionEmbeddings,
    hidden_act: "silu",
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: config.tieWordEmbeddings,
    attention_bias: false,
    mlp_bias: false,
    ...(config.numKvSharedLayers !== undefined &&
      config.numKvSharedLayers > 0 && { num_kv_shared_layers: config.numKvSharedLayers }),
    ...(config.bosTokenId !== undefined && { bos_token_id: config.bosTokenId }),
    eos_token_id: config.eosTokenIds[0] ?? null,
    torch_dtype: config.torchDtype ?? "float32",
  };
}
