/**
 * A matrix behind the norm, the map of the kind `tied`:
 *   h = A n(x)         A [C, C] begins as the identity
 * `linear` is the same family of maps with the gain last, where a closed-form fit can leave it alone.
 */
import { linear } from "../../../tensor/ops/index.js";
import type { HeadMapDefinition } from "./head-map-definition.js";
import { identity } from "./identity.js";
import { initialNorm, normed, normShapes } from "./norm.js";

export const translator: HeadMapDefinition = {
  defaultInner: () => 0,
  width: ({ hiddenSize }) => hiddenSize,
  weightShapes(model) {
    const { hiddenSize } = model.config;
    return { ...normShapes(model), translator: [hiddenSize, hiddenSize] };
  },
  initialWeights(model) {
    const { device, config } = model;
    return Promise.resolve({ ...initialNorm(model), translator: identity(device, config.hiddenSize) });
  },
  apply: (x, weights, model) => linear(normed(x, weights, model), weights["translator"]!),
  multiplyAdds: ({ hiddenSize }) => hiddenSize * hiddenSize,
};
