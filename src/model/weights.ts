/**
 * Weights of a transformer, alike for every family. Matrices are [N, K] as in y = x·Wᵀ. Separate query and key/value
 * projections let keys and values of skipped blocks be computed alone. A matrix is a frozen PackedMatrix (inference) or
 * a trainable Tensor (pretraining); vectors are Tensors.
 */
import { PackedMatrix, type Tensor, type WeightDtype } from "../tensor/index.js";
import { weightDtypes } from "../tensor/device.js";
import { sizeOf } from "../tensor/shape.js";
import { type CheckpointReader, type Part, stackedShape } from "./checkpoint.js";

export type Matrix = Tensor | PackedMatrix;

/** All matrices as one WeightDtype, or each as in the file ("stored"): a GGUF file's blocks without loss. */
export type ModelDtype = WeightDtype | "stored";
export const modelDtypes = [...weightDtypes, "stored"] as const satisfies readonly ModelDtype[];

/** Dtype beside a model's own matrices, as of heads: the model's, but int8 where that is int4 or mixed. */
export function companionDtype(dtype: ModelDtype): WeightDtype {
  return dtype === "int4" || dtype === "stored" ? "int8" : dtype;
}

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

/** H heads and G key/value heads of size D, C hidden size, F inner size of the MLP. */
export interface BlockWeights {
  /** Absent if attention reads the states as they are. */
  readonly attentionNorm?: NormWeights;
  /** [H·D, C]. */
  readonly query: LinearWeights;
  /** Before rotation: a gain [D] norms each head alone, [H·D] all together. */
  readonly queryNorm?: NormWeights;
  /** [2·G·D, C], all heads' keys, then values. Absent if the block attends to a lower one's (numKvSharedLayers). */
  readonly keyValue?: LinearWeights;
  /** As queryNorm: a gain [D], or [G·D]. */
  readonly keyNorm?: NormWeights;
  /** [C, H·D]. */
  readonly attentionOut: LinearWeights;
  /** Of what attention adds to the residual stream. */
  readonly attentionPostNorm?: NormWeights;
  /** Absent if the MLP reads what attention left or, in a parallel block, read. */
  readonly mlpNorm?: NormWeights;
  /** [F, C], or [2F, C] = gate, then up, if the MLP is gated. */
  readonly up: LinearWeights;
  /** [C, F]. */
  readonly down: LinearWeights;
  /** Of what the MLP adds to the residual stream. */
  readonly mlpPostNorm?: NormWeights;
}

/** V vocabulary, C hidden size. */
export interface ModelWeights {
  /** [V, C]; if tied, the same object as the unembedding's weight. */
  readonly embedding: Matrix;
  /** [maxPositionEmbeddings, C], if positions are learned. */
  readonly positionEmbedding?: Tensor;
  readonly blocks: readonly BlockWeights[];
  readonly finalNorm: NormWeights;
  /** [V, C]. */
  readonly unembedding: LinearWeights;
}

export interface LinearPlan {
  readonly weight: readonly Part[];
  readonly bias?: readonly Part[];
}

export interface NormPlan {
  readonly gain: Part;
  readonly bias?: Part;
}

/** Parts of a block, in the order in which they are made and read. */
const blockParts = [
  "attentionNorm",
  "query",
  "queryNorm",
  "keyValue",
  "keyNorm",
  "attentionOut",
  "attentionPostNorm",
  "mlpNorm",
  "up",
  "down",
  "mlpPostNorm",
] as const satisfies readonly (keyof BlockWeights)[];
export type BlockPart = (typeof blockParts)[number];

/** Missing parts are undefined or left out. */
type BlockLayout = {
  readonly [K in keyof BlockWeights]: PlanOf<BlockWeights[K]>;
};

type PlanOf<W> = W extends LinearWeights ? LinearPlan : W extends NormWeights ? NormPlan : undefined;

/** The parts that a block has. */
export function partsOf(block: BlockLayout): (readonly [BlockPart, LinearPlan | NormPlan])[] {
  return blockParts.flatMap((name) => {
    const plan = block[name];
    return plan ? [[name, plan] as const] : [];
  });
}

/** Made by a family from the configuration. */
export interface WeightLayout {
  readonly embedding: Part;
  readonly positionEmbedding?: Part;
  readonly blocks: readonly BlockLayout[];
  readonly finalNorm: NormPlan;
  /** Absent if tied to the embedding. */
  readonly unembedding?: LinearPlan;
}

/**
 * Dtypes of the matrices with a row for each token. Beside int4, both are int8. Beside int8, an untied embedding is
 * bfloat16: it is only looked up, so int8 would cost quality without saving time.
 */
export function dtypesOutside(
  { unembedding }: Pick<WeightLayout, "unembedding">,
  dtype: ModelDtype,
): { readonly embedding: ModelDtype; readonly unembedding: ModelDtype } {
  const outside = dtype === "int4" ? "int8" : dtype;
  return { embedding: unembedding && dtype === "int8" ? "bfloat16" : outside, unembedding: outside };
}

export async function readWeights(
  reader: CheckpointReader,
  layout: WeightLayout,
  dtype: ModelDtype,
): Promise<ModelWeights> {
  const outside = dtypesOutside(layout, dtype);
  const linear = async ({ weight, bias }: LinearPlan, as: ModelDtype = dtype): Promise<LinearWeights> => ({
    weight: await reader.matrix(weight, as),
    ...(bias && { bias: await reader.vector(bias) }),
  });
  const norm = async ({ gain, bias }: NormPlan): Promise<NormWeights> => ({
    gain: await reader.vector([gain]),
    ...(bias && { bias: await reader.vector([bias]) }),
  });
  const embedding = await reader.matrix([layout.embedding], outside.embedding);
  const positionEmbedding = layout.positionEmbedding && (await reader.table(layout.positionEmbedding));
  const blocks: BlockWeights[] = [];
  for (const block of layout.blocks) {
    const made: Partial<Record<BlockPart, LinearWeights | NormWeights>> = {};
    for (const [name, plan] of partsOf(block)) made[name] = "gain" in plan ? await norm(plan) : await linear(plan);
    blocks.push(made as BlockWeights);
  }
  return {
    embedding,
    ...(positionEmbedding && { positionEmbedding }),
    blocks,
    finalNorm: await norm(layout.finalNorm),
    unembedding:
      layout.unembedding === undefined ? { weight: embedding } : await linear(layout.unembedding, outside.unembedding),
  };
}

/** Each once, in reading order. */
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

/** Parameters, tied ones once. */
export function countParameters(weights: ModelWeights): number {
  return allWeights(weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Work of one run of one row. */
export interface UnitWork {
  readonly multiplyAdds: number;
  /** Bytes of weights read. */
  readonly bytes: number;
}

/** Multiply-adds of one row. */
export function multiplyAddsOf(weights: BlockWeights | LinearWeights): number {
  return allWeights(weights).reduce((sum, { shape }) => sum + (shape.length === 2 ? shape[0]! * shape[1]! : 0), 0);
}

/** As stored. */
export function bytesOf(weights: BlockWeights | LinearWeights | NormWeights): number {
  return allWeights(weights).reduce((sum, weight) => sum + storedBytes(weight), 0);
}

export function storedBytes(weight: Matrix): number {
  return weight instanceof PackedMatrix ? weight.storage.bytes : 4 * weight.size;
}

export function plannedValues({ embedding, blocks, unembedding }: WeightLayout): number {
  const inBlocks = blocks.flatMap(partsOf).flatMap(([, plan]) => ("gain" in plan ? [] : plan.weight));
  const parts = [embedding, ...inBlocks, ...(unembedding?.weight ?? [])];
  return parts.reduce((values, part) => values + sizeOf(stackedShape([part])), 0);
}
