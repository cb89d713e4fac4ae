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
import type { HeadParts } from "./exit-head.js";
import { gained, initialNorm, type Tensors } from "./head-weights.js";
import { unitGain } from "./projection.js";

export function linearHead(model: Model): HeadParts {
  const unit = keep(unitGain(model));
  return {
    fresh: () => lens(model),
    maps: {
      vectors(x, w) {
        const normed = normalize(x, { gain: unit }, model.config);
        return gained(linear(normed, w["map"]!, { bias: w["mapBias"] as Tensor }), w);
      },
    },
    unit,
  };
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
