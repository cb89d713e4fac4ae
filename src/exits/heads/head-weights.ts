/**
 * The weights of a head: a norm n(x), which begins as the model's final norm, and what the head's kind adds. Every kind
 * begins as a "logit lens" (nostalgebraist 2020), which applies the model's own final norm and unembedding to a state
 * of an earlier block, or as an approximation of it; none begins from noise.
 */
import { type Model, normalize } from "../../model/index.js";
import type { Rng, Tensor } from "../../tensor/index.js";
import type { HeadShape } from "./head-shape.js";
import { definitions, type HeadWeights, trainableCopy } from "./kinds/index.js";

/** Shapes of all weights of a head by name. */
export function headWeightShapes(model: Model, shape: HeadShape): Readonly<Record<string, readonly number[]>> {
  const { hiddenSize } = model.config;
  return {
    normGain: [hiddenSize],
    ...(model.weights.finalNorm.bias && { normBias: [hiddenSize] }),
    ...definitions[shape.kind].weightShapes(model, shape),
  };
}

/** Fresh trainable weights: the logit lens. */
export async function initialHeadWeights(model: Model, shape: HeadShape, rng: Rng): Promise<Record<string, Tensor>> {
  const { gain, bias } = model.weights.finalNorm;
  return {
    normGain: trainableCopy(gain),
    ...(bias && { normBias: trainableCopy(bias) }),
    ...(await definitions[shape.kind].initialWeights(model, shape, rng)),
  };
}

/** Maps states x [R, C] to logits [R, W]; the kind defines the W columns. */
export function headLogits(x: Tensor, { kind }: HeadShape, weights: HeadWeights, model: Model): Tensor {
  const norm = {
    gain: weights["normGain"] as Tensor,
    ...(weights["normBias"] && { bias: weights["normBias"] as Tensor }),
  };
  return definitions[kind].logits(normalize(x, norm, model.config), weights, model);
}
