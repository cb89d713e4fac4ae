/**
 * A residual MLP behind the norm:
 *   h = n(x) + W₂ gelu(W₁ n(x))        W₁ [m, C] begins random, W₂ [C, m] at zero
 */
import { Tensor } from "../../../tensor/index.js";
import { add, gelu, linear } from "../../../tensor/ops/index.js";
import type { HeadMapDefinition } from "./head-map-definition.js";
import { initialNorm, normed, normShapes } from "./norm.js";

export const mlp: HeadMapDefinition = {
  defaultInner: ({ hiddenSize }) => hiddenSize,
  width: ({ hiddenSize }) => hiddenSize,
  weightShapes(model, { inner }) {
    const { hiddenSize } = model.config;
    return { ...normShapes(model), up: [inner, hiddenSize], down: [hiddenSize, inner] };
  },
  initialWeights(model, { inner }, rng) {
    const { device, config } = model;
    const { hiddenSize } = config;
    const up = Float32Array.from({ length: inner * hiddenSize }, () => rng.normal() / Math.sqrt(hiddenSize));
    return Promise.resolve({
      ...initialNorm(model),
      up: Tensor.from(device, up, [inner, hiddenSize], { requiresGrad: true }),
      down: Tensor.from(device, new Float32Array(hiddenSize * inner), [hiddenSize, inner], { requiresGrad: true }),
    });
  },
  apply(x, weights, model) {
    const base = normed(x, weights, model);
    return add(base, linear(gelu(linear(base, weights["up"]!)), weights["down"]!));
  },
  multiplyAdds: ({ hiddenSize }, { inner }) => 2 * hiddenSize * inner,
};
