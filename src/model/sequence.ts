/**
 * The run state of one text: tokens, each position's blocks run (its depth, f(s) in the literature), states of
 * positions that stopped early (`hidden`, h(s)), and every block's KV cache. Invariant: keys and values of block l are
 * present at position s exactly if l < depthOf(s) (blocks that share them have none). With the `lazy` fill they, and
 * the kept states, equal those of a fresh full forward pass, bit for bit.
 */
import { ModelError, TokenError } from "../errors.js";
import { type CacheDtype, scope, type Tensor } from "../tensor/index.js";
import { keep } from "../tensor/tensor.js";
import type { CacheStorage } from "../tensor/device.js";
import { concatRows, sliceRows } from "../tensor/ops/select.js";
import { keyValueLayers, type ModelConfig } from "./config.js";
import type { Model } from "./model.js";

/** One row of a batch, which is freed once no position needs it. */
interface KeptRow {
  readonly batch: KeptBatch;
  readonly row: number;
  readonly depth: number;
  /** Where the position stopped before. */
  readonly earlier?: KeptRow | undefined;
}

/** Positions that use it have a row each. */
interface KeptBatch {
  readonly states: Tensor;
  users: number;
}

interface CloneOptions {
  /** Copied positions. @default all */
  readonly length?: number;
  /** Room at first, in positions. @default as many as the original */
  readonly capacity?: number;
}

export class Sequence {
  readonly model: Model;
  readonly ids: number[] = [];
  /**
   * From this position on, states of finished positions are kept while tokens are appended, and all at which `advance`
   * stopped; `truncate` ends that.
   */
  heldFrom = Infinity;
  #draft: number | undefined;
  readonly #depths: number[] = [];
  readonly #states: (KeptRow | undefined)[] = [];
  /** Per block that makes keys and values. */
  #caches: CacheStorage[];
  #capacity: number;

  /** `capacity`: positions with room at first; it grows up to the context limit. */
  constructor(model: Model, capacity = 64) {
    this.model = model;
    this.#capacity = Math.min(capacity, model.config.maxPositionEmbeddings);
    this.#caches = this.#createCaches(this.#capacity);
  }

  get length(): number {
    return this.ids.length;
  }

  /** The token of `runAlong`. */
  get draft(): number | undefined {
    return this.#draft;
  }

  /** Positions, a draft's included. */
  get rows(): number {
    return this.#depths.length;
  }

  /** Bytes for as many positions as there is room now. */
  get cacheBytes(): number {
    return this.#caches.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Blocks run at a position, 0..L. */
  depthOf(position: number): number {
    return this.#depths[position]!;
  }

  /**
   * Adds tokens at depth 0, and frees states of finished positions before `heldFrom`. Throws if an id is outside the
   * vocabulary or the context limit is exceeded.
   */
  append(...ids: readonly number[]): void {
    const { vocabSize, maxPositionEmbeddings, numLayers } = this.model.config;
    if (this.length + ids.length > maxPositionEmbeddings) {
      throw new ModelError(
        "context-overflow",
        `sequence: ${this.length} + ${ids.length} tokens exceed the context limit of ${maxPositionEmbeddings}; ` +
          "shorten the prompt or maxNewTokens",
        { length: this.length + ids.length, limit: maxPositionEmbeddings },
      );
    }
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new TokenError("token-range", `sequence: token id ${id} is outside the vocabulary [0, ${vocabSize})`, {
          id,
          vocabSize,
        });
      }
    }
    this.#reserve(this.length + ids.length);
    if (ids[0] !== this.#draft) this.#forgetDraft();
    this.#draft = undefined;
    for (let s = this.length - 1; s >= 0 && this.#states[s] !== undefined; s--) {
      if (this.depthOf(s) === numLayers && s < this.heldFrom) this.#release(s);
    }
    this.ids.push(...ids);
    while (this.rows < this.length) {
      this.#depths.push(0);
      this.#states.push(undefined);
    }
  }

  /** A token that may follow the last one: its position runs along, and is there already if `append` adds it. */
  runAlong(id: number): void {
    this.append(id);
    this.ids.pop();
    this.#draft = id;
  }

  /** States [R, C] that positions [begin, end) stopped at, each the output of block depthOf(position). */
  hidden(begin: number, end = begin + 1): Tensor {
    const { batch, row, rows } = this.#run(begin, end);
    if (rows === end - begin) return sliceRows(batch.states, row, row + rows);
    return scope(() => {
      const parts: Tensor[] = [];
      for (let position = begin; position < end;) {
        const { batch, row, rows } = this.#run(position, end);
        parts.push(sliceRows(batch.states, row, row + rows));
        position += rows;
      }
      return concatRows(parts);
    });
  }

  /** State [1, C] of a position after `depth` blocks. Stops before the last are kept from `heldFrom` on. */
  stoppedAt(position: number, depth: number): Tensor {
    let kept: KeptRow | undefined = this.#kept(position);
    while (kept !== undefined && kept.depth !== depth) kept = kept.earlier;
    if (kept === undefined) throw stateMissing(position);
    return sliceRows(kept.batch.states, kept.row, kept.row + 1);
  }

  /** The batch whose rows from `firstRow` are these positions' states, in order; undefined if none is. */
  batchOf(positions: readonly number[], firstRow: number): Tensor | undefined {
    const batch = this.#states[positions[0]!]?.batch;
    const kept = positions.every((s, i) => this.#states[s]?.batch === batch && this.#states[s]?.row === firstRow + i);
    return kept ? batch?.states : undefined;
  }

  /** Positions, a draft's included, that have run fewer than `depth` blocks, in increasing order. */
  pending(depth: number): number[] {
    // Depths never increase with the position, because a position that goes deep takes all before it along: the pending
    // ones are the last.
    let first = this.rows;
    while (first > 0 && this.depthOf(first - 1) < depth) first--;
    const positions: number[] = [];
    for (let s = first; s < this.rows; s++) positions.push(s);
    return positions;
  }

  /** Tokens from the beginning that have run this many blocks. */
  lengthAt(depth: number): number {
    return Math.min(this.length, this.rows - this.pending(depth).length);
  }

  /** Own or shared keys and values of block `layer` (0-based). */
  cache(layer: number): CacheStorage {
    return this.#caches[Math.min(layer, keyValueLayers(this.model.config) - 1)]!;
  }

  /** Rows of a batch from `firstRow` are the states of `positions` after `depth` blocks. */
  settle(positions: readonly number[], depth: number, batch: KeptBatch, firstRow: number): void {
    positions.forEach((position, index) => {
      if (position < this.heldFrom) this.#release(position);
      this.#depths[position] = depth;
      this.#states[position] = { batch, row: firstRow + index, depth, earlier: this.#states[position] };
      batch.users++;
    });
  }

  /** Marks a position whose keys and values were filled without running all blocks. */
  complete(position: number): void {
    this.#release(position);
    this.#depths[position] = this.model.config.numLayers;
  }

  truncate(length: number): void {
    this.heldFrom = Infinity;
    this.ids.length = Math.min(this.ids.length, length);
    this.#forgetDraft();
  }

  /** An independent copy of the first positions, including keys, values and states. */
  clone({ length = this.length, capacity = this.#capacity }: CloneOptions = {}): Sequence {
    const copy = new Sequence(this.model, Math.max(length, capacity));
    copy.ids.push(...this.ids.slice(0, length));
    copy.#depths.push(...this.#depths.slice(0, length));
    this.#states.slice(0, length).forEach((kept) => {
      if (kept !== undefined) kept.batch.users++;
      copy.#states.push(kept && { ...kept, earlier: undefined });
    });
    this.#caches.forEach((cache, layer) => this.model.device.copyCache(cache, copy.#caches[layer]!, length));
    return copy;
  }

  dispose(): void {
    this.truncate(0);
    for (const cache of this.#caches) this.model.device.freeCache(cache);
    this.#caches = [];
  }

  #kept(position: number): KeptRow {
    const kept = this.#states[position];
    if (kept === undefined) throw stateMissing(position);
    return kept;
  }

  /** Positions from `position` up to `end` with states in adjacent rows of one batch. */
  #run(position: number, end: number): Pick<KeptRow, "batch" | "row"> & { readonly rows: number } {
    const { batch, row } = this.#kept(position);
    let rows = 1;
    while (
      position + rows < end &&
      this.#states[position + rows]?.batch === batch &&
      this.#states[position + rows]?.row === row + rows
    ) {
      rows++;
    }
    return { batch, row, rows };
  }

  #release(position: number): void {
    for (let kept = this.#states[position]; kept !== undefined; kept = kept.earlier) {
      if (--kept.batch.users === 0) kept.batch.states.dispose();
    }
    this.#states[position] = undefined;
  }

  /** Cuts what is kept of positions beyond the text. */
  #forgetDraft(): void {
    this.#draft = undefined;
    for (let s = this.length; s < this.rows; s++) this.#release(s);
    this.#depths.length = this.length;
    this.#states.length = this.length;
  }

  #reserve(length: number): void {
    if (length <= this.#capacity) return;
    const capacity = Math.min(this.model.config.maxPositionEmbeddings, Math.max(length, 2 * this.#capacity));
    const grown = this.#createCaches(capacity);
    grown.forEach((cache, layer) => {
      this.model.device.copyCache(this.#caches[layer]!, cache, this.#capacity);
      this.model.device.freeCache(this.#caches[layer]!);
    });
    this.#caches = grown;
    this.#capacity = capacity;
  }

  /** All or, if they do not fit, none. */
  #createCaches(capacity: number): CacheStorage[] {
    const { device, config, kvCache } = this.model;
    const caches: CacheStorage[] = [];
    try {
      while (caches.length < keyValueLayers(config)) {
        caches.push(device.createCache(config.numKvHeads, config.headDim, capacity, kvCache));
      }
    } catch (error) {
      for (const cache of caches) device.freeCache(cache);
      throw error;
    }
    return caches;
  }
}

function stateMissing(position: number): ModelError {
  return new ModelError(
    "state-missing",
    `sequence: position ${position} has no kept state; advance it first, and read it before appending tokens`,
    { position },
  );
}

/** Bytes of one position; int8 has a scale for each key and value. */
export function blockCacheBytes(
  { numKvHeads, headDim }: Pick<ModelConfig, "numKvHeads" | "headDim">,
  dtype: CacheDtype,
): number {
  return 2 * numKvHeads * { float32: 4 * headDim, bfloat16: 2 * headDim, int8: headDim + 4 }[dtype];
}

/** Bytes in all blocks that make keys and values. */
export function cacheBytesPerPosition(config: ModelConfig, dtype: CacheDtype): number {
  return keyValueLayers(config) * blockCacheBytes(config, dtype);
}

/** Batch for `Sequence.settle`; lives until no position uses it. */
export function keptBatch(states: Tensor): KeptBatch {
  return { states: keep(states), users: 0 };
}
