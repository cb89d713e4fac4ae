/** The norm of a head: n(x), with a gain (and bias) of its own that begin as the model's final norm. */
import { type Model, normalize } from "../../../model/index.js";
import type { Tensor } from "../../../tensor/index.js";
import { add, mul } from "../../../tensor/ops/index.js";
import { type HeadWeights, trainableCopy } from "../vocabularies/index.js";

/** Shapes of the norm's weights by name. */
export function normShapes({ config: { hiddenSize }, weights }: Model): Record<string, readonly number[]> {
  return { normGain: [hiddenSize], ...(weights.finalNorm.bias && { normBias: [hiddenSize] }) };
}

/** Copies of the model's final norm. */
export function initialNorm({ weights: { finalNorm } }: Model): Record<string, Tensor> {
  const { gain, bias } = finalNorm;
  return { normGain: trainableCopy(gain), ...(bias && { normBias: trainableCopy(bias) }) };
}

/** g ⊙ x + β [R, C]: the gain alone, of vectors that were mapped to where normalised final states lie. */
export function gained(x: Tensor, { normGain, normBias }: HeadWeights): Tensor {
  const scaled = mul(x, normGain as Tensor);
  return normBias === undefined ? scaled : add(scaled, normBias as Tensor);
}

/** n(x) [R, C]. */
export function normed(x: Tensor, { normGain, normBias }: HeadWeights, { config }: Model): Tensor {
  return normalize(x, { gain: normGain as Tensor, ...(normBias && { bias: normBias as Tensor }) }, config);
}
