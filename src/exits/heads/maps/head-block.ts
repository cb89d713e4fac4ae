/**
 * `HeadBlock`: the causal block of one head, and the three ways in which it runs.
 *
 *   over sequences   `write` makes the keys and values of positions as they arrive at the head's depth, whether the
 *                    head is evaluated there or not; `Sequence` holds them (its invariant says of which states they
 *                    are). `read` runs the rest of the block where the head is evaluated: its query meets keys that
 *                    are there already, those of its own position included
 *   over a window    the same two, one after the other, with a cache of its own: what a sequence with exact keys and
 *                    values gives, bit for bit. Recordings and calibration use it
 *   in training      over a window, differentiable, without a cache
 *
 * Attention is that of the model's last block: its heads, rotation and sliding window.
 */
import {
  attendCached,
  attendWhole,
  type AttentionConfig,
  attentionOf,
  type BlockWeights,
  bytesOf,
  keyValueOf,
  type Model,
  runBlock,
  type SideBlock,
  storedBytes,
  type UnitWork,
  wholeKeys,
  type WorkMeter,
  writeKeys,
} from "../../../model/index.js";
import { type CacheSegment, scope, type Tensor } from "../../../tensor/index.js";
import type { HeadWeights } from "../vocabularies/index.js";
import type { OwnBlock } from "./head-map-definition.js";

export class HeadBlock implements SideBlock {
  readonly #definition: OwnBlock;
  readonly #packed: () => HeadWeights;
  #version = 0;
  #keysWork: UnitWork | undefined;

  /** `packed` gives the head's packed weights and its constants. */
  constructor(
    readonly model: Model,
    readonly depth: number,
    definition: OwnBlock,
    packed: () => HeadWeights,
  ) {
    this.#definition = definition;
    this.#packed = packed;
  }

  get version(): number {
    return this.#version;
  }

  /** The weights are about to change: keys and values that sequences hold are of no use any more. */
  renew(): void {
    this.#version++;
    this.#keysWork = undefined;
  }

  /** How far back it attends. */
  get attention(): AttentionConfig {
    return attentionOf(this.model.config, this.#layer);
  }

  /** What making the keys and values of one position takes. Await the head's freeze() first. */
  get keysWork(): UnitWork {
    if (this.#keysWork !== undefined) return this.#keysWork;
    const weights = this.#packed();
    const { attentionNorm } = this.#definition.weights(weights);
    const entering = this.#definition.entering.reduce((sum, name) => sum + storedBytes(weights[name]!), 0);
    return (this.#keysWork = {
      multiplyAdds: this.#definition.keysCost(this.model.config),
      bytes: entering + (attentionNorm ? bytesOf(attentionNorm) : 0) + this.keysBytes(weights),
    });
  }

  /** Bytes of the weights that nothing but keys and values needs. */
  keysBytes(weights: HeadWeights): number {
    const { keyValue, keyNorm } = this.#definition.weights(weights);
    return bytesOf(keyValue!) + (keyNorm ? bytesOf(keyNorm) : 0);
  }

  write(states: Tensor, segments: readonly CacheSegment[], meter?: WorkMeter): void {
    scope(() => {
      const weights = this.#packed();
      const block = this.#definition.weights(weights);
      const entering = this.#definition.enter(states, weights, this.model);
      const rows = this.model.cachedRows(this.#layer, segments, lengthOf(segments));
      writeKeys(keyValueOf(entering, block, this.model.config), block, rows);
    });
    meter?.sideKeys?.(states.shape[0]!, this.keysWork);
  }

  /** What the block makes of states [R, C], whose keys and values are in the caches already: [R, C]. */
  read(states: Tensor, segments: readonly CacheSegment[]): Tensor {
    return scope(() => {
      const weights = this.#packed();
      const rows = this.model.cachedRows(this.#layer, segments, lengthOf(segments));
      const entering = this.#definition.enter(states, weights, this.model);
      const reading = withoutKeys(this.#definition.weights(weights));
      return runBlock(entering, reading, this.model.config, (query) => attendCached(query, rows));
    });
  }

  /** What the block makes of the states [T, C] of a whole window: [T, C]. */
  overWindow(states: Tensor): Tensor {
    const { device, config, kvCache } = this.model;
    const length = states.shape[0]!;
    const cache = device.createCache(config.numKvHeads, config.headDim, length, kvCache);
    try {
      const segments = [{ cache, positions: places(length) }];
      this.write(states, segments);
      return this.read(states, segments);
    } finally {
      device.freeCache(cache);
    }
  }

  /** As `overWindow`, by the head's trainable weights and its constants, differentiable. */
  trainingOverWindow(states: Tensor, weights: HeadWeights): Tensor {
    const block = this.#definition.weights(weights);
    const rows = this.model.wholeRows(this.#layer, 1, places(states.shape[0]!));
    const entering = this.#definition.enter(states, weights, this.model);
    return runBlock(entering, block, this.model.config, (query, keyValue) =>
      attendWhole(query, wholeKeys(keyValue!, block, rows), rows),
    );
  }

  get #layer(): number {
    return this.model.config.numLayers - 1;
  }
}

/** A block that attends to what the caches hold already. */
function withoutKeys(block: BlockWeights): BlockWeights {
  const reading: { -readonly [K in keyof BlockWeights]: BlockWeights[K] } = { ...block };
  delete reading.keyValue;
  return reading;
}

/** The number of positions up to the last row. */
function lengthOf(segments: readonly CacheSegment[]): number {
  return segments.reduce((length, { positions }) => Math.max(length, positions.at(-1)! + 1), 0);
}

function places(length: number): number[] {
  return Array.from({ length }, (_, position) => position);
}
