/**
 * Learned keys and values for the blocks that a token skips (the fill `project`). One affine map turns the state
 * x [1, C] with which a token left at depth d into the keys and values, before rotation, of all blocks above:
 *     [K, V of block d, …, K, V of block L-1] = W·u(x) + b          W [(L-d)·2·G·D, C]
 * with u(x) the norm of x without gain ("normalized"), or u(x) and x side by side ("both": a closer fit at twice the
 * multiply-adds); u(x) = x if attention reads the states without a norm. A key norm is applied later, as they are
 * written. State propagation is the special case W = W_kv·diag(gain), b = W_kv·bias + b_kv of every block;
 * fit-projections.ts starts there. For block d it is exact, because x is that block's input.
 */
import { range } from "../../model/families/family.js";
import { companionDtype, type UnitWork } from "../../model/weights.js";
import { keyValueLayers, type Model, type ModelConfig, storedBytes } from "../../model/index.js";
import { normalize } from "../../model/block.js";
import { linear } from "../../tensor/ops/matmul.js";
import { reshape } from "../../tensor/ops/select.js";
import { keep } from "../../tensor/tensor.js";
import { PackedMatrix, Tensor } from "../../tensor/index.js";

export type ProjectionInput = "normalized" | "both";
export const projectionInputs = ["normalized", "both"] as const satisfies readonly ProjectionInput[];

/** Blocks (0-based) with keys and values of their own that a token leaving at `depth` skips. */
export function skippedLayers(config: ModelConfig, depth: number): number[] {
  return range(depth, keyValueLayers(config));
}

/** [rows, columns] of the weight of an exit at `depth`. */
export function projectionShape(model: Model, depth: number, input: ProjectionInput): readonly [number, number] {
  const { numKvHeads, headDim, hiddenSize } = model.config;
  return [
    skippedLayers(model.config, depth).length * 2 * numKvHeads * headDim,
    hiddenSize * (input === "both" ? 2 : 1),
  ];
}

export class Projection {
  readonly input: ProjectionInput;
  /** [rows, columns]. */
  readonly shape: readonly [number, number];
  /** W, row by row. */
  readonly weight: Float32Array;
  /** [rows]. */
  readonly bias: Float32Array;
  readonly #model: Model;
  readonly #unit: Tensor;
  readonly #bias: Tensor;
  #packed: PackedMatrix | undefined;

  /** weight in the shape of `projectionShape`, bias [rows]. */
  constructor(model: Model, depth: number, { input, weight, bias }: Pick<Projection, "input" | "weight" | "bias">) {
    this.#model = model;
    this.input = input;
    this.shape = projectionShape(model, depth, input);
    this.weight = weight;
    this.bias = bias;
    this.#unit = keep(unitGain(model));
    this.#bias = keep(Tensor.from(model.device, bias, [bias.length]));
  }

  get work(): UnitWork {
    return { multiplyAdds: this.weight.length, bytes: storedBytes(this.#matrix) + storedBytes(this.#bias) };
  }

  /** Keys and values of a state [1, C] in all skipped blocks. Call it inside a scope. */
  keyValues(state: Tensor): Tensor {
    const normed = withoutGain(this.#model, state, this.#unit);
    const { device } = this.#model;
    const input =
      this.input === "normalized"
        ? normed
        : new Tensor(device, device.kernels.concat([normed.storage, state.storage]), [1, 2 * state.size]);
    return linear(input, this.#matrix, { bias: this.#bias });
  }

  /** Packed, in the dtype that suits the model's. */
  get #matrix(): PackedMatrix {
    const { device, dtype } = this.#model;
    return (this.#packed ??= PackedMatrix.from(device, this.weight, this.shape, companionDtype(dtype)));
  }

  dispose(): void {
    for (const part of [this.#packed, this.#unit, this.#bias]) part?.dispose();
    this.#packed = undefined;
  }
}

/** u(x), with `unit` as the gain. */
export function withoutGain({ weights, config }: Model, x: Tensor, unit: Tensor): Tensor {
  return weights.blocks[0]!.attentionNorm ? normalize(x, { gain: unit }, config) : reshape(x, x.shape);
}

/** The norm alone. */
export function unitGain({ device, config: { hiddenSize } }: Pick<Model, "device" | "config">): Tensor {
  return Tensor.from(device, new Float32Array(hiddenSize).fill(1), [hiddenSize]);
}
