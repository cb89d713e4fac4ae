/** No map but the norm: h = n(x). With the model's own unembedding it is the logit lens, with a trained gain. */
import type { HeadMapDefinition } from "./head-map-definition.js";
import { initialNorm, normed, normShapes } from "./norm.js";

export const none: HeadMapDefinition = {
  defaultInner: () => 0,
  width: ({ hiddenSize }) => hiddenSize,
  weightShapes: normShapes,
  initialWeights: (model) => Promise.resolve(initialNorm(model)),
  apply: normed,
  multiplyAdds: () => 0,
};
