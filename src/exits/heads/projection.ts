/**
 * Learned keys and values for the blocks that a token skips (the fill `project`). One affine map turns the state
 * x [1, C] with which a token left at depth d into the keys and values, before rotation, of all blocks above:
 *     [K, V of block d, …, K, V of block L-1] = W·u(x) + b          W [(L-d)·2·G·D, C]
 * with u(x) the norm of x without gain ("normalized"), or u(x) and x side by side ("both": a closer fit at twice the
 * multiply-adds); u(x) = x if attention reads the states without a norm. A key norm is applied later, as they are
 * written. State propagation is the special case W = W_kv·diag(gain), b = W_kv·bias + b_kv of every block;
 * fit-projections.ts starts there. For block d it is exact, because x is that block's input.
 */
import {
  companionDtype,
  keyValueLayers,
  type Model,
  type ModelConfig,
  normalize,
  storedBytes,
  type UnitWork,
} from "../../model/index.js";
import { linear, reshape } from "../../tensor/ops/index.js";
import { keep, PackedMatrix, Tensor } from "../../tensor/index.js";

export type ProjectionInput = "normalized" | "both";
export const projectionInputs = ["normalized", "both"] as const satisfies readonly ProjectionInput[];

/** The blocks (0-based) with keys and values of their own that a token leaving at `depth` skips. */
export function skippedLayers(config: ModelConfig, depth: number): number[] {
  return Array.from({ length: Math.max(0, keyValueLayers(config) - depth) }, (_, i) => depth + i);
}

/** The shape [rows, columns] of the weight of an exit at `depth`. */
export function projectionShape(model: Model, depth: number, input: ProjectionInput): readonly [number, number] {
  const { numKvHeads, headDim, hiddenSize } = model.config;
  return [
    skippedLayers(model.config, depth).length * 2 * numKvHeads * headDim,
    hiddenSize * (input === "both" ? 2 : 1),
  ];
}

export class Projection {
  readonly #unit: Tensor;
  #packed: PackedMatrix | undefined;

  /** Takes ownership of the tensors: weight in the shape of `projectionShape`, bias [rows]. */
  constructor(
    readonly model: Model,
    readonly input: ProjectionInput,
    readonly weight: Tensor,
    readonly bias: Tensor,
  ) {
    keep(weight);
    keep(bias);
    this.#unit = keep(unitGain(model));
  }

  get work(): UnitWork {
    return { multiplyAdds: this.weight.size, bytes: storedBytes(this.#packed ?? this.weight) + storedBytes(this.bias) };
  }

  /** Packs the matrix for decoding, in the dtype that suits the model's. */
  async freeze(): Promise<void> {
    this.#packed ??= PackedMatrix.from(
      this.model.device,
      await this.weight.read(),
      this.weight.shape,
      companionDtype(this.model.dtype),
    );
  }

  /** Keys and values of a state [1, C] in all skipped blocks, one block after another. Call it inside a scope. */
  keyValues(state: Tensor): Tensor {
    const normed = withoutGain(this.model, state, this.#unit);
    const { kernels } = this.model.device;
    const input =
      this.input === "normalized"
        ? normed
        : new Tensor(this.model.device, kernels.concat([normed.storage, state.storage]), [1, 2 * state.size]);
    return linear(input, this.#packed ?? this.weight, { bias: this.bias });
  }

  dispose(): void {
    this.#packed?.dispose();
    this.#packed = undefined;
    for (const tensor of [this.weight, this.bias, this.#unit]) tensor.dispose();
  }
}

/** u(x), with `unit` as the gain. */
export function withoutGain({ weights, config }: Model, x: Tensor, unit: Tensor): Tensor {
  return weights.blocks[0]!.attentionNorm ? normalize(x, { gain: unit }, config) : reshape(x, x.shape);
}

/** A gain of ones: the norm alone. */
export function unitGain({
  device,
  config: { hiddenSize },
}: {
  readonly device: Model["device"];
  readonly config: Pick<ModelConfig, "hiddenSize">;
}): Tensor {
  return Tensor.from(device, new Float32Array(hiddenSize).fill(1), [hiddenSize]);
}
