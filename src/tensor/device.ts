/**
 * The contract between tensors and the machine that computes them. A device owns memory (`Storage`) and a set of
 * kernels; everything above this file is written once, for every device.
 *
 * Rules that every device keeps:
 * - Kernels are dispatched synchronously and return new storage; only `read` waits. (A GPU may still be computing.)
 * - Matrices are row-major. A kernel adds in an order that does not depend on how many rows are computed together, so k
 *   rows computed at once have the same bits as one by one. (A device that cannot promise this says so in `info`.)
 * - Argmax ties go to the lowest index. The caller (`ops/*`) has checked the shapes; kernels trust their arguments.
 * Legend: R rows, N columns, K inner size, H query heads, G key/value heads, D head size, T time.
 */

/** Memory on a device: `length` float32 elements. Opaque outside the device that made it. */
export interface Storage {
  readonly length: number;
}

/** A matrix [rows, columns] laid out by its device for products x·Wᵀ; frozen after it is filled. */
export interface PackedStorage {
  readonly rows: number;
  readonly columns: number;
  readonly dtype: WeightDtype;
  /** Bytes this matrix occupies, read once per product. */
  readonly bytes: number;
}

/**
 * Keys and values of one block for one sequence, for `capacity` positions, with D = headDim values per key/value head.
 */
export interface CacheStorage {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly capacity: number;
}

/** How a frozen weight matrix is stored. Accumulation is at least float32 in every case. */
export type WeightDtype = "float32" | "bfloat16" | "int8";
export const weightDtypes = ["float32", "bfloat16", "int8"] as const satisfies readonly WeightDtype[];
/** What really computes. */
export type Backend = "reference" | "wasm" | "gpu";
export type BinaryOp = "add" | "sub" | "mul";
export type UnaryOp = "gelu" | "geluTanh" | "silu" | "relu" | "exp";

/**
 * Rotary tables: cos and sin, each [positions, rotaryDim / 2]. Pairs are (i, i + rotaryDim / 2), "half-split" as in
 * Hugging Face.
 */
export interface Rope {
  readonly cos: Storage;
  readonly sin: Storage;
  readonly rotaryDim: number;
}

/** Rows of a batch that belong to one sequence: row i of the segment is at position `positions[i]` of `cache`. */
export interface CacheSegment {
  readonly cache: CacheStorage;
  readonly positions: readonly number[];
}

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
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

export interface AdamwStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 1 - beta1^t and 1 - beta2^t for step t = 1, 2, … */
  readonly correction1: number;
  readonly correction2: number;
  /** Factor applied to the gradient first (gradient clipping). */
  readonly gradientScale: number;
}

/** Columns of `Kernels.rowStats`. */
export const ROW_STATS = { argmax: 0, top1: 1, top2: 2, logSumExp: 3, entropy: 4, width: 5 } as const;

/** All kernels of a device. The caller has checked the shapes; sizes are in elements. */
export interface Kernels {
  // Products.
  /**
   * op(a) [batch, m, k] x op(b) [batch, k, n] -> [batch, m, n]. A transposed operand is stored [.., k, m] or
   * [.., n, k].
   */
  matmul(a: Storage, b: Storage, dims: MatmulDims): Storage;
  /**
   * x [R, K] · Wᵀ + bias [N] + residual [R, N] -> [R, N]. Bit for bit, each output element depends on its own row of x
   * only.
   */
  linear(
    x: Storage,
    weight: PackedStorage,
    rows: number,
    bias: Storage | undefined,
    residual: Storage | undefined,
  ): Storage;
  /** dy [R, N] · W -> dx [R, K]. */
  linearBackward(dy: Storage, weight: PackedStorage, rows: number): Storage;

  // Elementwise, with broadcasting by strides (0 repeats); `shape` is the shape of the result.
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
  /** dy * op'(x). */
  unaryBackward(op: UnaryOp, x: Storage, dy: Storage): Storage;
  /** [R, 2F] -> [R, F]: silu(left half) * right half. */
  swiglu(x: Storage, rows: number, width: number): Storage;
  swigluBackward(x: Storage, dy: Storage, rows: number, width: number): Storage;

  // Moving and summing.
  /** Sums `x` of shape `from` over the axes where `to` has size 1 (same rank). */
  sumTo(x: Storage, from: readonly number[], to: readonly number[]): Storage;
  /** Columns [begin, end) of x [R, N]. */
  columns(x: Storage, rows: number, width: number, begin: number, end: number): Storage;
  /** The gradient of `columns`: dy [R, end - begin] inside zeros [R, N]. */
  columnsBackward(dy: Storage, rows: number, width: number, begin: number, end: number): Storage;
  /** Elements [begin, end) as new storage. */
  slice(x: Storage, begin: number, end: number): Storage;
  concat(parts: readonly Storage[]): Storage;
  /** Rows `ids` of table [.., width] -> [ids.length, width]. */
  gather(table: Storage, ids: ArrayLike<number>, width: number): Storage;
  gatherPacked(table: PackedStorage, ids: ArrayLike<number>): Storage;
  /** The gradient of `gather`: rows of dy added into zeros [rows, width]. */
  scatterAdd(dy: Storage, ids: ArrayLike<number>, rows: number, width: number): Storage;
  /** x [R, N], ids [R, k] -> [R, k]: x[r, ids[r, i]]. */
  takeAlongRows(x: Storage, ids: ArrayLike<number>, rows: number, width: number, k: number): Storage;
  takeAlongRowsBackward(dy: Storage, ids: ArrayLike<number>, rows: number, width: number, k: number): Storage;

  // Rows [R, N].
  softmax(x: Storage, rows: number, width: number): Storage;
  /** From y = softmax(x): y * (dy - sum(dy * y)). */
  softmaxBackward(y: Storage, dy: Storage, rows: number, width: number): Storage;
  logSoftmax(x: Storage, rows: number, width: number): Storage;
  /** From y = logSoftmax(x): dy - exp(y) * sum(dy). */
  logSoftmaxBackward(y: Storage, dy: Storage, rows: number, width: number): Storage;
  /** argmax, largest and second largest logit, log-sum-exp and entropy (nats) of every row -> [R, 5]; see ROW_STATS. */
  rowStats(logits: Storage, rows: number, width: number): Storage;
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

  // Losses, one value per row; a negative target masks its row (loss 0, gradient 0).
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
  /** Gradient with respect to the student's logits. */
  klBackward(
    teacher: Storage,
    student: Storage,
    dLoss: Storage,
    rows: number,
    width: number,
    temperature: number,
  ): Storage;

  // Attention.
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
  /**
   * Rotates the keys of kv [R, 2·G·D] (keys, then values) and stores both; the rows of the segments follow one another.
   */
  cacheWrite(segments: readonly CacheSegment[], kv: Storage, rope: Rope | undefined): void;
  /**
   * Rotates q [R, H·D]; each row attends to the cached positions from 0 to its own, or to the last `window` of them ->
   * [R, H·D].
   */
  cacheAttention(
    segments: readonly CacheSegment[],
    q: Storage,
    heads: number,
    rope: Rope | undefined,
    window?: number,
  ): Storage;

  // Optimizer.
  /** Sum of squares -> [1]. */
  sumSquares(x: Storage): Storage;
  /** One AdamW step with decoupled weight decay; changes param, m and v in place. */
  adamw(param: Storage, gradient: Storage, m: Storage, v: Storage, step: AdamwStep): void;
}

export interface DeviceInfo {
  /** One line for people: what really runs. */
  readonly description: string;
  readonly threads: number;
  /** Whether k rows computed together have the same bits as one by one. */
  readonly batchIndependent: boolean;
  /** Which build of the kernels runs: other builds may round differently. Absent if the backend has no builds. */
  readonly kernelBuild?: string;
  /**
   * The most bytes that its memory can hold, if that is fixed: a model that needs more is refused before it is read.
   */
  readonly memoryLimit?: number;
}

/** A machine that computes: memory, kernels, and a description of itself. */
export interface Device {
  /** What really runs; never merely what was requested. */
  readonly backend: Backend;
  readonly info: DeviceInfo;
  readonly kernels: Kernels;
  upload(data: ArrayLike<number>): Storage;
  /** Copies the values out; waits for pending work. */
  read(storage: Storage): Promise<Float32Array>;
  /** Overwrites storage of the same length (restoring a checkpoint). */
  write(storage: Storage, data: ArrayLike<number>): void;
  free(storage: Storage): void;
  /** An empty matrix; fill it with `packRows`, in any chunks of whole rows, before use. */
  createPacked(rows: number, columns: number, dtype: WeightDtype): PackedStorage;
  packRows(packed: PackedStorage, firstRow: number, data: Float32Array): void;
  /** The stored values as float32, rows one after another (exact for float32 and bfloat16, dequantized for int8). */
  readPacked(packed: PackedStorage): Promise<Float32Array>;
  freePacked(packed: PackedStorage): void;
  createCache(kvHeads: number, headDim: number, capacity: number): CacheStorage;
  /** Copies the first `positions` positions between caches with the same heads and head size. */
  copyCache(from: CacheStorage, to: CacheStorage, positions: number): void;
  /**
   * Keys (rotated) and values of positions [begin, end): each [end - begin, kvHeads * headDim]. For tests and drift
   * measurements.
   */
  readCache(cache: CacheStorage, begin: number, end: number): Promise<{ keys: Float32Array; values: Float32Array }>;
  freeCache(cache: CacheStorage): void;
  /** Ends the device: frees its memory, stops its workers. Using it afterwards throws. */
  dispose(): Promise<void>;
}
