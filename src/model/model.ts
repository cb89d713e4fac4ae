/**
 * `Model`: a frozen backbone on a device: configuration, weights, tokenizer. It turns tokens into states and states
 * into logits; how positions move through its blocks is advance.ts, how text comes out is generate.ts.
 */
import { DeviceError, ModelError, TokenError } from "../errors.js";
import { type Device, type Rope, scope, type Tensor, type WeightDtype } from "../tensor/index.js";
import { add, causalAttention, columns, embedding, rope } from "../tensor/ops/index.js";
import { normalize, project, runBlock } from "./block.js";
import { CheckpointReader, hashCheckpoint, type TensorSource } from "./checkpoint.js";
import type { ModelConfig } from "./config.js";
import { families, readModelConfig } from "./families/index.js";
import { RotaryTables } from "./rotary.js";
import type { Tokenizer } from "./tokenizer/index.js";
import { allWeights, type ModelWeights, plannedBytes, readWeights, type WeightLayout } from "./weights.js";

export interface ModelParts {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly tokenizer?: Tokenizer | undefined;
  readonly dtype?: WeightDtype;
  /** Checkpoint tensors that no weight was made from. */
  readonly unusedTensors?: readonly string[];
  /** SHA-256 identity of the weights as they are; for frozen ones worth remembering. */
  readonly hash: () => Promise<string>;
}

/**
 * A frozen backbone on a device: configuration, weights, tokenizer. It turns token ids into states [T, C] and states
 * into logits [T, V].
 */
export class Model {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly dtype: WeightDtype;
  readonly unusedTensors: readonly string[];
  readonly #tokenizer: Tokenizer | undefined;
  readonly #hash: () => Promise<string>;
  readonly #rotary: RotaryTables | undefined;
  #disposed = false;

  constructor({ device, config, weights, tokenizer, dtype = "float32", unusedTensors = [], hash }: ModelParts) {
    this.device = device;
    this.config = config;
    this.weights = weights;
    this.dtype = dtype;
    this.unusedTensors = unusedTensors;
    this.#tokenizer = tokenizer;
    this.#hash = hash;
    this.#rotary = config.rotary && new RotaryTables(device, config.rotary);
  }

  /** Throws a TokenError where the model came without one. */
  get tokenizer(): Tokenizer {
    if (this.#tokenizer === undefined) {
      throw new TokenError(
        "tokenizer-missing",
        "model: it was loaded without a tokenizer (no tokenizer.json); pass token ids instead of text, or a " +
          "tokenizer when loading",
      );
    }
    return this.#tokenizer;
  }

  get hasTokenizer(): boolean {
    return this.#tokenizer !== undefined;
  }

  /** SHA-256 (hex) of configuration and checkpoint: heads, policies and certificates are bound to it. */
  hash(): Promise<string> {
    return this.#hash();
  }

  /** Rotary tables as kernels take them; undefined where positions are learned. */
  rope(length: number): Rope | undefined {
    return this.#rotary?.rope(length);
  }

  /** Throws unless the ids are in the vocabulary and a sequence of `time` of them fits the context. */
  requireIds(ids: readonly number[], time = ids.length): void {
    const { vocabSize, maxPositionEmbeddings } = this.config;
    if (this.#disposed) throw new DeviceError("model-disposed", "model: it was used after dispose()");
    if (!Number.isInteger(time) || time < 1) {
      throw new TokenError(
        "token-count",
        `model: ${ids.length} token ids cannot be split into sequences of equal length of at least one`,
        { ids: ids.length },
      );
    }
    if (time > maxPositionEmbeddings) {
      throw new ModelError(
        "context-overflow",
        `model: a sequence of ${time} tokens exceeds the context limit of ${maxPositionEmbeddings}`,
        { length: time, limit: maxPositionEmbeddings },
      );
    }
    const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (outside !== undefined) {
      throw new TokenError("token-range", `model: token id ${outside} is outside the vocabulary [0, ${vocabSize})`, {
        id: outside,
        vocabSize,
      });
    }
  }

  /** ids at positions -> the states entering block 0: [R, C]. */
  embed(ids: readonly number[], positions: readonly number[]): Tensor {
    const { embedding: table, positionEmbedding } = this.weights;
    const x = embedding(table, ids);
    return positionEmbedding === undefined ? x : add(x, embedding(positionEmbedding, positions));
  }

  /** States [R, C] after the last block -> logits [R, V]. */
  unembed(x: Tensor): Tensor {
    return project(normalize(x, this.weights.finalNorm, this.config), this.weights.unembedding);
  }

  /**
   * Runs whole sequences of equal length, one after another in `ids` (B·T ids), through the blocks up to `toDepth`.
   * Returns the states [B·T, C] after the embedding and after each block (index = depth) for which `wanted(depth)`
   * holds. Differentiable where weights are.
   */
  forward(
    ids: readonly number[],
    {
      batch = 1,
      toDepth = this.config.numLayers,
      wanted = (depth: number) => depth === toDepth,
      skipped = () => false,
      keyValues = (_layer, own) => own,
    }: ForwardOptions = {},
  ): Map<number, Tensor> {
    const { numHeads, numKvHeads, headDim } = this.config;
    const time = ids.length / batch;
    this.requireIds(ids, time);
    const positions = ids.map((_, i) => i % time);
    const tables = this.#rotary?.tables(time);
    const split = numKvHeads * headDim;
    const rotate = (of: Tensor, heads: number): Tensor =>
      tables === undefined ? of : rope(of, positions, tables, heads);
    const states = new Map<number, Tensor>();
    let x = this.embed(ids, positions);
    let key = x;
    let value = x; // of the last block that made some; the first block does
    if (wanted(0)) states.set(0, x);
    for (let layer = 0; layer < toDepth; layer++) {
      if (skipped(layer)) {
        if (wanted(layer + 1)) states.set(layer + 1, x);
        continue;
      }
      x = runBlock(x, this.weights.blocks[layer]!, this.config, (query, keyValue) => {
        if (keyValue !== undefined) {
          const used = keyValues(layer, keyValue);
          [key, value] = [rotate(columns(used, 0, split), numKvHeads), columns(used, split, 2 * split)];
        }
        return causalAttention(rotate(query, numHeads), key, value, { batch, heads: numHeads, kvHeads: numKvHeads });
      });
      if (wanted(layer + 1)) states.set(layer + 1, x);
    }
    return states;
  }

  /** Logits of every position of one sequence: T·V values, row-major. */
  async logits(ids: readonly number[]): Promise<Float32Array> {
    const logits = scope(() => this.unembed(this.forward(ids).get(this.config.numLayers)!));
    const values = await logits.read();
    logits.dispose();
    return values;
  }

  /**
   * States of every position after the embedding and after each block: L + 1 arrays of T·C values. Before the final
   * norm.
   */
  async hiddenStates(ids: readonly number[]): Promise<Float32Array[]> {
    const states = scope(() => [...this.forward(ids, { wanted: () => true }).values()]);
    const values = await Promise.all(states.map((state) => state.read()));
    for (const state of states) state.dispose();
    return values;
  }

  /** Frees the weights. The device lives on. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const weight of allWeights(this.weights)) weight.dispose();
    this.#rotary?.dispose();
  }
}

export interface ForwardOptions {
  /** Sequences of equal length in `ids`. @default 1 */
  readonly batch?: number;
  /** Stop after this many blocks. @default all */
  readonly toDepth?: number;
  /** Depths whose states are returned. @default the last only */
  readonly wanted?: (depth: number) => boolean;
  /**
   * Blocks (0-based) passed over, for training with layer dropout. Not the last that makes keys and values, where
   * blocks share them. @default none
   */
  readonly skipped?: (layer: number) => boolean;
  /**
   * The keys and values [B·T, 2·G·D], before rotation, that block `layer` (0-based) attends to, given its own. @default
   * its own
   */
  readonly keyValues?: (layer: number, own: Tensor) => Tensor;
}

export interface LoadModelOptions {
  readonly device: Device;
  readonly tokenizer?: Tokenizer | undefined;
  /** How matrices are stored on the device. @default "float32" */
  readonly dtype?: WeightDtype;
  /** End-of-text ids besides those of config.json. The model's hash leaves them out. */
  readonly eosTokenIds?: readonly number[];
}

/**
 * Builds a model from a parsed config.json and a source of tensors. The Node entry wraps it as `readModel(folder)`.
 * Throws a ModelError naming what is missing, does not fit, or is too large for the device ("model-too-large"), and
 * leaves nothing of it on the device.
 */
export async function loadModel(
  configJson: unknown,
  source: TensorSource,
  { device, tokenizer, dtype = "float32", eosTokenIds = [] }: LoadModelOptions,
): Promise<Model> {
  const config = readModelConfig(configJson);
  const family = families[config.modelType];
  const reader = new CheckpointReader(source, device);
  const prefix = family.prefixes.find((candidate) => reader.has(candidate + family.landmark)) ?? family.prefixes[0]!;
  const plan = family.plan(config, prefix);
  requireRoom(plan, device, dtype);
  const weights = await readWeights(reader, plan, dtype).catch((error: unknown) => {
    reader.abandon();
    throw error;
  });
  let hash: Promise<string> | undefined; // computed when first asked for
  return new Model({
    device,
    config: { ...config, eosTokenIds: [...new Set([...config.eosTokenIds, ...eosTokenIds])] },
    weights,
    tokenizer,
    dtype,
    unusedTensors: reader.unused(),
    hash: () => (hash ??= hashCheckpoint(source, config)),
  });
}

/** Before minutes are spent on reading it: a model whose matrices alone exceed the device's memory. */
function requireRoom(
  plan: WeightLayout,
  { backend, info: { memoryLimit = Infinity } }: Device,
  dtype: WeightDtype,
): void {
  const bytes = plannedBytes(plan, dtype);
  if (bytes < memoryLimit) return;
  const gigabytes = (size: number): string => `${(size / 1e9).toFixed(1)} GB`;
  const smaller = (["bfloat16", "int8"] as const).find((one) => plannedBytes(plan, one) < memoryLimit);
  throw new ModelError(
    "model-too-large",
    `loadModel: the weights take ${gigabytes(bytes)} as ${dtype}, and the memory of the ${backend} device ends ` +
      `at ${gigabytes(memoryLimit)};` +
      ` ${smaller === undefined ? "use a smaller model" : `load it with dtype: "${smaller}" (${gigabytes(plannedBytes(plan, smaller))})`}`,
    { bytes, memoryLimit, dtype },
  );
}
