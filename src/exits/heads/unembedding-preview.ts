/**
 * A preview of the model's unembedding U, and then a few rows of it exactly:
 *   a = W₂ W₁ h (+ b)         W₁ [r, C], W₂ [N, r]: coarse logits of N tokens, all or those of a list
 *   z_j = U_j h + b_j         for the n tokens with the largest a, exactly
 * Of many tokens, the first components of W₁ h rank all, and only the best get the others: 96 components leave 8,192 of
 * 262,144 tokens, and 512 leave 128. (Devices that do not screen use all for all.)
 * The token is the best of the n. Its margin to the second is a score; entropy and probabilities are none, because the
 * other logits are not known. Training, sampling and losses use the full product U h.
 *
 * W₂ W₁ is the approximation of rank r with the smallest mean square error of the logits over vectors h whose second
 * moment is M = L Lᵀ: W₁ = S Q L⁻¹ and W₂ = U L Qᵀ S⁻¹, with Q the top right singular vectors of U L and S its singular
 * values. It begins with M = I, the best approximation of U itself; `fitPreviews` takes M from text, which finds far
 * more of the argmaxes. A head stores W₁ and the lift S⁻¹ Q Lᵀ [r, C]; W₂ is computed from it when the head is packed,
 * in four bits unless the head has a dtype of its own: with columns of one length, they find as many argmaxes as eight.
 * Where some components come first, W₂ lacks what all its rows share, which ranks nothing and costs bits.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { bytesOf, companionDtype } from "../../model/weights.js";
import type { Model } from "../../model/index.js";
import { project } from "../../model/block.js";
import type { LargestLogits } from "../../model/screened-unembedding.js";
import { createRng, PackedMatrix, ROW_STATS, scope, Tensor, type WeightDtype } from "../../tensor/index.js";
import { choleskyFactor } from "../../tensor/cholesky.js";
import { keep } from "../../tensor/tensor.js";
import { topEigenvectors } from "../../tensor/top-eigenvectors.js";
import { valuesOf } from "../../tensor/values-of.js";
import { crossEntropy } from "../../tensor/ops/loss.js";
import { embedding } from "../../tensor/ops/embedding.js";
import { largestColumns } from "../../tensor/ops/largest.js";
import { linear, linearAt, matmul } from "../../tensor/ops/matmul.js";
import { addNibbleRows, nibbleRowWords, toNibbleRows } from "../../tensor/ops/nibble-rows.js";
import { columns, sliceRows, takeAlongRows } from "../../tensor/ops/select.js";
import { giveTurn, type InParts, inTurns, rowsPerTurn } from "../../turns.js";
import type { PreviewShape } from "./head-shape.js";
import { HeadWeights, type Matrices, type Tensors } from "./head-weights.js";
import type { LogitsReader, ScoreName } from "./score.js";

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
  /** Bytes of the packed weights that an evaluation does not read. */
  #unread = 0;

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
    const making = (this.#making ??= this.fitted().then((tensors) => {
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
    this.#unread = 0;
    if (this.#weights === undefined) this.#weights = new HeadWeights(tensors, (fitted) => this.#pack(fitted));
    else this.#weights.set(tensors);
  }

  get version(): number {
    return this.#weights?.version ?? 0;
  }

  /** Bytes that one evaluation reads, the model's rows included. */
  get bytes(): number {
    const { weights, config } = this.#model;
    const rows = Math.ceil((bytesOf(weights.unembedding) * this.#shape.candidates) / config.vocabSize);
    return (this.#weights?.bytes ?? 0) - this.#unread + rows;
  }

  /** W₁ and the lift for vectors whose h hᵀ [C, C] sum to this; without, for M = I. */
  fitted(moment?: Float64Array, signal?: CancelSignal): Promise<Tensors> {
    return previewWeights(this.#model, this.#shape.rank, this.#ranked, moment, signal);
  }

  /** Statistics of vectors h [R, C]; log-sum-exp and entropy are NaN, which never passes. */
  readonly stats = async (h: Tensor): Promise<Float32Array> => {
    const stats = new Float32Array(h.shape[0]! * ROW_STATS.width).fill(NaN);
    for (const [r, candidates] of (await this.find(h)).entries()) {
      const { id, top1, top2 } = bestOf(candidates);
      const row = r * ROW_STATS.width;
      stats[row + ROW_STATS.argmax] = id;
      stats[row + ROW_STATS.top1] = top1;
      stats[row + ROW_STATS.top2] = top2;
    }
    return stats;
  };

  readonly allLogits = (h: Tensor): Promise<Float32Array> =>
    valuesOf(() => project(h, this.#model.weights.unembedding));

  readonly losses = (h: Tensor, ids: readonly number[]): Tensor =>
    scope(() => crossEntropy(project(h, this.#model.weights.unembedding), ids));

  dispose(): void {
    this.#weights?.dispose();
    this.#bias?.dispose();
  }

  /**
   * Per row of h [R, C], exact logits of the n tokens with the largest coarse ones, by ascending id: the two best that
   * count, ties included, are among them.
   */
  async find(h: Tensor): Promise<LargestLogits[]> {
    const { previewDown, previewUp, previewOthers, previewBias } = await this.packed();
    const { rank, candidates, tokens, first } = this.#shape;
    const bias = tokens === undefined ? this.#model.weights.unembedding.bias : (previewBias as Tensor | undefined);
    const a = linear(h, previewDown!); // [R, r]
    const coarse = scope(() => linear(previewOthers ? columns(a, 0, first!.rank) : a, previewUp!, { bias })); // [R, N]
    const components = previewOthers && (await a.read());
    const found: LargestLogits[] = [];
    for (const [r, some] of (await largestColumns(coarse, previewOthers ? first!.candidates : candidates)).entries()) {
      let best = some;
      if (previewOthers && components) {
        const others = components.subarray(r * rank + first!.rank, (r + 1) * rank);
        const finer = addNibbleRows(coarse, r, previewOthers as Tensor, others, some);
        best = (await largestColumns(finer, candidates))[0]!.map((i) => some[i]!);
        finer.dispose();
      }
      const ids = tokens === undefined ? best : best.map((column) => tokens[column]!);
      const row = sliceRows(h, r, r + 1);
      found.push({ ids, logits: await readSome(row, ids, this.#model) });
      row.dispose();
    }
    a.dispose();
    coarse.dispose();
    return found;
  }

  async #pack({ previewDown, previewLift }: Tensors): Promise<Matrices> {
    const { config, device, dtype, weights } = this.#model;
    const { bias } = weights.unembedding;
    const ids = this.#ranked;
    const { rank, tokens, first } = this.#shape;
    if (tokens !== undefined && bias !== undefined && this.#bias === undefined) {
      const values = await bias.read();
      const listed = Float32Array.from(tokens, (id) => values[id]!);
      this.#bias = keep(Tensor.from(device, listed, [tokens.length]));
    }
    const lift = first && PackedMatrix.from(device, await previewLift!.read(), [rank, config.hiddenSize], "int8");
    const rowsOf = (some: readonly number[], bias?: Tensor): Tensor =>
      linear(embedding(weights.unembedding.weight, some), lift ?? previewLift!, { bias }); // [n, C] -> [n, r]
    const step = Math.ceil(ids.length / CHUNK);
    const sample = ids.filter((_, i) => i % step === 0);
    const shared = new Float32Array(rank);
    if (first) (await valuesOf(() => rowsOf(sample))).forEach((x, i) => (shared[i % rank]! -= x / sample.length));
    const without = first && Tensor.from(device, shared, [rank]);
    const width = (device.screening && first?.rank) ?? rank;
    const words = nibbleRowWords(rank - width);
    const up = new PackedMatrix(device, device.createPacked(ids.length, width, this.#dtype ?? "int4"));
    const others = new Float32Array(width < rank ? ids.length * words : 0);
    for (let begin = 0; begin < ids.length; begin += CHUNK) {
      await giveTurn();
      const rows = scope(() => rowsOf(ids.slice(begin, begin + CHUNK), without));
      device.packRows(up.storage, begin, await valuesOf(() => columns(rows, 0, width)));
      if (width < rank) {
        others.set(toNibbleRows(await valuesOf(() => columns(rows, width, rank)), rank - width), begin * words);
      }
      rows.dispose();
    }
    without?.dispose();
    lift?.dispose();
    if (width < rank) this.#unread = 4 * words * (ids.length - first!.candidates);
    const down = await previewDown!.read();
    return {
      previewDown: PackedMatrix.from(device, down, previewDown!.shape, this.#dtype ?? companionDtype(dtype)),
      previewUp: up,
      ...(width < rank && { previewOthers: keep(Tensor.from(device, others, [ids.length, words])) }),
      ...(this.#bias && { previewBias: this.#bias }),
    };
  }

  /** Tokens with coarse logits, ascending. */
  get #ranked(): readonly number[] {
    return this.#shape.tokens ?? [...Array(this.#model.config.vocabSize).keys()];
  }
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

/** The token with the largest logit, the lowest id on ties; and the two largest. */
export function bestOf({ ids, logits }: LargestLogits): {
  readonly id: number;
  readonly top1: number;
  readonly top2: number;
} {
  let best = 0;
  let second = -Infinity;
  for (let i = 1; i < ids.length; i++) {
    if (logits[i]! > logits[best]!) {
      second = logits[best]!;
      best = i;
    } else if (logits[i]! > second) second = logits[i]!;
  }
  return { id: ids[best]!, top1: logits[best]!, top2: second };
}

/** For the tokens of these ids, and a multiple of M [C, C]; without it, M = I. */
async function previewWeights(
  model: Model,
  rank: number,
  ids: readonly number[],
  moment?: Float64Array,
  signal?: CancelSignal,
): Promise<Tensors> {
  const { hiddenSize: c } = model.config;
  const regular = moment === undefined ? identityOf(c) : Float64Array.from(moment);
  let trace = 0;
  for (let i = 0; i < c; i++) trace += regular[i * (c + 1)]!;
  for (let i = 0; i < c && moment !== undefined; i++) regular[i * (c + 1)]! += (RIDGE * trace) / c;
  const gram = await unembeddingGram(model, ids, signal);
  const { down, lift } = await inTurns(factorise(gram, regular, c, rank), signal);
  return {
    previewDown: Tensor.from(model.device, down, [rank, c]),
    previewLift: Tensor.from(model.device, lift, [rank, c]),
  };
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

function* factorise(
  gram: Float64Array,
  moment: Float64Array,
  c: number,
  rank: number,
): InParts<{ readonly down: Float64Array; readonly lift: Float64Array }> {
  const factor = yield* choleskyFactor(moment, c);
  const whitened = yield* times(transposed(factor, c), yield* times(gram, factor, c), c); // (U L)ᵀ(U L)
  const q = yield* topEigenvectors(whitened, c, rank, createRng(0)); // [r, C]
  const lift = yield* times(q, transposed(factor, c), c); // rows p = L q; then w = L⁻ᵀ q = UᵀU p / s²
  const down = yield* times(lift, gram, c);
  for (let k = 0; k < rank * c; k += c) {
    let square = 0;
    for (let j = k; j < k + c; j++) square += lift[j]! * down[j]!;
    if (square <= 0) continue;
    // Columns of W₂ of one length lose least in rounding.
    for (let j = k; j < k + c; j++) {
      down[j]! /= Math.sqrt(square);
      lift[j]! /= Math.sqrt(square);
    }
  }
  return { down, lift };
}

function identityOf(n: number): Float64Array {
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) values[i * (n + 1)] = 1;
  return values;
}

function transposed(a: Float64Array, n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => a[(i % n) * n + Math.floor(i / n)]!);
}

/** A [m, n] · B [n, n]. */
function* times(a: Float64Array, b: Float64Array, n: number): InParts<Float64Array> {
  const product = new Float64Array(a.length);
  for (let row = 0; row < a.length; row += n) {
    yield;
    for (let k = 0; k < n; k++) {
      const factor = a[row + k]!;
      if (factor === 0) continue;
      for (let j = 0; j < n; j++) product[row + j]! += factor * b[k * n + j]!;
    }
  }
  return product;
}
