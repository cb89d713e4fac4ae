/**
 * An affine map from the normalised state to the normalised final state, the gain, and the model's own unembedding U:
 *   h = g ⊙ (W u(x) + c) + β        u(x) the norm without gain, W [C, C], c [C]; g, β begin as the model's final norm
 *   logits = U h                    or those that a preview finds (unembedding-preview.ts)
 * W begins as the identity (the logit lens) or, much better, as the ridge regression of u(final state) on u(x)
 * (fit-maps.ts); training tunes it. On a pretrained model the lens alone agrees with hardly any token (tuned lens,
 * Belrose et al. 2023).
 */
import type { Model } from "../../model/index.js";
import { normalize } from "../../model/block.js";
import { keep } from "../../tensor/tensor.js";
import { Tensor } from "../../tensor/index.js";
import { linear } from "../../tensor/ops/matmul.js";
import { type ExitHead, headOf } from "./exit-head.js";
import type { HeadShape } from "./head-shape.js";
import { gained, HeadWeights, initialNorm, type Matrices, packMatrices, type Tensors } from "./head-weights.js";
import { unitGain } from "./projection.js";
import { Preview, splitTensors } from "./unembedding-preview.js";

export function linearHead(model: Model, depth: number, shape: HeadShape, tensors: Tensors = {}): ExitHead {
  const given = splitTensors(tensors);
  const unit = keep(unitGain(model));
  const weights = new HeadWeights(given.trained ?? lens(model), async (trained) => ({
    ...(await packMatrices(model, trained, shape.dtype)),
    unit,
  }));
  const preview = shape.preview && new Preview(model, shape.preview, shape.dtype, given.preview);
  const vectors = (x: Tensor, w: Matrices): Tensor => {
    const mapped = linear(normalize(x, { gain: unit }, model.config), w["map"]!, { bias: w["mapBias"] as Tensor });
    return gained(mapped, w);
  };
  return headOf({ model, depth, shape, weights, preview, maps: { vectors }, unit });
}

function lens(model: Model): Tensors {
  const { hiddenSize } = model.config;
  const identity = new Float32Array(hiddenSize * hiddenSize);
  for (let i = 0; i < hiddenSize; i++) identity[i * (hiddenSize + 1)] = 1;
  return { ...initialNorm(model), ...mapTensors(model, { weight: identity, bias: new Float32Array(hiddenSize) }) };
}

/** W [C, K] and c [C] as trainable tensors. */
export function mapTensors(
  { device, config: { hiddenSize } }: Model,
  { weight, bias }: { readonly weight: Float32Array; readonly bias: Float32Array },
): { readonly map: Tensor; readonly mapBias: Tensor } {
  return {
    map: Tensor.from(device, weight, [hiddenSize, weight.length / hiddenSize], { requiresGrad: true }),
    mapBias: Tensor.from(device, bias, [hiddenSize], { requiresGrad: true }),
  };
}
