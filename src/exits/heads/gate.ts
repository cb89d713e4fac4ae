/**
 * A gate: a small MLP that reads the state x [1, C] at an exit and predicts the probability that the exit's head agrees
 * with the full model, without the head's product with the vocabulary:
 *     [l₀, l₁] = W₂ gelu(W₁ u(x) + b₁) + b₂          gate = 1 / (1 + e^(l₀ - l₁))          W₁ [m, C], W₂ [2, m]
 * with u(x) the norm of x without gain. train-gates.ts trains it. The score `gate` is known before the head is
 * evaluated: a token that stays costs the gate alone, a token that leaves costs the gate and the head.
 */
import { companionDtype, type Matrix, type Model, normalize, storedBytes, type UnitWork } from "../../model/index.js";
import { gelu, linear } from "../../tensor/ops/index.js";
import { keep, PackedMatrix, type Rng, scope, Tensor } from "../../tensor/index.js";
import { unitGain } from "./projection.js";

export type GateWeights<W = Tensor> = Readonly<{ up: W; upBias: Tensor; down: W; downBias: Tensor }>;

/** Shapes of a gate's weights by name. */
export function gateShapes(hiddenSize: number, inner: number): Readonly<Record<keyof GateWeights, readonly number[]>> {
  return { up: [inner, hiddenSize], upBias: [inner], down: [2, inner], downBias: [2] };
}

/** The inner size of a gate for which the user gives none. */
export function defaultGateInner(hiddenSize: number): number {
  return Math.max(1, hiddenSize >> 2);
}

/** Multiply-adds of one evaluation. */
export function gateCost(hiddenSize: number, inner: number): number {
  return inner * (hiddenSize + 2);
}

export class Gate {
  readonly #unit: Tensor;
  #packed: GateWeights<PackedMatrix> | undefined;

  /** Takes ownership of the weights. */
  constructor(
    readonly model: Model,
    readonly weights: GateWeights,
  ) {
    for (const tensor of Object.values(weights)) keep(tensor);
    this.#unit = keep(unitGain(model));
  }

  /** An untrained gate: its probability is one half everywhere. */
  static create(model: Model, inner: number, rng: Rng): Gate {
    const { device } = model;
    const { hiddenSize } = model.config;
    const trainable = (values: Float32Array, shape: readonly number[]): Tensor =>
      Tensor.from(device, values, shape, { requiresGrad: true });
    const shapes = gateShapes(hiddenSize, inner);
    const up = Float32Array.from({ length: inner * hiddenSize }, () => rng.normal() / Math.sqrt(hiddenSize));
    return new Gate(model, {
      up: trainable(up, shapes.up),
      upBias: trainable(new Float32Array(inner), shapes.upBias),
      down: trainable(new Float32Array(2 * inner), shapes.down),
      downBias: trainable(new Float32Array(2), shapes.downBias),
    });
  }

  get inner(): number {
    return this.weights.upBias.size;
  }

  get work(): UnitWork {
    const { up, upBias, down, downBias } = this.#packed ?? this.weights;
    return {
      multiplyAdds: gateCost(this.model.config.hiddenSize, this.inner),
      bytes: [up, upBias, down, downBias].reduce((sum, weight: Matrix) => sum + storedBytes(weight), 0),
    };
  }

  /** Packs the matrices for decoding, in the dtype that suits the model's. */
  async freeze(): Promise<void> {
    if (this.#packed !== undefined) return;
    const { upBias, downBias } = this.weights;
    const pack = async (matrix: Tensor): Promise<PackedMatrix> =>
      PackedMatrix.from(this.model.device, await matrix.read(), matrix.shape, companionDtype(this.model.dtype));
    this.#packed = { up: await pack(this.weights.up), upBias, down: await pack(this.weights.down), downBias };
  }

  /** [R, C] -> logits [R, 2] of "disagrees" and "agrees", differentiable. */
  trainingLogits(x: Tensor): Tensor {
    return this.#logits(x, this.weights);
  }

  /** Reads the probabilities [R] that the head agrees at states x [R, C], float32. */
  async read(x: Tensor): Promise<Float32Array> {
    const logits = scope(() => this.#logits(x, this.#packed ?? this.weights));
    const values = await logits.read();
    logits.dispose();
    return Float32Array.from(
      { length: values.length / 2 },
      (_, r) => 1 / (1 + Math.exp(values[2 * r]! - values[2 * r + 1]!)),
    );
  }

  dispose(): void {
    this.#packed?.up.dispose();
    this.#packed?.down.dispose();
    this.#packed = undefined;
    for (const tensor of [...Object.values(this.weights), this.#unit]) tensor.dispose();
  }

  #logits(x: Tensor, { up, upBias, down, downBias }: GateWeights<Matrix>): Tensor {
    const normed = normalize(x, { gain: this.#unit }, this.model.config);
    return linear(gelu(linear(normed, up, { bias: upBias })), down, { bias: downBias });
  }
}
