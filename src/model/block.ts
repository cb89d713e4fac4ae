/**
 * One transformer block for every family. Attention is passed in (`attend`): over whole sequences in training, over a
 * cache in decoding. Tensors are [R, width], rows being positions of one or many sequences. A block that shares keys
 * and values (numKvSharedLayers) attends to those of a block below.
 *   sequential        y = x + attention(norm₁(x))    z = y + mlp(norm₂(y))
 *   parallel (NeoX)   z = x + attention(norm₁(x)) + mlp(norm₂(x)); one norm serves both in Phi
 *   post-norms        y = x + norm₁(attention(x))    z = y + norm₂(mlp(y)) in OLMo 2; Gemma 3 has four norms
 * A block has the norms that its weights have: a missing one changes nothing.
 */
import { ModelError } from "../errors.js";
import { add, mul, scale } from "../tensor/ops/arithmetic.js";
import { causalAttention } from "../tensor/ops/attention.js";
import { columns, concatRows } from "../tensor/ops/select.js";
import { embedding } from "../tensor/ops/embedding.js";
import { gelu, geluTanh, relu, silu, swiglu } from "../tensor/ops/activation.js";
import { layerNorm, rmsNorm, rmsNormHeads } from "../tensor/ops/norm.js";
import { linear } from "../tensor/ops/matmul.js";
import { rope, type RopeTable } from "../tensor/ops/rope.js";
import { PackedMatrix, Tensor } from "../tensor/index.js";
import type { CachedTexts, PackedBlock, PackedLinear } from "../tensor/device.js";
import type { ModelConfig } from "./config.js";
import type { BlockWeights, LinearWeights, NormWeights } from "./weights.js";

export interface ForwardOptions {
  /** Sequences of equal length in `ids`. @default 1 */
  readonly batch?: number;
  /** Blocks to run. @default all */
  readonly toDepth?: number;
  /** Depths whose states are returned. @default only toDepth */
  readonly wanted?: (depth: number) => boolean;
  /**
   * Blocks (0-based) to skip in layer dropout. If blocks share keys and values, the last that makes some cannot be
   * skipped. @default none
   */
  readonly skipped?: (layer: number) => boolean;
}

/**
 * query [R, H·D] before rotation, keyValue [R, 2·G·D] before the key norm and rotation -> context [R, H·D]. Without
 * keyValue, attends to those last made below.
 */
type Attend = (query: Tensor, keyValue: Tensor | undefined) => Tensor;

/** x [R, C] -> [R, C]. */
export function runBlock(x: Tensor, weights: BlockWeights, config: ModelConfig, attend: Attend): Tensor {
  const normed = normalize(x, weights.attentionNorm, config);
  const queries = normHeads(project(normed, weights.query), weights.queryNorm, config); // [R, H·D]
  const query = config.queryScale === undefined ? queries : scale(queries, config.queryScale);
  const keyValue = weights.keyValue && project(normed, weights.keyValue); // [R, 2·G·D]
  const context = attend(query, keyValue); // [R, H·D]
  const attended = addTo(x, context, weights.attentionOut, weights.attentionPostNorm, config); // [R, C]
  const beside = weights.mlpNorm === undefined ? normed : x; // what a parallel MLP reads
  const mlpInput = normalize(config.parallelResidual ? beside : attended, weights.mlpNorm, config);
  const hidden = activate(project(mlpInput, weights.up), config); // [R, F]
  return addTo(attended, hidden, weights.down, weights.mlpPostNorm, config);
}

/** What a device needs to run the block in one call; undefined if it has other parts, or weights that are trained. */
export function packedBlock(weights: BlockWeights, config: ModelConfig): PackedBlock | undefined {
  const { attentionNorm, query, keyValue, attentionOut, mlpNorm, up, down, ...others } = weights;
  const { norm, activation, gatedMlp, parallelResidual, queryScale, numHeads: heads, normEpsilon: epsilon } = config;
  const usual = norm === "rmsNorm" && activation === "silu" && gatedMlp && !parallelResidual;
  const more = queryScale !== undefined || Object.keys(others).length > 0;
  const packed = [query, attentionOut, up, down, keyValue ?? query].every((l) => l.weight instanceof PackedMatrix);
  if (!usual || more || !packed || !attentionNorm || !mlpNorm) return undefined;
  return {
    heads,
    epsilon,
    attentionNorm: attentionNorm.gain.storage,
    query: storagesOf(query),
    keyValue: keyValue && storagesOf(keyValue),
    attentionOut: storagesOf(attentionOut),
    mlpNorm: mlpNorm.gain.storage,
    up: storagesOf(up),
    down: storagesOf(down),
  };
}

function storagesOf({ weight, bias }: LinearWeights): PackedLinear {
  return { weight: (weight as PackedMatrix).storage, bias: bias?.storage };
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

/** x itself if there is no norm. */
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

export interface CachedRows extends CachedTexts {
  readonly config: ModelConfig;
}

/** Norms (if the block does) and rotates keys [R, G·D], and writes keys and values [R, 2·G·D] to the caches. */
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

/** Queries [R, H·D] attend to the caches up to their own positions -> [R, H·D]. */
export function attendCached(query: Tensor, { config, segments, rope, window }: CachedRows): Tensor {
  const { device } = query;
  const context = device.kernels.cacheAttention(segments, query.storage, config.numHeads, rope, window);
  return new Tensor(device, context, query.shape);
}

/** Whole sequences of equal length, one after another along the rows. */
export interface WholeRows {
  readonly config: ModelConfig;
  /** Sequences. */
  readonly batch: number;
  readonly positions: readonly number[];
  readonly tables: RopeTable | undefined;
  readonly window?: number | undefined;
}

/** Keys, normed and rotated, and values: [R, G·D] each. */
export interface KeysAndValues {
  readonly key: Tensor;
  readonly value: Tensor;
}

/** Makes them from a block's product [R, 2·G·D]; differentiable. */
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
