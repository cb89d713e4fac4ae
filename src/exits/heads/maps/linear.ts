/**
 * An affine map from the normalised state to the normalised final state, and then the gain:
 *   h = g ⊙ (W u(x) + c) + β        u(x) the norm without gain, W [C, C], c [C]; g, β begin as the model's final norm
 * W begins as the identity (the logit lens) or, much better, as the ridge regression of u(final state) on u(x)
 * (fit-maps.ts); training tunes it. It learns where the states of depth d lie, which the lens does not know: on a
 * pretrained model the lens alone agrees with hardly any token (tuned lens, Belrose et al. 2023).
 */
import { type Model, normalize } from "../../../model/index.js";
import { Tensor } from "../../../tensor/index.js";
import { linear as product } from "../../../tensor/ops/index.js";
import { type HeadWeights, shareUnitGain } from "../vocabularies/index.js";
import type { HeadMapDefinition } from "./head-map-definition.js";
import { identity } from "./identity.js";
import { gained, initialNorm, normShapes } from "./norm.js";

export const linear: HeadMapDefinition = {
  defaultInner: () => 0,
  width: ({ hiddenSize }) => hiddenSize,
  weightShapes(model) {
    const { hiddenSize } = model.config;
    return { ...normShapes(model), map: [hiddenSize, hiddenSize], mapBias: [hiddenSize] };
  },
  initialWeights(model) {
    const { hiddenSize } = model.config;
    return Promise.resolve({
      ...initialNorm(model),
      map: identity(model.device, hiddenSize),
      mapBias: Tensor.from(model.device, new Float32Array(hiddenSize), [hiddenSize], { requiresGrad: true }),
    });
  },
  constants: async (model) => ({ unit: await shareUnitGain(model) }),
  apply: (x, weights, model) => gained(mapped(x, weights, model), weights),
  fitted({ device, config: { hiddenSize } }, { weight, bias }) {
    return {
      map: Tensor.from(device, weight, [hiddenSize, hiddenSize], { requiresGrad: true }),
      mapBias: Tensor.from(device, bias, [hiddenSize], { requiresGrad: true }),
    };
  },
  multiplyAdds: ({ hiddenSize }) => hiddenSize * hiddenSize,
};

/** W u(x) + c [R, C]. */
export function mapped(x: Tensor, { map, mapBias, unit }: HeadWeights, { config }: Pick<Model, "config">): Tensor {
  const normed = normalize(x, { gain: unit as Tensor }, config); // u(x)
  return product(normed, map!, { bias: mapBias as Tensor });
}
