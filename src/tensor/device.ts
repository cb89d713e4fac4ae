/**
 * The contract between tensors and the machine that computes them. A device owns memory (`Storage`) and kernels.
 *
 * Rules that every device keeps:
 * - Kernels are dispatched synchronously and return new storage; only `read` waits. (A GPU may still be computing.)
 * - Matrices are row-major. A kernel adds in an order that does not depend on how many rows are computed together, so k
 *   rows computed at once have the same bits as one by one. (`info` says if a device cannot promise this.)
 * - Argmax ties go to the lowest index. The caller (`ops/*`) has checked the shapes; kernels trust their arguments.
 *
 * Legend: R rows, N columns, K inner size, H query heads, G key/value heads, D head size, T time. Long because it lists
 * every kernel.
 */

import type { StoredDtype } from "./formats/stored.js";
import type { IntegerRows } from "./integer-rows.js";

/** `length` float32 elements, opaque outside the device that made it. */
export interface Storage {
  readonly length: number;
}

/** A matrix [rows, columns] laid out for products x·Wᵀ; frozen once filled. */
export interface PackedStorage {
  readonly rows: number;
  readonly columns: number;
  readonly dtype: PackedDtype;
  /** Read once per product. */
  readonly bytes: number;
}

/** A copy [rows, columns] in eight bits a weight, with an error bound for every row; see `Screening`. */
export interface CoarseStorage {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
}

/** Keys and values of one block and sequence, for `capacity` positions, with D = headDim values per key/value head. */
export interface CacheStorage {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly capacity: number;
  readonly dtype: CacheDtype;
  readonly bytes: number;
}

/**
 * Storage of a frozen weight matrix: int8 with a scale per group of 32 along k, int4 with a scale and a minimum. Sums
 * are at least float32, or exact integers within a group. Beside integer weights, activations are rounded to 7 (int8)
 * or 8 bits (int4), groups of large values to 14 or 16 (reference/integer-products.ts).
 */
export const weightDtypes = ["float32", "bfloat16", "int8", "int4"] as const;
export type WeightDtype = (typeof weightDtypes)[number];
/** Files alone have int4 with float32 instead of float16 scales and minimums, or with minimums of -8 scales. */
export type PackedDtype = WeightDtype | "int4-floats" | "int4-centred";
/**
 * Storage of keys and values. Attention computes in float32 on the rounded values: bfloat16 rounds to nearest,
 * ties to even; int8 has one symmetric scale per position and key/value head.
 */
export const cacheDtypes = ["float32", "bfloat16", "int8"] as const;
export type CacheDtype = (typeof cacheDtypes)[number];
export type Backend = "reference" | "wasm" | "gpu";
export type BinaryOp = "add" | "sub" | "mul";
export type UnaryOp = "gelu" | "geluTanh" | "silu" | "relu";

/**
 * Rotary tables: cos and sin, each [positions, rotaryDim / 2]. Pairs are (i, i + rotaryDim / 2), "half-split" as in
 * Hugging Face.
 */
export interface Rope {
  readonly cos: Storage;
  readonly sin: Storage;
  readonly rotaryDim: number;
}

/** Rows of one sequence: row i of the segment is at position `positions[i]` of `cache`. */
export interface CacheSegment {
  readonly cache: CacheStorage;
  readonly positions: readonly number[];
}

/** Rows of several texts, one after another. */
export interface CachedTexts {
  readonly segments: readonly CacheSegment[];
  /** For all positions. */
  readonly rope: Rope | undefined;
  /** @default all positions before a row's own */
  readonly window?: number | undefined;
}

export interface PackedLinear {
  readonly weight: PackedStorage;
  readonly bias: Storage | undefined;
}

/** A sequential block as most models have it: two RMS norms and a SiLU-gated MLP; see src/model/block.ts. */
export interface PackedBlock {
  readonly heads: number;
  readonly epsilon: number;
  readonly attentionNorm: Storage;
  readonly query: PackedLinear;
  /** Absent if it attends to a lower block's. */
  readonly keyValue: PackedLinear | undefined;
  readonly attentionOut: PackedLinear;
  readonly mlpNorm: Storage;
  readonly up: PackedLinear;
  readonly down: PackedLinear;
}

/** x [R, C] -> [R, C], with the bits of the kernels one by one; writes the rows' keys and values. */
export type BlockKernel = (x: Storage, weights: PackedBlock, texts: CachedTexts) => Storage;

export interface AttentionDims {
  readonly batch: number;
  readonly time: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Each position sees at most this many, itself included. @default all before it */
  readonly window?: number | undefined;
}

export interface MatmulDims {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

interface AdamwStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 1 - beta1^t and 1 - beta2^t for step t = 1, 2, … */
  readonly correction1: number;
  readonly correction2: number;
  /** Applied to the gradient first (clipping). */
  readonly gradientScale: number;
}

/** Columns of `rowStats`. */
export const ROW_STATS = { argmax: 0, top1: 1, top2: 2, logSumExp: 3, entropy: 4, width: 5 } as const;

// Kernels. Sizes are in elements.

export interface ProductKernels {
  /** op(a) [m, k] x op(b) [k, n] -> [m, n]. A transposed operand is stored [k, m] or [n, k]. */
  matmul(a: Storage, b: Storage, dims: MatmulDims): Storage;
  /** x [R, K] · Wᵀ + bias [N] + residual [R, N] -> [R, N]. Bit for bit, a row depends on its own row of x only. */
  linear(
    x: Storage,
    weight: PackedStorage,
    rows: number,
    bias: Storage | undefined,
    residual: Storage | undefined,
  ): Storage;
  linearBackward(dy: Storage, weight: PackedStorage, rows: number): Storage;
}

/** Broadcasting is by strides (0 repeats) over the result's `shape`. */
export interface ElementwiseKernels {
  binary(
    op: BinaryOp,
    a: Storage,
    b: Storage,
    shape: readonly number[],
    aStrides: readonly number[],
    bStrides: readonly number[],
  ): Storage;
  scale(x: Storage, factor: number): Storage;
  unary(op: UnaryOp, x: Storage): Storage;
  unaryBackward(op: UnaryOp, x: Storage, dy: Storage): Storage;
  /** [R, 2F] -> [R, F]: silu(left half) * right half. */
  swiglu(x: Storage, rows: number, width: number): Storage;
  swigluBackward(x: Storage, dy: Storage, rows: number, width: number): Storage;
}

export interface MovementKernels {
  /** Sums `x` of shape `from` over the axes where `to` has size 1 (same rank). */
  sumTo(x: Storage, from: readonly number[], to: readonly number[]): Storage;
  columns(x: Storage, rows: number, width: number, begin: number, end: number): Storage;
  /** dy [R, end - begin] inside zeros [R, N]. */
  columnsBackward(dy: Storage, rows: number, width: number, begin: number, end: number): Storage;
  slice(x: Storage, begin: number, end: number): Storage;
  concat(parts: readonly Storage[]): Storage;
  /** Rows `ids` of table [.., width] -> [ids.length, width]. */
  gather(table: Storage, ids: ArrayLike<number>, width: number): Storage;
  /** Rows of dy added into zeros [rows, width]. */
  scatterAdd(dy: Storage, ids: ArrayLike<number>, rows: number, width: number): Storage;
  /** x [R, N], ids [R, k] -> [R, k]: x[r, ids[r, i]]. */
  takeAlongRows(x: Storage, ids: ArrayLike<number>, rows: number, width: number, k: number): Storage;
  takeAlongRowsBackward(dy: Storage, ids: ArrayLike<number>, rows: number, width: number, k: number): Storage;
  /** -> [1]. */
  sumSquares(x: Storage): Storage;
}

type OfRows = (x: Storage, rows: number, width: number) => Storage;
type GradientOfRows = (y: Storage, dy: Storage, rows: number, width: number) => Storage;

/** Over rows [R, N]. */
export interface RowKernels {
  softmax: OfRows;
  /** From y = softmax(x): y * (dy - sum(dy * y)). */
  softmaxBackward: GradientOfRows;
  logSoftmax: OfRows;
  /** From y = logSoftmax(x): dy - exp(y) * sum(dy). */
  logSoftmaxBackward: GradientOfRows;
  /** argmax, the two largest logits, log-sum-exp and entropy (nats) of every row -> [R, 5]; see ROW_STATS. */
  rowStats: OfRows;
  /** argmax and largest of every row, and a number that is finite only if all values are: [R, 3]. */
  rowArgmax: OfRows;
  layerNorm(
    x: Storage,
    gain: Storage,
    bias: Storage | undefined,
    rows: number,
    width: number,
    epsilon: number,
  ): Storage;
  layerNormBackward(
    x: Storage,
    gain: Storage,
    dy: Storage,
    rows: number,
    width: number,
    epsilon: number,
  ): { dx: Storage; dGain: Storage; dBias: Storage };
  rmsNorm(x: Storage, gain: Storage, rows: number, width: number, epsilon: number): Storage;
  rmsNormBackward(
    x: Storage,
    gain: Storage,
    dy: Storage,
    rows: number,
    width: number,
    epsilon: number,
  ): { dx: Storage; dGain: Storage };
}

/** One value per row; a negative target masks its row (loss 0, gradient 0). */
export interface LossKernels {
  crossEntropy(logits: Storage, targets: ArrayLike<number>, rows: number, width: number): Storage;
  crossEntropyBackward(
    logits: Storage,
    targets: ArrayLike<number>,
    dLoss: Storage,
    rows: number,
    width: number,
  ): Storage;
  /** KL(softmax(teacher / temperature) || softmax(student / temperature)) -> [R]. */
  kl(teacher: Storage, student: Storage, rows: number, width: number, temperature: number): Storage;
  klBackward(
    teacher: Storage,
    student: Storage,
    dLoss: Storage,
    rows: number,
    width: number,
    temperature: number,
  ): Storage;
}

export interface AttentionKernels {
  /** Rotates x [R, heads, D]; row r is at positions[r]. `inverse` rotates back (the gradient). */
  rope(x: Storage, positions: ArrayLike<number>, rope: Rope, heads: number, headDim: number, inverse: boolean): Storage;
  /** Causal attention: q [B, T, H, D], k and v [B, T, G, D] -> [B, T, H, D], scores scaled by 1/sqrt(D). */
  attention(q: Storage, k: Storage, v: Storage, dims: AttentionDims): Storage;
  attentionBackward(
    q: Storage,
    k: Storage,
    v: Storage,
    dy: Storage,
    dims: AttentionDims,
  ): { dq: Storage; dk: Storage; dv: Storage };
  /** Rotates the keys of kv [R, 2·G·D] (keys, then values) and stores both; the segments' rows follow one another. */
  cacheWrite(segments: readonly CacheSegment[], kv: Storage, rope: Rope | undefined): void;
  /** Rotates q [R, H·D]; each row attends to cached positions from 0, or the last `window`, to its own -> [R, H·D]. */
  cacheAttention(
    segments: readonly CacheSegment[],
    q: Storage,
    heads: number,
    rope: Rope | undefined,
    window?: number,
  ): Storage;
}

export interface Kernels
  extends ProductKernels, ElementwiseKernels, MovementKernels, RowKernels, LossKernels, AttentionKernels {
  gatherPacked(table: PackedStorage, ids: ArrayLike<number>): Storage;
  /** One AdamW step with decoupled weight decay; changes param, m and v in place. */
  adamw(param: Storage, gradient: Storage, m: Storage, v: Storage, step: AdamwStep): void;
}

/** [R, N] each, bounds included, for what `linear` computes. */
export interface ProductBounds {
  readonly lower: Storage;
  readonly upper: Storage;
}

/**
 * Products bounded from a coarse copy of the weight, to learn which entries can be the largest from a part of the
 * bytes. The bounds are proved, rounding included, for any state.
 */
export interface Screening {
  /**
   * Entries `ids` of x [K] · Wᵀ + bias [N] -> [ids.length], with the bits of `linear`, without reading much of the
   * others.
   */
  linearAt(x: Storage, weight: PackedStorage, ids: ArrayLike<number>, bias: Storage | undefined): Storage;
  /** Bytes of weights that `linearAt` reads. */
  bytesAt(weight: PackedStorage, ids: ArrayLike<number>): number;
  /**
   * A coarse copy of a weight and its bias. Undefined if `linear` has no proved bound for its dtype (int8: it would
   * save nothing), or if a weight is not finite or exceeds 1e30.
   */
  createCoarse(weight: PackedStorage, bias?: Storage): CoarseStorage | undefined;
  /** Bounds of x [R, K] · Wᵀ + bias; undefined if a product might overflow or a state is not finite. */
  bounds(x: Storage, coarse: CoarseStorage, rows: number): ProductBounds | undefined;
  /**
   * For row `row` of bounds [R, width], ascending: all entries that may be among the `count` largest, ties included.
   * Undefined if there are more than `capacity`.
   */
  mayBeLargest(
    bounds: ProductBounds,
    row: number,
    search: { readonly width: number; readonly count: number; readonly capacity: number },
  ): readonly number[] | undefined;
  freeCoarse(coarse: CoarseStorage): void;
  /**
   * Positions of the `count` largest of row `row` of x [R, width], ascending; of equal values the first. Of a row with
   * NaN any.
   */
  largest(x: Storage, row: number, search: { readonly width: number; readonly count: number }): readonly number[];
  /** coarse[begin + ids[i]] + W[ids[i]] · x -> [ids.length], with W and x as ops/nibble-rows.ts makes them. */
  addNibbleRows(coarse: Storage, begin: number, weight: Storage, x: Float32Array, ids: ArrayLike<number>): Storage;
}

export interface DeviceInfo {
  readonly description: string;
  readonly threads: number;
  /** k rows computed together have the same bits as one by one. */
  readonly batchIndependent: boolean;
  /** Other builds may round differently. Absent if the backend has none. */
  readonly kernelBuild?: string;
  /** A dot product of bytes is one instruction: a second row of int8 takes a fifth of the first, not half or more. */
  readonly byteDots?: boolean;
  /** Most bytes of its memory, if fixed: a model that needs more is refused before it is read. */
  readonly memoryLimit?: number;
}

/** Rows of a tensor as files store it. */
export interface StoredRows {
  readonly bytes: Uint8Array;
  readonly type: StoredDtype;
  /** To the matrix's dtype, a WeightDtype; otherwise they are stored without loss. */
  readonly rounds: boolean;
}

export interface Device {
  /** The one that runs, not the one requested. */
  readonly backend: Backend;
  readonly info: DeviceInfo;
  readonly kernels: Kernels;
  /** Absent where it would save nothing. */
  readonly block?: BlockKernel;
  /** Absent if entries of a product cannot be left out. */
  readonly screening?: Screening;
  upload(data: ArrayLike<number>): Storage;
  read(storage: Storage): Promise<Float32Array>;
  /** Overwrites storage of the same length (restoring a checkpoint). */
  write(storage: Storage, data: ArrayLike<number>): void;
  free(storage: Storage): void;
  /** An empty matrix; fill it with `packRows`, in any chunks of whole rows, before use. */
  createPacked(rows: number, columns: number, dtype: PackedDtype): PackedStorage;
  /** Rounds rows to the matrix's dtype, a WeightDtype. */
  packRows(packed: PackedStorage, firstRow: number, data: Float32Array): void;
  /** Stores rows of integers in an int8 or int4 matrix. */
  packIntegers(packed: PackedStorage, firstRow: number, rows: IntegerRows): void;
  /** Stores rows of a file by a kernel, as `packRows` or `packIntegers` does. Returns false if it has none. */
  packStored?(packed: PackedStorage, firstRow: number, rows: StoredRows): boolean;
  /** The stored values as float32, row by row (exact for float32 and bfloat16, else dequantized). */
  readPacked(packed: PackedStorage): Promise<Float32Array>;
  freePacked(packed: PackedStorage): void;
  /**
   * Throws a DeviceError ("gpu-cache-dtype") if the device has no caches of this type.
   *
   * @default dtype "float32"
   */
  createCache(kvHeads: number, headDim: number, capacity: number, dtype?: CacheDtype): CacheStorage;
  /** Copies the first `positions` positions between caches of the same heads, head size and dtype. */
  copyCache(from: CacheStorage, to: CacheStorage, positions: number): void;
  /**
   * Keys (rotated) and values of positions [begin, end): each [end - begin, kvHeads * headDim]. For tests and drift
   * measurements.
   */
  readCache(cache: CacheStorage, begin: number, end: number): Promise<{ keys: Float32Array; values: Float32Array }>;
  freeCache(cache: CacheStorage): void;
  /** Bytes in use, and bytes held for use: weights, caches and working memory. Absent if the device cannot say. */
  memory?(): { readonly used: number; readonly size: number };
  /** Frees the memory, stops the workers. Using the device afterwards throws. */
  dispose(): Promise<void>;
}
