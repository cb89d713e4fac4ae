/**
 * A preview of the model's unembedding U, and then a few rows of it exactly:
 *   a = W₂ W₁ h (+ b)         W₁ [r, C], W₂ [N, r]: coarse logits of N tokens, all or those of a list
 *   z_j = U_j h + b_j         for the n tokens with the largest a, exactly
 * The token is the best of the n. Its margin to the second is a score; entropy and probabilities are none, because the
 * other logits are not known. Training, sampling and losses use the full product U h.
 *
 * W₂ W₁ is the approximation of rank r with the smallest mean square error of the logits over vectors h whose second
 * moment is M = L Lᵀ: W₁ = S Q L⁻¹ and W₂ = U L Qᵀ S⁻¹, with Q the top right singular vectors of U L and S its singular
 * values. It begins with M = I, the best approximation of U itself; `fitPreviews` takes M from text, which finds far
 * more of the argmaxes. A head stores W₁ and the lift S⁻¹ Q Lᵀ [r, C]; W₂ is computed from it when the head is packed,
 * in four bits unless the head has a dtype of its own: with columns of one length, they find as many argmaxes as eight.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { bytesOf, companionDtype } from "../../model/weights.js";
import type { Model } from "../../model/index.js";
import { project } from "../../model/block.js";
import { choleskyFactor } from "../../tensor/cholesky.js";
import { createRng, PackedMatrix, ROW_STATS, scope, Tensor, type WeightDtype } from "../../tensor/index.js";
import { keep } from "../../tensor/tensor.js";
import { topEigenvectors } from "../../tensor/top-eigenvectors.js";
import { crossEntropy } from "../../tensor/ops/loss.js";
import { embedding } from "../../tensor/ops/embedding.js";
import { largestColumns } from "../../tensor/ops/largest.js";
import { linear, linearAt, matmul } from "../../tensor/ops/matmul.js";
import { sliceRows, takeAlongRows } from "../../tensor/ops/select.js";
import { giveTurn, type InParts, inTurns, rowsPerTurn } from "../../turns.js";
import type { PreviewShape } from "./head-shape.js";
import { HeadWeights, type Matrices, type Tensors } from "./head-weights.js";
import { type Confidence, confidencesIn, type LogitsReader, type ScoreName } from "./score.js";
import { valuesOf } from "./values-of.js";

/** Rows of the unembedding unpacked at a time. */
const CHUNK = 4096;

/** Added to the diagonal of M, relative to its mean, so that little text has a factor too. */
const RIDGE = 1e-4;

export class Preview implements LogitsReader {
  readonly scores: readonly ScoreName[] = ["margin"];
  readonly #model: Model;
  readonly #shape: PreviewShape;
  readonly #dtype: WeightDtype | undefined;
  #weights: HeadWeights | undefined;
  #making: Promise<HeadWeights> | undefined;
  /** Of the listed tokens. */
  #bias: Tensor | undefined;

  /** Takes ownership of the fitted tensors W₁ and lift, if any. */
  constructor(model: Model, shape: PreviewShape, dtype?: WeightDtype, tensors?: Tensors) {
    this.#model = model;
    this.#shape = shape;
    this.#dtype = dtype;
    if (tensors !== undefined) this.set(tensors);
  }

  /** W₁ and the lift; if not fitted, those for M = I. */
  async weights(): Promise<HeadWeights> {
    if (this.#weights !== undefined) return this.#weights;
    const making = (this.#making ??= this.#fit().then((tensors) => {
      if (this.#weights === undefined) this.set(tensors);
      else for (const tensor of Object.values(tensors)) tensor.dispose(); // it was fitted meanwhile
      return this.#weights!;
    }));
    return making.finally(() => {
      this.#making = undefined;
    });
  }

  async packed(): Promise<Matrices> {
    return (this.#weights ?? (await this.weights())).packed();
  }

  set(tensors: Tensors): void {
    if (this.#weights === undefined) this.#weights = new HeadWeights(tensors, (fitted) => this.#pack(fitted));
    else this.#weights.set(tensors);
  }

  get version(): number {
    return this.#weights?.version ?? 0;
  }

  /** Of one evaluation, with the model's rows. */
  get bytes(): number {
    const { weights, config } = this.#model;
    const rows = Math.ceil((bytesOf(weights.unembedding) * this.#shape.candidates) / config.vocabSize);
    return (this.#weights?.bytes ?? 0) + rows;
  }

  /** W₁ and the lift for vectors whose h hᵀ [C, C] sum to this. */
  async fitted(moment: Float64Array, signal?: CancelSignal): Promise<Tensors> {
    const { hiddenSize: c } = this.#model.config;
    const regular = Float64Array.from(moment);
    let trace = 0;
    for (let i = 0; i < c; i++) trace += moment[i * (c + 1)]!;
    for (let i = 0; i < c; i++) regular[i * (c + 1)]! += (RIDGE * trace) / c;
    return this.#fit(await inTurns(choleskyFactor(regular, c), signal), signal);
  }

  /** Statistics of vectors h [R, C]; log-sum-exp and entropy are NaN, which never passes. */
  readonly stats = async (h: Tensor): Promise<Float32Array> => {
    const stats = new Float32Array(h.shape[0]! * ROW_STATS.width).fill(NaN);
    for (const [r, candidates] of (await this.find(h)).entries()) {
      writeBest(stats.subarray(r * ROW_STATS.width, (r + 1) * ROW_STATS.width), candidates);
    }
    return stats;
  };

  readonly confidences = async (h: Tensor): Promise<Confidence[]> => confidencesIn(await this.stats(h));

  readonly allLogits = (h: Tensor): Promise<Float32Array> =>
    valuesOf(() => project(h, this.#model.weights.unembedding));

  readonly losses = (h: Tensor, ids: readonly number[]): Tensor =>
    scope(() => crossEntropy(project(h, this.#model.weights.unembedding), ids));

  dispose(): void {
    this.#weights?.dispose();
    this.#bias?.dispose();
  }

  /** Per row of h [R, C], the n tokens with the largest coarse logits, with exact ones. */
  async find(h: Tensor): Promise<Candidates[]> {
    const { previewDown, previewUp, previewBias } = await this.packed();
    const { tokens, candidates } = this.#shape;
    const bias = tokens === undefined ? this.#model.weights.unembedding.bias : (previewBias as Tensor | undefined);
    const coarse = scope(() => linear(linear(h, previewDown!), previewUp!, { bias })); // [R, N]
    const columns = await largestColumns(coarse, candidates);
    coarse.dispose();
    const best = tokens === undefined ? columns : columns.map((of) => of.map((column) => tokens[column]!));
    if (best.length === 1) return [{ ids: best[0]!, logits: await readSome(h, best[0]!, this.#model) }];
    const found: Candidates[] = [];
    for (const [r, ids] of best.entries()) {
      const row = sliceRows(h, r, r + 1);
      found.push({ ids, logits: await readSome(row, ids, this.#model) });
      row.dispose();
    }
    return found;
  }

  async #fit(factor?: Float64Array, signal?: CancelSignal): Promise<Tensors> {
    const gram = await unembeddingGram(this.#model, this.#ranked, signal);
    return inTurns(previewWeights(this.#model, this.#shape, gram, factor), signal);
  }

  async #pack({ previewDown, previewLift }: Tensors): Promise<Matrices> {
    const { device, dtype, weights } = this.#model;
    const { bias } = weights.unembedding;
    const ids = this.#ranked;
    const { rank, tokens } = this.#shape;
    if (tokens !== undefined && bias !== undefined && this.#bias === undefined) {
      const values = await bias.read();
      const listed = Float32Array.from(tokens, (id) => values[id]!);
      this.#bias = keep(Tensor.from(device, listed, [tokens.length]));
    }
    const up = new Float32Array(ids.length * rank);
    for (let begin = 0; begin < ids.length; begin += CHUNK) {
      await giveTurn();
      const rows = await valuesOf(() =>
        linear(embedding(weights.unembedding.weight, ids.slice(begin, begin + CHUNK)), previewLift!),
      );
      up.set(rows, begin * rank); // [CHUNK, C] -> [CHUNK, r]
    }
    const down = await previewDown!.read();
    return {
      previewDown: PackedMatrix.from(device, down, previewDown!.shape, this.#dtype ?? companionDtype(dtype)),
      previewUp: PackedMatrix.from(device, up, [ids.length, rank], this.#dtype ?? "int4"),
      ...(this.#bias && { previewBias: this.#bias }),
    };
  }

  /** Tokens with coarse logits, ascending. */
  get #ranked(): readonly number[] {
    return this.#shape.tokens ?? Array.from({ length: this.#model.config.vocabSize }, (_, id) => id);
  }
}

/** Separates a preview's weights from the others; undefined where there are none. */
export function splitTensors({ previewDown, previewLift, ...trained }: Tensors): {
  readonly trained: Tensors | undefined;
  readonly preview: Tensors | undefined;
} {
  return {
    trained: Object.keys(trained).length === 0 ? undefined : trained,
    preview: previewDown && previewLift && { previewDown, previewLift },
  };
}

/** Exact logits by ascending id: the two best that count, ties included, are among them. */
export interface Candidates {
  readonly ids: readonly number[];
  readonly logits: Float32Array;
}

/** Logits for one vector h [1, C], with the bits of the full product. */
function readSome(h: Tensor, ids: readonly number[], model: Model): Promise<Float32Array> {
  const { unembedding } = model.weights;
  const { weight, bias } = unembedding;
  return valuesOf(() =>
    weight instanceof PackedMatrix
      ? linearAt(h, weight, ids, { ...(bias && { bias }) })
      : takeAlongRows(project(h, unembedding), ids, ids.length),
  );
}

/** The lowest id on ties. */
function writeBest(stats: Float32Array, { ids, logits }: Candidates): void {
  let best = 0;
  let second = -Infinity;
  for (let i = 1; i < ids.length; i++) {
    if (logits[i]! > logits[best]!) {
      second = logits[best]!;
      best = i;
    } else if (logits[i]! > second) second = logits[i]!;
  }
  stats[ROW_STATS.argmax] = ids[best]!;
  stats[ROW_STATS.top1] = logits[best]!;
  stats[ROW_STATS.top2] = second;
}

/** UᵀU [C, C] over the rows of these tokens. */
async function unembeddingGram(model: Model, ids: readonly number[], signal?: CancelSignal): Promise<Float64Array> {
  const { hiddenSize } = model.config;
  const gram = new Float64Array(hiddenSize * hiddenSize);
  const most = Math.min(CHUNK, rowsPerTurn(hiddenSize * hiddenSize));
  for (let begin = 0; begin < ids.length; begin += most) {
    await giveTurn(signal);
    const product = await valuesOf(() => {
      const rows = embedding(model.weights.unembedding.weight, ids.slice(begin, begin + most));
      return matmul(rows, rows, { transposeA: true });
    });
    product.forEach((value, i) => (gram[i]! += value));
  }
  return gram;
}

/** W₁ and the lift for vectors with second moment M = L·Lᵀ, given UᵀU and L [C, C]; without L, M = I. */
function* previewWeights(
  { device, config: { hiddenSize: c } }: Model,
  { rank }: PreviewShape,
  gram: Float64Array,
  factor: Float64Array = identityOf(c),
): InParts<Record<string, Tensor>> {
  const whitened = yield* times(transposed(factor, c), yield* times(gram, factor, c), c); // (U L)ᵀ(U L)
  const q = yield* topEigenvectors(whitened, c, rank, createRng(0)); // [r, C]
  const down = new Float64Array(rank * c);
  const lift = new Float64Array(rank * c);
  for (let k = 0; k < rank; k++) {
    yield;
    // Row k of W₁ solves w·L = q_k, from the last column to the first; row k of the lift is q_k Lᵀ.
    for (let j = c - 1; j >= 0; j--) {
      let rest = q[k * c + j]!;
      for (let i = j + 1; i < c; i++) rest -= down[k * c + i]! * factor[i * c + j]!;
      down[k * c + j] = rest / factor[j * c + j]!;
      for (let i = 0; i <= j; i++) lift[k * c + j]! += factor[j * c + i]! * q[k * c + i]!;
    }
    // Columns of W₂ of one length lose least in rounding.
    const length = lengthOf(whitened, q.subarray(k * c, (k + 1) * c));
    if (length === 0) continue;
    for (let j = 0; j < c; j++) {
      down[k * c + j]! *= length;
      lift[k * c + j]! /= length;
    }
  }
  return {
    previewDown: Tensor.from(device, down, [rank, c]),
    previewLift: Tensor.from(device, lift, [rank, c]),
  };
}

/** √(qᵀ A q): the length of U L q where A = (U L)ᵀ(U L). */
function lengthOf(a: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < q.length; i++) {
    for (let j = 0; j < q.length; j++) sum += q[i]! * a[i * q.length + j]! * q[j]!;
  }
  return Math.sqrt(Math.max(0, sum));
}

function identityOf(n: number): Float64Array {
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) values[i * (n + 1)] = 1;
  return values;
}

function transposed(a: Float64Array, n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => a[(i % n) * n + Math.floor(i / n)]!);
}

/** A·B of [n, n] matrices. */
function* times(a: Float64Array, b: Float64Array, n: number): InParts<Float64Array> {
  const product = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    yield;
    for (let k = 0; k < n; k++) {
      const factor = a[i * n + k]!;
      if (factor === 0) continue;
      for (let j = 0; j < n; j++) product[i * n + j]! += factor * b[k * n + j]!;
    }
  }
  return product;
}
