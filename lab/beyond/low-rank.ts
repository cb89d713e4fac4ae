/**
 * A frozen llama whose matrices change by products of rank r: y = W x + B (A x), in training (Hu et al. 2022). B begins
 * at zero, so the changed model begins as the original, bit for bit.
 */
import type { Model } from "early-exits";
import { attendWhole, type BlockWeights, type LinearWeights, type Matrix, wholeKeys } from "early-exits/model";
import { createRng, keep, linear, rmsNorm, swiglu, Tensor } from "early-exits/tensor";

/** The matrices of a block that change. */
const MATRICES = ["query", "keyValue", "attentionOut", "up", "down"] as const;
type MatrixName = (typeof MATRICES)[number];

interface Change {
  /** A [r, K]. */
  readonly down: Tensor;
  /** B [N, r]. */
  readonly up: Tensor;
}

/** A llama with low-rank changes; the original does not change. */
export class LowRankModel {
  readonly #changes: readonly Readonly<Record<MatrixName, Change>>[];

  constructor(
    readonly model: Model,
    rank: number,
    seed: number,
  ) {
    const { config, weights } = model;
    if (config.norm !== "rmsNorm" || !config.gatedMlp || config.activation !== "silu" || config.parallelResidual) {
      throw new Error("LowRankModel: the block here is a llama's; this model has another");
    }
    const rng = createRng(seed);
    this.#changes = weights.blocks.map((block) => {
      const made = MATRICES.map((name) => [
        name,
        changeOf(model, matrixOf(block, name).weight, rank, () => rng.uniform()),
      ]);
      return Object.fromEntries(made) as Record<MatrixName, Change>;
    });
  }

  get parameters(): Tensor[] {
    return this.#changes.flatMap((change) => MATRICES.flatMap((name) => [change[name].down, change[name].up]));
  }

  /** States [T, C] of a text at some depths, differentiable in the changes. */
  states(ids: readonly number[], wanted: readonly number[]): Map<number, Tensor> {
    const { model } = this;
    const positions = ids.map((_, i) => i);
    const states = new Map<number, Tensor>();
    let x = model.embed(ids, positions);
    for (const [layer, block] of model.weights.blocks.entries()) {
      x = this.#block(x, layer, block, positions);
      if (wanted.includes(layer + 1)) states.set(layer + 1, x);
    }
    return states;
  }

  #block(x: Tensor, layer: number, block: BlockWeights, positions: readonly number[]): Tensor {
    const { model } = this;
    const epsilon = model.config.normEpsilon;
    const change = this.#changes[layer]!;
    const project = (input: Tensor, name: MatrixName, residual?: Tensor): Tensor => {
      const small = linear(linear(input, change[name].down), change[name].up, { residual });
      return linear(input, matrixOf(block, name).weight, { residual: small });
    };
    const rows = model.wholeRows(layer, 1, positions);
    const normed = rmsNorm(x, block.attentionNorm!.gain, epsilon);
    const keys = wholeKeys(project(normed, "keyValue"), block, rows);
    const attended = project(attendWhole(project(normed, "query"), keys, rows), "attentionOut", x);
    const inner = swiglu(project(rmsNorm(attended, block.mlpNorm!.gain, epsilon), "up"));
    return project(inner, "down", attended);
  }
}

function matrixOf(block: BlockWeights, name: MatrixName): LinearWeights {
  const weights = block[name];
  if (weights !== undefined && weights.bias === undefined) return weights;
  throw new Error(`LowRankModel: ${name} is missing or has a bias; the block here is a llama's`);
}

function changeOf({ device }: Model, weight: Matrix, rank: number, uniform: () => number): Change {
  const [n, k] = weight.shape as [number, number];
  const bound = Math.sqrt(3 / k); // the variance of A x is that of x
  const random = Float32Array.from({ length: rank * k }, () => (2 * uniform() - 1) * bound);
  return {
    down: keep(Tensor.from(device, random, [rank, k], { requiresGrad: true })),
    up: keep(Tensor.from(device, new Float32Array(n * rank), [n, rank], { requiresGrad: true })),
  };
}
