/**
 * A preview of the vocabulary, and then a few rows of it exactly:
 *   a = W₂ W₁ h (+ b)         W₁ [r, C], W₂ [V, r]: coarse logits of all tokens
 *   z_j = U_j h + b_j         for the n tokens with the largest a, exactly
 * The token is the best of the n. Its margin to the second is a score; entropy and probabilities are none, because the
 * other logits are not known. Training, sampling and losses use the full product U h.
 *
 * W₂ W₁ is the approximation of rank r with the smallest mean square error of the logits over vectors h whose second
 * moment is M = L Lᵀ: W₁ = S Q L⁻¹ and W₂ = U L Qᵀ S⁻¹, with Q the top right singular vectors of U L and S its singular
 * values. It begins with M = I, the best approximation of U itself; `fitPreviews` takes M from text, which finds far
 * more of the argmaxes. A head stores W₁ and the lift S⁻¹ Q Lᵀ [r, C]; W₂ is computed from it when the head is packed,
 * in four bits unless the head has a dtype of its own: with columns of one length, they find as many argmaxes as eight.
 *
 * If the shape has a list (preview-shortlist.ts), all tokens are those of the list: U above has their rows only.
 */
import type { CancelSignal } from "../../../cancel-signal.js";
import { bytesOf, companionDtype, type Model, project } from "../../../model/index.js";
import { createRng, PackedMatrix, scope, Tensor } from "../../../tensor/index.js";
import { choleskyFactor } from "../../../tensor/cholesky.js";
import { topEigenvectors } from "../../../tensor/top-eigenvectors.js";
import { embedding, largestColumns, linear, matmul, sliceRows } from "../../../tensor/ops/index.js";
import type {
  HeadVocabularyDefinition,
  ModelSizes,
  PackedHead,
  PreviewSize,
  VocabularyShape,
} from "./head-vocabulary-definition.js";
import { giveTurn, type InParts, inTurns, rowsPerTurn } from "../../../turns.js";
import { type Candidates, readSome, vectorSpace } from "./vector-space.js";

/** Rows of the unembedding that are unpacked at a time. */
const CHUNK = 4096;

/** Weights of a row that share a scale when they are packed. */
const GROUP = 32;

/** Added to the diagonal of M, relative to its mean, so that a little text has a factor too. */
const RIDGE = 1e-4;

type PreviewShape = Pick<VocabularyShape, "preview" | "shortlist">;

/** The size of a preview of the model's own unembedding: an exit at depth L has nothing but misses to answer for. */
export function unembeddingPreviewSize(sizes: ModelSizes): PreviewSize {
  return previewSize(sizes, 1 / 3, 128);
}

/** A rank of about this share of the hidden size, in whole groups of packed weights unless it is below one. */
function previewSize({ hiddenSize, vocabSize }: ModelSizes, share: number, candidates: number): PreviewSize {
  const rank = Math.ceil(share * hiddenSize);
  return {
    rank: rank < GROUP ? rank : GROUP * Math.round(rank / GROUP),
    candidates: Math.max(2, Math.min(candidates, vocabSize >> 1)),
  };
}

export const preview: HeadVocabularyDefinition = {
  reads: "hidden",
  modelRows: true,
  scores: ["margin"],
  preview: (sizes) => previewSize(sizes, 1 / 6, 64),
  fixed: ["previewDown", "previewLift"],
  weightShapes: ({ config: { hiddenSize } }, { preview: size }) => ({
    previewDown: [size!.rank, hiddenSize],
    previewLift: [size!.rank, hiddenSize],
  }),
  async initialWeights(model, shape, _basis, signal) {
    return inTurns(previewWeights(model, shape.preview!, await unembeddingGram(model, shape, signal)), signal);
  },
  async fitted(model, shape, moment, signal) {
    const { hiddenSize: c } = model.config;
    const regular = Float64Array.from(moment);
    let trace = 0;
    for (let i = 0; i < c; i++) trace += moment[i * (c + 1)]!;
    for (let i = 0; i < c; i++) regular[i * (c + 1)]! += (RIDGE * trace) / c;
    const factor = await inTurns(choleskyFactor(regular, c), signal);
    return inTurns(previewWeights(model, shape.preview!, await unembeddingGram(model, shape, signal), factor), signal);
  },
  async derived(model, shape, { previewDown, previewLift }, dtype) {
    const { device, dtype: own, weights } = model;
    const ids = rankedTokens(model, shape);
    const [rank] = previewDown!.shape as [number, number];
    const up = new Float32Array(ids.length * rank);
    for (let begin = 0; begin < ids.length; begin += CHUNK) {
      await giveTurn();
      const product = scope(() =>
        linear(embedding(weights.unembedding.weight, ids.slice(begin, begin + CHUNK)), previewLift!),
      );
      up.set(await product.read(), begin * rank); // [CHUNK, C] -> [CHUNK, r]
      product.dispose();
    }
    const down = await previewDown!.read();
    return {
      previewDown: PackedMatrix.from(device, down, previewDown!.shape, dtype ?? companionDtype(own)),
      previewUp: PackedMatrix.from(device, up, [ids.length, rank], dtype ?? "int4"),
    };
  },
  logits: (h, _weights, model) => project(h, model.weights.unembedding),
  vectors: true, // which rows of U to multiply with h is known after the preview
  space: (shape, _vocabSize, packed) => vectorSpace(packed, (h, head) => findCandidates(h, shape, head)),
  multiplyAdds: ({ hiddenSize, vocabSize }, { preview: size }) =>
    size!.rank * (hiddenSize + vocabSize) + size!.candidates * hiddenSize,
  modelBytes: (model, { preview: size }) =>
    Math.ceil((bytesOf(model.weights.unembedding) * size!.candidates) / model.config.vocabSize),
};

/** For every row of h [R, C], the n tokens with the largest coarse logits and their exact ones. */
async function findCandidates(
  h: Tensor,
  { preview: size, shortlist }: PreviewShape,
  { model, weights: { previewDown, previewUp, previewBias } }: PackedHead,
): Promise<Candidates[]> {
  const bias = shortlist === undefined ? model.weights.unembedding.bias : (previewBias as Tensor | undefined);
  const coarse = scope(() => linear(linear(h, previewDown!), previewUp!, { bias })); // [R, ranked tokens]
  const columns = await largestColumns(coarse, size!.candidates);
  coarse.dispose();
  const best = shortlist === undefined ? columns : columns.map((of) => of.map((column) => shortlist[column]!));
  if (best.length === 1) return [{ ids: best[0]!, logits: await readSome(h, best[0]!, model) }];
  const found: Candidates[] = [];
  for (const [r, ids] of best.entries()) {
    const row = sliceRows(h, r, r + 1);
    found.push({ ids, logits: await readSome(row, ids, model) });
    row.dispose();
  }
  return found;
}

/** The tokens that have coarse logits, ascending. */
function rankedTokens({ config }: Model, { shortlist }: PreviewShape): readonly number[] {
  return shortlist ?? Array.from({ length: config.vocabSize }, (_, id) => id);
}

/** UᵀU [C, C]. */
async function unembeddingGram(model: Model, shape: PreviewShape, signal?: CancelSignal): Promise<Float64Array> {
  const { hiddenSize } = model.config;
  const ids = rankedTokens(model, shape);
  const gram = new Float64Array(hiddenSize * hiddenSize);
  const most = Math.min(CHUNK, rowsPerTurn(hiddenSize * hiddenSize));
  for (let begin = 0; begin < ids.length; begin += most) {
    await giveTurn(signal);
    const product = scope(() => {
      const rows = embedding(model.weights.unembedding.weight, ids.slice(begin, begin + most));
      return matmul(rows, rows, { transposeA: true });
    });
    (await product.read()).forEach((value, i) => (gram[i]! += value));
    product.dispose();
  }
  return gram;
}

/**
 * W₁ and the lift for vectors with second moment M = L·Lᵀ, given UᵀU and the lower triangular factor L [C, C].
 * Without a factor, M = I.
 */
function* previewWeights(
  { device, config: { hiddenSize: c } }: Model,
  { rank }: PreviewSize,
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
    // Columns of W₂ of one length lose the least when they are rounded together.
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
