/**
 * The weights of a head: those of its map, then those of its vocabulary. Every head begins as a "logit lens"
 * (nostalgebraist 2020), which applies the model's own final norm and unembedding to a state of an earlier block, or as
 * an approximation of it; none begins from noise.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { DeviceError } from "../../errors.js";
import { companionDtype, type Matrix, type Model } from "../../model/index.js";
import { PackedMatrix, type Rng, type Tensor } from "../../tensor/index.js";
import { type HeadShape, mapShapeOf, vocabularyShapeOf } from "./head-shape.js";
import { maps } from "./maps/index.js";
import { type Constant, type HeadWeights, vocabularies } from "./vocabularies/index.js";

/** Shapes of all weights of a head by name. */
export function headWeightShapes(model: Model, shape: HeadShape): Readonly<Record<string, readonly number[]>> {
  return {
    ...maps[shape.map].weightShapes(model, mapShapeOf(shape)),
    ...vocabularies[shape.vocabulary].weightShapes(model, vocabularyShapeOf(model.config, shape)),
  };
}

/** Fresh trainable weights: the logit lens. */
export async function initialHeadWeights(
  model: Model,
  shape: HeadShape,
  rng: Rng,
  signal?: CancelSignal,
): Promise<Record<string, Tensor>> {
  const mapShape = mapShapeOf(shape);
  const map = await maps[shape.map].initialWeights(model, mapShape, rng, signal);
  try {
    const basis = maps[shape.map].basis?.(map, mapShape);
    const vocabularyShape = vocabularyShapeOf(model.config, shape);
    return { ...map, ...(await vocabularies[shape.vocabulary].initialWeights(model, vocabularyShape, basis, signal)) };
  } catch (error) {
    for (const weight of Object.values(map)) weight.dispose();
    throw error;
  }
}

/** The frozen values of the model that a head computes with, beside its weights. */
export async function headConstants(model: Model, shape: HeadShape): Promise<Readonly<Record<string, Constant>>> {
  const { dtype = companionDtype(model.dtype) } = shape;
  return {
    ...(await maps[shape.map].constants?.(model)),
    ...(await vocabularies[shape.vocabulary].constants?.(model, vocabularyShapeOf(model.config, shape), dtype)),
  };
}

/** The weights for decoding: matrices in the head's own dtype, or else the one that suits the model's. */
export async function packWeights(
  model: Model,
  shape: HeadShape,
  weights: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Matrix>> {
  const { dtype = companionDtype(model.dtype) } = shape;
  const packed: Record<string, Matrix> = {};
  const vocabulary = vocabularies[shape.vocabulary];
  for (const [name, tensor] of Object.entries(weights)) {
    if (vocabulary.fixed?.includes(name)) continue;
    packed[name] =
      tensor.shape.length === 2 ? PackedMatrix.from(model.device, await tensor.read(), tensor.shape, dtype) : tensor;
  }
  const derived = await vocabulary.derived?.(model, vocabularyShapeOf(model.config, shape), weights, shape.dtype);
  return { ...packed, ...derived };
}

/** Ends the use of a head's constants. */
export function releaseConstants(constants: Promise<Readonly<Record<string, Constant>>> | undefined): void {
  void constants
    ?.then((made) => {
      for (const constant of Object.values(made)) constant.release();
    })
    .catch((error: unknown) => {
      // A device that was disposed of meanwhile holds nothing any more.
      if (!(error instanceof DeviceError && error.code === "device-disposed")) throw error;
    });
}

/** What a packed head gives its output space to read: logits [R, W], or its vectors [R, C]. */
export function headOutput(x: Tensor, shape: HeadShape, weights: HeadWeights, model: Model): Tensor {
  const { vectors = false } = vocabularies[shape.vocabulary];
  return vectors ? maps[shape.map].apply(x, weights, model) : headLogits(x, shape, weights, model);
}

/** Maps states x [R, C] to logits [R, W]; the vocabulary defines the W columns. */
export function headLogits(x: Tensor, { map, vocabulary }: HeadShape, weights: HeadWeights, model: Model): Tensor {
  return vocabularies[vocabulary].logits(maps[map].apply(x, weights, model), weights, model);
}
