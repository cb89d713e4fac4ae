/**
 * One transformer block, for every family, for training and decoding alike: attention is passed in (`attend`), over
 * whole sequences when training, over a cache when decoding. All tensors are [R, width]: R rows are positions of one or
 * of many sequences. A block that shares keys and values (numKvSharedLayers) makes none of its own: it attends to those
 * of a block below.
 *   sequential        y = x + attention(norm₁(x))    z = y + mlp(norm₂(y))
 *   parallel (NeoX)   z = x + attention(norm₁(x)) + mlp(norm₂(x)); one norm serves both in Phi
 *   post-norms        y = x + norm₁(attention(x))    z = y + norm₂(mlp(y)) in OLMo 2; Gemma 3 has four norms
 * A block has the norms that its weights have: a missing one changes nothing.
 */
import { ModelError } from "../errors.js";
import { add, mul } from "../tensor/ops/arithmetic.js";
import { causalAttention } from "../tensor/ops/attention.js";
import { columns, concatRows } from "../tensor/ops/select.js";
import { embedding } from "../tensor/ops/embedding.js";
import { gelu, geluTanh, relu, silu, swiglu } from "../tensor/ops/activation.js";
import { layerNorm, rmsNorm, rmsNormHeads } from "../tensor/ops/norm.js";
import { linear } from "../tensor/ops/matmul.js";
import { rope, type RopeTable } from "../tensor/ops/rope.js";
import { Tensor } from "../tensor/index.js";
import type { CacheSegment, Rope } from "../tensor/device.js";
import type { ModelConfig } from "./config.js";
import type { BlockWeights, LinearWeights, NormWeights } from "./weights.js";

/** How `Model.forward` runs the blocks. */
export interface ForwardOptions {
  /** Sequences of equal length in `ids`. @default 1 */
  readonly batch?: number;
  /** Number of blocks to run. @default all */
  readonly toDepth?: number;
  /** Depths whose states are returned. @default only toDepth */
  readonly wanted?: (depth: number) => boolean;
  /**
   * Blocks (0-based) to skip, for training with layer dropout. If blocks share keys and values, the last block that
   * makes some cannot be skipped. @default none
   */
  readonly skipped?: (layer: number) => boolean;
}

/**
 * query [R, H·D] before rotation, keyValue [R, 2·G·D] before the key norm and rotation -> context [R, H·D]. Without
 * keyValue, attends to those last made below.
 */
export type Attend = (query: Tensor, keyValue: Tensor | undefined) => Tensor;

/** x [R, C] -> [R, C]. */
export function runBlock(x: Tensor, weights: BlockWeights, config: ModelConfig, attend: Attend): Tensor {
  const normed = normalize(x, weights.attentionNorm, config);
  const query = normHeads(project(normed, weights.query), weights.queryNorm, config); // [R, H·D]
  const keyValue = weights.keyValue && project(normed, weights.keyValue); // [R, 2·G·D]
  const context = attend(query, keyValue); // [R, H·D]
  const attended = addTo(x, context, weights.attentionOut, weights.attentionPostNorm, config); // [R, C]
  const beside = weights.mlpNorm === undefined ? normed : x; // what a parallel MLP reads
  const mlpInput = normalize(config.parallelResidual ? beside : attended, weights.mlpNorm, config);
  const hidden = activate(project(mlpInput, weights.up), config); // [R, F]
  return addTo(attended, hidden, weights.down, weights.mlpPostNorm, config);
}

/** The residual stream [R, C] plus the (normed) projection of x onto it. */
function addTo(
  residual: Tensor,
  x: Tensor,
  weights: LinearWeights,
  postNorm: NormWeights | undefined,
  config: ModelConfig,
): Tensor {
  if (postNorm === undefined) return project(x, weights, residual);
  return add(residual, normalize(project(x, weights), postNorm, config));
}

/**
 * Keys and values [R, 2·G·D], before the key norm and rotation, of the states x [R, C] that enter a block. Throws for a
 * block that makes none.
 */
export function keyValueOf(x: Tensor, weights: BlockWeights, config: ModelConfig): Tensor {
  if (weights.keyValue === undefined) {
    throw new ModelError(
      "key-value-shared",
      "block: it makes no keys and values, but attends to those of a block below (numKvSharedLayers)",
    );
  }
  return project(normalize(x, weights.attentionNorm, config), weights.keyValue);
}

/** The model's norm: LayerNorm or RMSNorm. x itself if there is none. */
export function normalize(
  x: Tensor,
  weights: NormWeights | undefined,
  { norm, normEpsilon }: Pick<ModelConfig, "norm" | "normEpsilon">,
): Tensor {
  if (weights === undefined) return x;
  const { gain, bias } = weights;
  return norm === "layerNorm" ? layerNorm(x, gain, bias, normEpsilon) : rmsNorm(x, gain, normEpsilon);
}

/** RMSNorm of queries or keys [R, H·D]: of each head if the gain is [D], of all together if it is [H·D]. */
export function normHeads(
  x: Tensor,
  norm: NormWeights | undefined,
  { normEpsilon }: Pick<ModelConfig, "normEpsilon">,
): Tensor {
  return norm === undefined ? x : rmsNormHeads(x, norm.gain, normEpsilon);
}

/** x·Wᵀ + bias (+ residual). */
export function project(x: Tensor, { weight, bias }: LinearWeights, residual?: Tensor): Tensor {
  return linear(x, weight, { bias, residual });
}

/** act(x), or act(gate) · up if x holds both halves. */
function activate(x: Tensor, { activation, gatedMlp }: Pick<ModelConfig, "activation" | "gatedMlp">): Tensor {
  if (gatedMlp && activation === "silu") return swiglu(x); // one kernel for the usual case
  if (gatedMlp) {
    const half = x.shape[1]! / 2;
    return mul(activate(columns(x, 0, half), { activation, gatedMlp: false }), columns(x, half, 2 * half));
  }
  switch (activation) {
    case "gelu":
      return gelu(x);
    case "geluTanh":
      return geluTanh(x);
    case "silu":
      return silu(x);
    case "relu":
      return relu(x);
  }
}

/** The cached texts that the R rows of a block belong to, and how its attention reads them. */
export interface CachedRows {
  readonly config: ModelConfig;
  /** The cache of every text, and the positions of its rows. */
  readonly segments: readonly CacheSegment[];
  /** For all of these positions. */
  readonly rope: Rope | undefined;
  readonly window?: number | undefined;
}

/** Norms keys [R, G·D] if the block does that, rotates them, and writes keys and values [R, 2·G·D] to the caches. */
export function writeKeys(
  keyValue: Tensor,
  { keyNorm }: Pick<BlockWeights, "keyNorm">,
  { config, segments, rope }: CachedRows,
): void {
  const stored = keyNorm === undefined ? keyValue : withNormedKeys(keyValue, keyNorm, config);
  keyValue.device.kernels.cacheWrite(segments, stored.storage, rope);
}

function withNormedKeys(keyValue: Tensor, keyNorm: NormWeights, config: ModelConfig): Tensor {
  const [rows, width] = keyValue.shape as [number, number];
  const keys = normHeads(columns(keyValue, 0, width / 2), keyNorm, config);
  const stacked = concatRows([keys, columns(keyValue, width / 2, width)]); // [2·R, G·D]: all keys, then all values
  if (rows === 1) return stacked;
  const byRow = Array.from({ length: 2 * rows }, (_, i) => Math.floor(i / 2) + (i % 2) * rows);
  return embedding(stacked, byRow); // key and value of row 0, then of row 1, …
}

/** Queries [R, H·D] attend to all that the caches hold up to their own positions -> [R, H·D]. */
export function attendCached(query: Tensor, { config, segments, rope, window }: CachedRows): Tensor {
  const { device } = query;
  const context = device.kernels.cacheAttention(segments, query.storage, config.numHeads, rope, window);
  return new Tensor(device, context, query.shape);
}

/** Whole sequences of equal length, one after another along the rows, and how a block's attention reads them. */
export interface WholeRows {
  readonly config: ModelConfig;
  /** Sequences. */
  readonly batch: number;
  /** Place of every row in its sequence. */
  readonly positions: readonly number[];
  readonly tables: RopeTable | undefined;
  readonly window?: number | undefined;
}

/** The keys, normed and rotated, and the values that rows attend to: [R, G·D] each. */
export interface KeysAndValues {
  readonly key: Tensor;
  readonly value: Tensor;
}

/** Keys and values of a block's product [R, 2·G·D], differentiable. */
export function wholeKeys(
  keyValue: Tensor,
  { keyNorm }: Pick<BlockWeights, "keyNorm">,
  { config, positions, tables }: WholeRows,
): KeysAndValues {
  const width = keyValue.shape[1]!;
  const key = normHeads(columns(keyValue, 0, width / 2), keyNorm, config);
  return {
    key: tables === undefined ? key : rope(key, positions, tables, config.numKvHeads),
    value: columns(keyValue, width / 2, width),
  };
}

/** As `attendCached`, without a cache and differentiable. */
export function attendWhole(query: Tensor, { key, value }: KeysAndValues, rows: WholeRows): Tensor {
  const { config, batch, positions, tables, window } = rows;
  const { numHeads: heads, numKvHeads: kvHeads } = config;
  const rotated = tables === undefined ? query : rope(query, positions, tables, heads);
  return causalAttention(rotated, key, value, { batch, heads, kvHeads, window });
}
