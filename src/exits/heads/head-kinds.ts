/**
 * The kinds of exit heads: maps from a state x [R, C] after some block to vocabulary logits [R, V]. Every head owns a
 * norm n(x) that begins as the model's final norm, and every head begins as a "logit lens" (nostalgebraist 2020), the
 * model's own unembedding U read early, never from noise:
 *   dense    W n(x)                W [V, C] begins as U                                   (the paper's head)
 *   tied     U (A n(x))            A [C, C] begins as the identity; U is frozen
 *   lowRank  W₂ (W₁ n(x))          W₂ [V, r], W₁ [r, C] begin as the best rank-r approximation of U
 *   mlp      U (n(x) + W₂ gelu(W₁ n(x)))   W₂ [C, m] begins at zero; U is frozen
 *   shortlist W n(x) + b           W [n + 1, C]: rows of U for n frequent tokens, and the mean of the others for all of them together;
 *                                  n + 1 logits (shortlist.ts), b begins at 0 and at log(V - n)
 * The same code runs trainable Tensors (training) and PackedMatrix weights (decoding).
 */
import { type Matrix, type Model, type ModelConfig, normalize, project } from "../../model/index.js";
import { type Rng, scope, Tensor, type WeightDtype } from "../../tensor/index.js";
import { add, embedding, gelu, linear } from "../../tensor/ops/index.js";
import { topSingularVectors } from "./low-rank.js";

/** The map from a state [C] to logits [V]: the paper's dense one, and cheaper ones. */
export type HeadKind = "dense" | "tied" | "lowRank" | "mlp" | "shortlist";
export const headKinds = ["dense", "tied", "lowRank", "mlp", "shortlist"] as const satisfies readonly HeadKind[];

export interface HeadShape {
  readonly kind: HeadKind;
  /** Inner size: r of lowRank, m of mlp, n of shortlist; 0 for the others. */
  readonly inner: number;
  /** The n token ids of shortlist, ascending. */
  readonly shortlist?: readonly number[];
  /**
   * How the head's own matrices are stored when it is packed: a head only approximates the model, and what it says is
   * judged as stored. @default the model's
   */
  readonly dtype?: WeightDtype;
}

/** Named weights of one head: [C]- and [V]-vectors and matrices. */
export type HeadWeights = Readonly<Record<string, Matrix>>;

interface KindDefinition {
  /** Inner size where the user gives none. */
  defaultInner(model: Model): number;
  /** Shapes of the weights besides the norm's. */
  shapes(model: Model, inner: number): Readonly<Record<string, readonly number[]>>;
  /** Initial weights besides the norm's. */
  initialize(model: Model, inner: number, rng: Rng, shortlist: readonly number[]): Promise<Record<string, Tensor>>;
  /** n(x) [R, C] -> logits [R, V]; of shortlist [R, n + 1]. */
  logits(normed: Tensor, weights: HeadWeights, model: Model): Tensor;
}

const DEFINITIONS: Readonly<Record<HeadKind, KindDefinition>> = {
  dense: {
    defaultInner: () => 0,
    shapes: ({ config: { vocabSize, hiddenSize }, weights }) => ({
      weight: [vocabSize, hiddenSize],
      ...(weights.unembedding.bias && { bias: [vocabSize] }),
    }),
    initialize: (model) => {
      const { weight, bias } = model.weights.unembedding;
      return Promise.resolve(
        scope(() => ({ weight: trainable(readRows(weight)), ...(bias && { bias: trainable(bias) }) })),
      );
    },
    logits: (normed, { weight, bias }) => linear(normed, weight!, { bias: bias as Tensor | undefined }),
  },

  tied: {
    defaultInner: () => 0,
    shapes: ({ config: { hiddenSize } }) => ({ translator: [hiddenSize, hiddenSize] }),
    initialize: ({ device, config: { hiddenSize } }) => {
      const identity = new Float32Array(hiddenSize * hiddenSize);
      for (let i = 0; i < hiddenSize; i++) identity[i * (hiddenSize + 1)] = 1;
      return Promise.resolve({
        translator: Tensor.from(device, identity, [hiddenSize, hiddenSize], { requiresGrad: true }),
      });
    },
    logits: (normed, { translator }, model) => project(linear(normed, translator!), model.weights.unembedding),
  },

  lowRank: {
    defaultInner: ({ config: { hiddenSize } }) => Math.max(1, Math.floor(hiddenSize / 4)),
    shapes: ({ config: { vocabSize, hiddenSize } }, rank) => ({ down: [rank, hiddenSize], up: [vocabSize, rank] }),
    async initialize({ device, config: { vocabSize, hiddenSize }, weights }, rank, rng) {
      // U ≈ (U Q)(Qᵀ) with Q the top right singular vectors of U.
      const unembedding = await weights.unembedding.weight.read();
      const q = topSingularVectors(unembedding, vocabSize, hiddenSize, rank, rng); // rows: [r, C]
      const down = Tensor.from(device, q, [rank, hiddenSize], { requiresGrad: true });
      const up = scope(() => trainable(linear(readRows(weights.unembedding.weight), copyOf(down))));
      return { down, up };
    },
    logits: (normed, { down, up }) => linear(linear(normed, down!), up!),
  },

  mlp: {
    defaultInner: ({ config: { hiddenSize } }) => hiddenSize,
    shapes: ({ config: { hiddenSize } }, inner) => ({ up: [inner, hiddenSize], down: [hiddenSize, inner] }),
    initialize: ({ device, config: { hiddenSize } }, inner, rng) => {
      const up = Float32Array.from({ length: inner * hiddenSize }, () => rng.normal() / Math.sqrt(hiddenSize));
      return Promise.resolve({
        up: Tensor.from(device, up, [inner, hiddenSize], { requiresGrad: true }),
        down: Tensor.from(device, new Float32Array(hiddenSize * inner), [hiddenSize, inner], { requiresGrad: true }),
      });
    },
    logits: (normed, { up, down }, model) =>
      project(add(normed, linear(gelu(linear(normed, up!)), down!)), model.weights.unembedding),
  },

  shortlist: {
    defaultInner: ({ config: { vocabSize } }) => Math.min(256, vocabSize >> 1),
    shapes: ({ config: { hiddenSize } }, n) => ({ weight: [n + 1, hiddenSize], bias: [n + 1] }),
    async initialize({ device, config: { vocabSize, hiddenSize }, weights: { unembedding } }, n, _rng, shortlist) {
      const rows = await unembedding.weight.read();
      const own = await unembedding.bias?.read();
      const weight = new Float32Array((n + 1) * hiddenSize);
      const bias = new Float32Array(n + 1);
      const bucketOf = new Map(shortlist.map((id, i) => [id, i]));
      bias[n] = Math.log(vocabSize - n);
      for (let id = 0; id < vocabSize; id++) {
        const bucket = bucketOf.get(id) ?? n;
        const share = bucket === n ? 1 / (vocabSize - n) : 1;
        bias[bucket]! += share * (own?.[id] ?? 0);
        for (let c = 0; c < hiddenSize; c++) weight[bucket * hiddenSize + c]! += share * rows[id * hiddenSize + c]!;
      }
      return {
        weight: Tensor.from(device, weight, [n + 1, hiddenSize], { requiresGrad: true }),
        bias: Tensor.from(device, bias, [n + 1], { requiresGrad: true }),
      };
    },
    logits: (normed, { weight, bias }) => linear(normed, weight!, { bias: bias as Tensor }),
  },
};

export function defaultInner(kind: HeadKind, model: Model): number {
  return DEFINITIONS[kind].defaultInner(model);
}

/** Whether a head's last product is the model's own, frozen unembedding. */
export function usesUnembedding(kind: HeadKind): boolean {
  return kind === "tied" || kind === "mlp";
}

/**
 * Multiply-adds of one head for one token; `inner` is r of lowRank (C/4 by default), m of mlp (C by default) or n of
 * shortlist (256 or V/2 by default).
 */
export function headCost(
  { hiddenSize: c, vocabSize: v }: Pick<ModelConfig, "hiddenSize" | "vocabSize">,
  kind: HeadKind,
  inner = kind === "shortlist" ? Math.min(256, v >> 1) : kind === "lowRank" ? Math.floor(c / 4) : c,
): number {
  switch (kind) {
    case "dense":
      return c * v;
    case "tied":
      return c * c + c * v;
    case "lowRank":
      return inner * (c + v);
    case "mlp":
      return 2 * c * inner + c * v;
    case "shortlist":
      return c * (inner + 1);
  }
}

/** Shapes of all weights of a head, the norm's included. */
export function headWeightShapes(
  { kind, inner }: HeadShape,
  model: Model,
): Readonly<Record<string, readonly number[]>> {
  const { hiddenSize } = model.config;
  return {
    normGain: [hiddenSize],
    ...(model.weights.finalNorm.bias && { normBias: [hiddenSize] }),
    ...DEFINITIONS[kind].shapes(model, inner),
  };
}

/** Fresh trainable weights: the logit lens. */
export async function initialHeadWeights(
  { kind, inner, shortlist = [] }: HeadShape,
  model: Model,
  rng: Rng,
): Promise<Record<string, Tensor>> {
  const { gain, bias } = model.weights.finalNorm;
  return {
    normGain: trainable(gain),
    ...(bias && { normBias: trainable(bias) }),
    ...(await DEFINITIONS[kind].initialize(model, inner, rng, shortlist)),
  };
}

/** Logits [R, V] of states x [R, C]; of shortlist [R, n + 1]. */
export function headLogits(x: Tensor, { kind }: HeadShape, weights: HeadWeights, model: Model): Tensor {
  const norm = {
    gain: weights["normGain"] as Tensor,
    ...(weights["normBias"] && { bias: weights["normBias"] as Tensor }),
  };
  return DEFINITIONS[kind].logits(normalize(x, norm, model.config), weights, model);
}

/** All rows of a matrix as a plain tensor. */
function readRows(matrix: Matrix): Tensor {
  return embedding(
    matrix,
    Array.from({ length: matrix.shape[0]! }, (_, i) => i),
  );
}

/** An independent frozen copy. */
function copyOf(tensor: Tensor): Tensor {
  return new Tensor(tensor.device, tensor.device.kernels.slice(tensor.storage, 0, tensor.size), tensor.shape);
}

/** An independent trainable copy. */
function trainable(tensor: Tensor): Tensor {
  return new Tensor(tensor.device, tensor.device.kernels.slice(tensor.storage, 0, tensor.size), tensor.shape, true);
}
