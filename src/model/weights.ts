/**
 * The weights of a transformer, the same structure for every family. Matrices are [N, K] as in y = x·Wᵀ; query and
 * key/value projections are separate products, so that keys and values of skipped blocks can be made alone. A matrix is
 * a frozen PackedMatrix (inference) or a trainable Tensor (pretraining); vectors are Tensors.
 */
import { PackedMatrix, type Tensor, type WeightDtype } from "../tensor/index.js";
import type { CheckpointReader, Part } from "./checkpoint.js";
import type { ModelConfig } from "./config.js";

export type Matrix = Tensor | PackedMatrix;

export interface LinearWeights {
  /** [N, K]. */
  readonly weight: Matrix;
  /** [N]. */
  readonly bias?: Tensor;
}

export interface NormWeights {
  /** [C]. */
  readonly gain: Tensor;
  readonly bias?: Tensor;
}

/** Weights of one block; H heads and G key/value heads of size D, C hidden size, F inner size of the MLP. */
export interface BlockWeights {
  readonly attentionNorm: NormWeights;
  /** [H·D, C]. */
  readonly query: LinearWeights;
  /**
   * [2·G·D, C], keys of all heads, then values. Absent where the block attends to those of a block below
   * (numKvSharedLayers).
   */
  readonly keyValue?: LinearWeights;
  /** [C, H·D]. */
  readonly attentionOut: LinearWeights;
  readonly mlpNorm: NormWeights;
  /** [F, C], or [2F, C] = gate then up where the MLP is gated. */
  readonly up: LinearWeights;
  /** [C, F]. */
  readonly down: LinearWeights;
}

/** All weights of a model; V vocabulary, C hidden size. */
export interface ModelWeights {
  /** [V, C]; the same object as the unembedding's weight where they are tied. */
  readonly embedding: Matrix;
  /** [maxPositionEmbeddings, C], where positions are learned. */
  readonly positionEmbedding?: Tensor;
  readonly blocks: readonly BlockWeights[];
  readonly finalNorm: NormWeights;
  /** [V, C]. */
  readonly unembedding: LinearWeights;
}

/** Where one linear layer's weight and bias come from. */
export interface LinearPlan {
  readonly weight: readonly Part[];
  readonly bias?: readonly Part[];
}

export interface NormPlan {
  readonly gain: Part;
  readonly bias?: Part;
}

/** Where every weight of a model comes from in its checkpoint; made by a family from the configuration. */
export interface WeightLayout {
  readonly embedding: Part;
  readonly positionEmbedding?: Part;
  readonly blocks: readonly {
    readonly [K in keyof BlockWeights]: BlockWeights[K] extends NormWeights
      ? NormPlan
      : K extends "keyValue"
        ? LinearPlan | undefined
        : LinearPlan;
  }[];
  readonly finalNorm: NormPlan;
  /** Left out where tied to the embedding. */
  readonly unembedding?: LinearPlan;
}

/**
 * Reads all weights that the plan names, matrices stored as `dtype`. An untied embedding is only looked up: int8 would
 * cost quality and buy nothing, so it stays bfloat16 then.
 */
export async function readWeights(
  reader: CheckpointReader,
  plan: WeightLayout,
  dtype: WeightDtype,
): Promise<ModelWeights> {
  const linear = async ({ weight, bias }: LinearPlan): Promise<LinearWeights> => ({
    weight: await reader.matrix(weight, dtype),
    ...(bias && { bias: await reader.vector(bias) }),
  });
  const norm = async ({ gain, bias }: NormPlan): Promise<NormWeights> => ({
    gain: await reader.vector([gain]),
    ...(bias && { bias: await reader.vector([bias]) }),
  });
  const tied = plan.unembedding === undefined;
  const embedding = await reader.matrix([plan.embedding], !tied && dtype === "int8" ? "bfloat16" : dtype);
  const positionEmbedding = plan.positionEmbedding && (await reader.table(plan.positionEmbedding));
  const blocks: BlockWeights[] = [];
  for (const block of plan.blocks) {
    blocks.push({
      attentionNorm: await norm(block.attentionNorm),
      query: await linear(block.query),
      ...(block.keyValue && { keyValue: await linear(block.keyValue) }),
      attentionOut: await linear(block.attentionOut),
      mlpNorm: await norm(block.mlpNorm),
      up: await linear(block.up),
      down: await linear(block.down),
    });
  }
  return {
    embedding,
    ...(positionEmbedding && { positionEmbedding }),
    blocks,
    finalNorm: await norm(plan.finalNorm),
    unembedding: plan.unembedding === undefined ? { weight: embedding } : await linear(plan.unembedding),
  };
}

/** Bytes that the matrices of a plan will take, stored as `dtype`. */
export function plannedBytes({ embedding, blocks, unembedding }: WeightLayout, dtype: WeightDtype): number {
  const matrices = [
    ...blocks.flatMap(({ query, keyValue, attentionOut, up, down }) => [query, keyValue, attentionOut, up, down]),
    unembedding,
  ];
  const parts = [embedding, ...matrices.flatMap((matrix) => matrix?.weight ?? [])];
  return (
    BYTES[dtype] *
    parts.reduce(
      (sum, { shape: [n, k], transposed, rows }) =>
        sum + (rows === undefined ? n! * k! : rows.length * (transposed ? n! : k!)),
      0,
    )
  );
}

const BYTES = { float32: 4, bfloat16: 2, int8: 1 } as const satisfies Record<WeightDtype, number>;

/** Every tensor and matrix once, in reading order: of a model, or of any part of one. */
export function allWeights(weights: ModelWeights | BlockWeights | LinearWeights | NormWeights): Matrix[] {
  const all = new Set<Matrix>();
  const visit = (value: unknown): void => {
    if (value === undefined) return;
    if (isMatrix(value)) all.add(value);
    else if (typeof value === "object" && value !== null) Object.values(value).forEach(visit);
  };
  visit(weights);
  return [...all];
}

function isMatrix(value: unknown): value is Matrix {
  return typeof value === "object" && value !== null && "device" in value && "storage" in value;
}

/** The number of stored values: parameters of the model. */
export function countParameters(weights: ModelWeights): number {
  return allWeights(weights).reduce((sum, { shape }) => sum + shape.reduce((size, axis) => size * axis, 1), 0);
}

/** What running something once, for one row, takes. */
export interface UnitWork {
  readonly multiplyAdds: number;
  /** Of weights. */
  readonly bytes: number;
}

/** Multiply-adds of the products of one row with every matrix of a part. */
export function multiplyAddsOf(weights: BlockWeights | LinearWeights): number {
  return allWeights(weights).reduce((sum, { shape }) => sum + (shape.length === 2 ? shape[0]! * shape[1]! : 0), 0);
}

/** Bytes that all weights of a part occupy, as they are stored. */
export function bytesOf(weights: BlockWeights | LinearWeights | NormWeights): number {
  return allWeights(weights).reduce((sum, weight) => sum + storedBytes(weight), 0);
}

/** Bytes of one weight as it is stored. */
export function storedBytes(weight: Matrix): number {
  return weight instanceof PackedMatrix ? weight.storage.bytes : 4 * weight.size;
}

/** Query, key/value and other expected sizes, from the configuration. */
export function widthsOf({ numHeads, numKvHeads, headDim }: ModelConfig): { query: number; keyValue: number } {
  return { query: numHeads * headDim, keyValue: 2 * numKvHeads * headDim };
}
