/**
 * A head's float32 tensors by name, which training changes, and what decoding packs from them on first use. A change
 * drops what is packed.
 */
import { OptionError } from "../../errors.js";
import { companionDtype } from "../../model/weights.js";
import { type Matrix, type Model, storedBytes } from "../../model/index.js";
import { normalize } from "../../model/block.js";
import { keep } from "../../tensor/tensor.js";
import { PackedMatrix, Tensor, type WeightDtype } from "../../tensor/index.js";
import { add, mul } from "../../tensor/ops/arithmetic.js";

export type Tensors = Readonly<Record<string, Tensor>>;
/** Trainable tensors, or packed ones. */
export type Matrices = Readonly<Record<string, Matrix>>;

export class HeadWeights {
  readonly #pack: (tensors: Tensors) => Promise<Matrices>;
  #tensors: Tensors;
  #packing: Promise<Matrices> | undefined;
  #packed: Matrices | undefined;
  #version = 0;
  #disposed = false;

  /** Takes ownership of the tensors. */
  constructor(tensors: Tensors, pack: (tensors: Tensors) => Promise<Matrices>) {
    for (const tensor of Object.values(tensors)) keep(tensor);
    this.#tensors = tensors;
    this.#pack = pack;
  }

  /** Throws an OptionError once the head is disposed of. */
  get tensors(): Tensors {
    if (this.#disposed) throw new OptionError("heads-disposed", "exit heads: these were disposed of; read them again");
    return this.#tensors;
  }

  /** Increases with every change. */
  get version(): number {
    return this.#version;
  }

  /** Bytes that an evaluation reads. */
  get bytes(): number {
    return Object.values(this.#packed ?? this.#tensors).reduce((sum, weight) => sum + storedBytes(weight), 0);
  }

  /** Takes ownership of other tensors, and frees those not among them. */
  set(tensors: Tensors): void {
    this.changed();
    const kept = Object.values(tensors);
    for (const tensor of Object.values(this.#tensors)) {
      if (!kept.includes(tensor)) tensor.dispose();
    }
    for (const tensor of kept) keep(tensor);
    this.#tensors = tensors;
  }

  /** Call it when the tensors' values change. */
  changed(): void {
    this.#version++;
    if (this.#packed !== undefined) disposePacked(this.#packed);
    this.#packed = undefined;
    this.#packing = undefined;
  }

  async packed(): Promise<Matrices> {
    return this.#packed ?? (await (this.#packing ??= this.#packNow()));
  }

  dispose(): void {
    this.set({});
    this.#disposed = true;
  }

  async #packNow(): Promise<Matrices> {
    const version = this.#version;
    try {
      const packed = await this.#pack(this.tensors);
      if (version === this.#version) return (this.#packed = packed);
      disposePacked(packed);
    } catch (error) {
      if (version === this.#version) {
        this.#packing = undefined;
        throw error;
      }
    }
    return this.packed();
  }
}

/** Vectors are not packed, and stay. */
function disposePacked(packed: Matrices): void {
  for (const matrix of Object.values(packed)) {
    if (matrix.shape.length === 2) matrix.dispose();
  }
}

/** Packs matrices in a dtype, by default the one that suits the model's; vectors stay. */
export async function packMatrices(model: Model, tensors: Tensors, dtype?: WeightDtype): Promise<Matrices> {
  const packed: Record<string, Matrix> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    packed[name] =
      tensor.shape.length === 2
        ? PackedMatrix.from(model.device, await tensor.read(), tensor.shape, dtype ?? companionDtype(model.dtype))
        : tensor;
  }
  return packed;
}

/** Every head begins with the model's final norm. */
export function initialNorm({ weights: { finalNorm } }: Model): Record<string, Tensor> {
  const { gain, bias } = finalNorm;
  return { normGain: trainableCopy(gain), ...(bias && { normBias: trainableCopy(bias) }) };
}

/** n(x) [R, C]: the norm with the head's gain. */
export function normed(x: Tensor, { normGain, normBias }: Matrices, { config }: Model): Tensor {
  return normalize(x, { gain: normGain as Tensor, ...(normBias && { bias: normBias as Tensor }) }, config);
}

/** g ⊙ x + β [R, C]: the gain alone, of vectors mapped to where normalised final states lie. */
export function gained(x: Tensor, { normGain, normBias }: Matrices): Tensor {
  const scaled = mul(x, normGain as Tensor);
  return normBias === undefined ? scaled : add(scaled, normBias as Tensor);
}

export function trainableCopy(tensor: Tensor): Tensor {
  return new Tensor(tensor.device, tensor.device.kernels.slice(tensor.storage, 0, tensor.size), tensor.shape, true);
}
