/**
 * `Model`, a backbone on a device: token ids to states to logits, for whole sequences and differentiably. Elsewhere:
 * advance.ts runs positions over a KV cache, decode/ generates text, files/ reads weights.
 */
import type { CancelSignal } from "../cancel-signal.js";
import { DeviceError, ModelError, TokenError } from "../errors.js";
import { type CacheDtype, type Device, scope, type Tensor } from "../tensor/index.js";
import type { CacheSegment, PackedBlock, Rope } from "../tensor/device.js";
import { valuesOf } from "../tensor/values-of.js";
import { add, scale } from "../tensor/ops/arithmetic.js";
import { embedding } from "../tensor/ops/embedding.js";
import {
  attendWhole,
  type CachedRows,
  type ForwardOptions,
  type KeysAndValues,
  normalize,
  packedBlock,
  project,
  runBlock,
  wholeKeys,
  type WholeRows,
} from "./block.js";
import { attentionOf, type ModelConfig } from "./config.js";
import { RotaryTables } from "./rotary.js";
import { ScreenedUnembedding, type UnembeddingKind } from "./screened-unembedding.js";
import type { Tokenizer } from "./tokenizer/tokenizer.js";
import { atOnce, type InParts } from "../turns.js";
import { allWeights, type ModelDtype, type ModelWeights } from "./weights.js";

interface ModelParts {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly tokenizer?: Tokenizer | undefined;
  readonly dtype?: ModelDtype;
  /** @default "float32" */
  readonly kvCache?: CacheDtype;
  readonly unusedTensors?: readonly string[];
  /** Hash at the time of the call. */
  readonly hash: (signal?: CancelSignal) => Promise<string>;
}

/** Dtype of weight matrices, and of the KV cache unless that is float32. */
export type StoredAs = ModelDtype | `${ModelDtype} with ${Exclude<CacheDtype, "float32">} cache`;

export function storageOf(storedAs: StoredAs): { readonly dtype: ModelDtype; readonly kvCache: CacheDtype } {
  const [dtype, , kvCache = "float32"] = storedAs.split(" ");
  return { dtype: dtype as ModelDtype, kvCache: kvCache as CacheDtype };
}

/**
 * Token ids to states [T, C] to logits [T, V].
 *
 * @example
 * ```ts
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const ids = model.tokenizer.encode("The people of the United");
 * const logits = await model.logits(ids); // [T, V], row after row
 * console.log(ids.length, logits.length / model.config.vocabSize); // 5 5
 * ```
 */
export class Model {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly dtype: ModelDtype;
  /** Storage in sequences; `forward` and `logits` have no cache. */
  readonly kvCache: CacheDtype;
  readonly unusedTensors: readonly string[];
  /** By layer, where the device runs a block in one call. */
  readonly packedBlocks: readonly (PackedBlock | undefined)[];
  readonly #tokenizer: Tokenizer | undefined;
  readonly #hash: (signal?: CancelSignal) => Promise<string>;
  /** Tables by block; equal settings share them. */
  readonly #rotary: readonly (RotaryTables | undefined)[];
  #screened: ScreenedUnembedding | undefined;
  #disposed = false;

  constructor({
    device,
    config,
    weights,
    tokenizer,
    dtype = "float32",
    kvCache = "float32",
    unusedTensors = [],
    hash,
  }: ModelParts) {
    this.device = device;
    this.config = config;
    this.weights = weights;
    this.dtype = dtype;
    this.kvCache = kvCache;
    this.unusedTensors = unusedTensors;
    this.#tokenizer = tokenizer;
    this.#hash = hash;
    this.#rotary = rotaryTables(device, config);
    this.packedBlocks = device.block ? weights.blocks.map((block) => packedBlock(block, config)) : [];
  }

  /** Throws a TokenError if the model was loaded without one. */
  get tokenizer(): Tokenizer {
    if (this.#tokenizer === undefined) {
      throw new TokenError(
        "tokenizer-missing",
        "model: it was loaded without a tokenizer (no tokenizer.json); pass one when loading, or " +
          "give token ids in place of text and read them: for await (const { id } of generate(…)), or summary.ids",
      );
    }
    return this.#tokenizer;
  }

  get hasTokenizer(): boolean {
    return this.#tokenizer !== undefined;
  }

  /** Bound to certificates beside the hash: other roundings may decide otherwise. */
  get storedAs(): StoredAs {
    return this.kvCache === "float32" ? this.dtype : `${this.dtype} with ${this.kvCache} cache`;
  }

  /**
   * SHA-256 (hexadecimal) of configuration and checkpoint, which binds heads, policies and certificates. The first call
   * reads the whole checkpoint, unless it is aborted.
   */
  hash(signal?: CancelSignal): Promise<string> {
    return this.#hash(signal);
  }

  /** `layer` is 0-based; undefined if it does not rotate. */
  rope(layer: number, length: number): Rope | undefined {
    return this.#rotary[layer]?.rope(length);
  }

  /** Throws unless ids are in the vocabulary and `time` of them fit the context. */
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
    const at = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (at >= 0) {
      const id = ids[at];
      throw new TokenError("token-range", `model: token id ${id} is outside the vocabulary [0, ${vocabSize})`, {
        id,
        vocabSize,
      });
    }
  }

  /** Settings of block `layer` (0-based) for attention over `batch` whole sequences, with their rows' positions. */
  wholeRows(layer: number, batch: number, positions: readonly number[]): WholeRows {
    const { window } = attentionOf(this.config, layer);
    const tables = this.#rotary[layer]?.tables(positions.length / batch);
    return { config: this.config, batch, positions, tables, window };
  }

  /** As `wholeRows`, for rows of cached texts, the longest of which has `length` positions. */
  cachedRows(layer: number, segments: readonly CacheSegment[], length: number): CachedRows {
    const { window } = attentionOf(this.config, layer);
    return { config: this.config, segments, rope: this.rope(layer, length), window };
  }

  /** Token ids at positions -> the states that enter block 0: [R, C]. */
  embed(ids: readonly number[], positions: readonly number[]): Tensor {
    const { embedding: table, positionEmbedding } = this.weights;
    const looked = embedding(table, ids);
    const { embeddingScale } = this.config;
    const x = embeddingScale === undefined ? looked : scale(looked, embeddingScale);
    return positionEmbedding === undefined ? x : add(x, embedding(positionEmbedding, positions));
  }

  /** Kind of search for greedy and top-k tokens, which are the same either way. */
  get unembedding(): UnembeddingKind {
    return this.#screened === undefined ? "full" : "screened";
  }

  /** Present if decoding screens. */
  get screened(): ScreenedUnembedding | undefined {
    return this.#screened;
  }

  /**
   * Makes or frees the coarse copy. Throws an OptionError ("unembedding-screened") if these weights on this device
   * cannot be screened.
   */
  setUnembedding(kind: UnembeddingKind): void {
    if (kind === this.unembedding) return;
    this.#screened?.dispose();
    this.#screened = kind === "screened" ? new ScreenedUnembedding(this.device, this.weights.unembedding) : undefined;
  }

  /** States [R, C] after the last block -> logits [R, V]. */
  unembed(x: Tensor): Tensor {
    return project(normalize(x, this.weights.finalNorm, this.config), this.weights.unembedding);
  }

  /**
   * Runs whole sequences of equal length, one after another in `ids` (B·T ids), up to `toDepth`. Returns states [B·T,
   * C] by depth where `wanted(depth)` holds; depth 0 is the embedding. Differentiable in trainable weights.
   */
  forward(ids: readonly number[], options: ForwardOptions = {}): Map<number, Tensor> {
    return atOnce(this.forwardInParts(ids, options));
  }

  /** As `forward`, block after block. */
  *forwardInParts(
    ids: readonly number[],
    {
      batch = 1,
      toDepth = this.config.numLayers,
      wanted = (depth: number) => depth === toDepth,
      skipped = () => false,
    }: ForwardOptions = {},
  ): InParts<Map<number, Tensor>> {
    const time = ids.length / batch;
    this.requireIds(ids, time);
    const positions = ids.map((_, i) => i % time);
    const states = new Map<number, Tensor>();
    let x = this.embed(ids, positions);
    // Of the last block that made some. The first block makes some, so x is only a placeholder.
    let made: KeysAndValues = { key: x, value: x };
    if (wanted(0)) states.set(0, x);
    for (let layer = 0; layer < toDepth; layer++) {
      if (skipped(layer)) {
        if (wanted(layer + 1)) states.set(layer + 1, x);
        continue;
      }
      yield;
      const block = this.weights.blocks[layer]!;
      const rows = this.wholeRows(layer, batch, positions);
      x = runBlock(x, block, this.config, (query, keyValue) => {
        if (keyValue !== undefined) made = wholeKeys(keyValue, block, rows);
        return attendWhole(query, made, rows);
      });
      if (wanted(layer + 1)) states.set(layer + 1, x);
    }
    return states;
  }

  /** T·V values, row-major. */
  async logits(ids: readonly number[]): Promise<Float32Array> {
    return valuesOf(() => this.unembed(this.forward(ids).get(this.config.numLayers)!));
  }

  /** States before the final norm: L + 1 arrays of T·C values, row-major. */
  async hiddenStates(ids: readonly number[]): Promise<Float32Array[]> {
    const states = scope(() => [...this.forward(ids, { wanted: () => true }).values()]);
    const values = await Promise.all(states.map((state) => state.read()));
    for (const state of states) state.dispose();
    return values;
  }

  /** Frees the weights, but not the device. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#screened?.dispose();
    for (const weight of allWeights(this.weights)) weight.dispose();
    for (const tables of this.#rotary) tables?.dispose();
  }
}

function rotaryTables(device: Device, config: ModelConfig): (RotaryTables | undefined)[] {
  const made = new Map<string, RotaryTables>();
  return Array.from({ length: config.numLayers }, (_, layer) => {
    const { rotary } = attentionOf(config, layer);
    if (rotary === undefined) return undefined;
    const key = JSON.stringify(rotary);
    const tables = made.get(key) ?? new RotaryTables(device, rotary);
    made.set(key, tables);
    return tables;
  });
}
