/**
 * `ModelConfig`: one description for every transformer, in Hugging Face's words and camelCase. Families (families/*.ts)
 * translate config.json into it and list each weight's checkpoint tensors; everything else is written once.
 */
import { ModelError } from "../errors.js";

/** The supported `model_type`s of Hugging Face. */
export type ModelType =
  "gemma3_text" | "gpt2" | "gpt_neox" | "llama" | "mistral" | "olmo2" | "phi" | "phi3" | "qwen2" | "qwen3" | "smollm3";
export type Activation = "gelu" | "geluTanh" | "silu" | "relu";

/** Llama 3's scaling: long rotary wavelengths are stretched. */
export interface Llama3RopeScaling {
  readonly ropeType: "llama3";
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalMaxPositionEmbeddings: number;
}

/** Linear scaling: all positions are divided by `factor` (Chen et al. 2023). */
interface LinearRopeScaling {
  readonly ropeType: "linear";
  readonly factor: number;
}

/**
 * YaRN (Peng et al. 2024): frequencies of less than `betaSlow` turns within the original context are divided by
 * `factor`, those of more than `betaFast` kept, those between mixed, with bounds at whole pairs; cos and sin are
 * multiplied by `attentionFactor`.
 */
export interface YarnRopeScaling {
  readonly ropeType: "yarn";
  readonly factor: number;
  readonly attentionFactor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly originalMaxPositionEmbeddings: number;
}

/**
 * LongRoPE (Ding et al. 2024), within the original context: every frequency is divided by a factor of its own; cos and
 * sin are multiplied by `attentionFactor`. Beyond, other factors hold for all positions at once, which a KV cache rules
 * out; so the context ends there.
 */
export interface LongRopeScaling {
  readonly ropeType: "longrope";
  /** [dim / 2]. */
  readonly factors: readonly number[];
  readonly attentionFactor: number;
  readonly originalMaxPositionEmbeddings: number;
}

export interface RotaryConfig {
  /** Rotated values per head; the rest pass unchanged. Even. */
  readonly dim: number;
  readonly theta: number;
  readonly scaling?: Llama3RopeScaling | LinearRopeScaling | YarnRopeScaling | LongRopeScaling;
}

export interface AttentionConfig {
  /** Rotary positions; absent if queries and keys are not rotated. */
  readonly rotary?: RotaryConfig;
  /** Positions that one attends to, itself included; absent: all before it. */
  readonly window?: number;
}

export interface ModelConfig extends AttentionConfig {
  readonly modelType: ModelType;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** L, the number of blocks. */
  readonly numLayers: number;
  /**
   * Last blocks without keys and values of their own: they attend to those of the block before the first of them
   * (cross-layer sharing, as in YOCO and Gemma 3n). A token that exits below them leaves no gap there.
   */
  readonly numKvSharedLayers: number;
  readonly numHeads: number;
  /** Key/value heads; each serves numHeads / numKvHeads query heads. */
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  /** Context limit in tokens. */
  readonly maxPositionEmbeddings: number;
  readonly norm: "layerNorm" | "rmsNorm";
  readonly normEpsilon: number;
  readonly activation: Activation;
  /** MLP(x) = down(act(gate(x)) · up(x)) instead of down(act(up(x))). */
  readonly gatedMlp: boolean;
  /** Rotation of blocks without an entry in `layers`; absent if position embeddings are learned. */
  readonly rotary?: RotaryConfig;
  /** One entry per block, if they differ. */
  readonly layers?: readonly AttentionConfig[];
  /** Factor of the embeddings as they enter block 0. @default 1 */
  readonly embeddingScale?: number;
  /** Factor of queries, whose products with keys attention divides by √D. @default 1 */
  readonly queryScale?: number;
  /** x + attention(norm(x)) + mlp(norm(x)) instead of one after the other. */
  readonly parallelResidual: boolean;
  readonly tieWordEmbeddings: boolean;
  readonly biases: {
    readonly query: boolean;
    readonly keyValue: boolean;
    readonly attentionOut: boolean;
    readonly mlp: boolean;
  };
  readonly bosTokenId?: number;
  /** Generation stops after any of them. */
  readonly eosTokenIds: readonly number[];
}

/** `layer` is 0-based. */
export function attentionOf(config: ModelConfig, layer: number): AttentionConfig {
  return config.layers?.[layer] ?? config;
}

/** Blocks with keys and values of their own; those above attend to the last one's. */
export function keyValueLayers({
  numLayers,
  numKvSharedLayers,
}: Pick<ModelConfig, "numLayers" | "numKvSharedLayers">): number {
  return numLayers - numKvSharedLayers;
}

export function checkConfig(config: ModelConfig): ModelConfig {
  const { numHeads, numKvHeads, hiddenSize, headDim, modelType, numLayers, numKvSharedLayers } = config;
  if (numHeads % numKvHeads !== 0) {
    throw new ModelError(
      "config-heads",
      `${modelType}: ${numHeads} query heads cannot share ${numKvHeads} key/value heads evenly`,
      { numHeads, numKvHeads },
    );
  }
  if (!Number.isInteger(headDim)) {
    throw new ModelError(
      "config-heads",
      `${modelType}: hidden size ${hiddenSize} is not a multiple of ${numHeads} heads`,
      { hiddenSize, numHeads },
    );
  }
  if (numKvSharedLayers >= numLayers) {
    throw new ModelError(
      "config-shared",
      `${modelType}: ${numKvSharedLayers} of ${numLayers} blocks share keys and values, so none is left to make any; ` +
        `at most ${numLayers - 1} can share`,
      { numKvSharedLayers, numLayers },
    );
  }
  return config;
}
