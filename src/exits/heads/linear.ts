/**
 * An affine map from the normalised state to the normalised final state, the gain, and the model's own unembedding U:
 *   h = g ⊙ (W u(x) + c) + β        u(x) the norm without gain, W [C, C], c [C]; g, β begin as the model's final norm
 *   logits = U h                    or those that a preview finds (unembedding-preview.ts)
 * W begins as the identity (the logit lens) or, much better, as the ridge regression of u(final state) on u(x)
 * (fit-maps.ts); training tunes it. On a pretrained model the lens alone agrees with hardly any token (tuned lens,
 * Belrose et al. 2023).
 */
import { bytesOf } from "../../model/weights.js";
import type { Model } from "../../model/index.js";
import { normalize, project } from "../../model/block.js";
import { keep } from "../../tensor/tensor.js";
import { scope, Tensor } from "../../tensor/index.js";
import { crossEntropy } from "../../tensor/ops/loss.js";
import { linear } from "../../tensor/ops/matmul.js";
import type { ExitHead } from "./exit-head.js";
import { headCost, type HeadShape } from "./head-shape.js";
import { gained, HeadWeights, initialNorm, type Matrices, packMatrices, type Tensors } from "./head-weights.js";
import { unitGain } from "./projection.js";
import { readConfidences, readStats, scoreNames } from "./score.js";
import { Preview, splitTensors } from "./unembedding-preview.js";

export function linearHead(model: Model, depth: number, shape: HeadShape, tensors: Tensors = {}): ExitHead {
  const { unembedding } = model.weights;
  const given = splitTensors(tensors);
  const unit = keep(unitGain(model));
  const weights = new HeadWeights(given.trained ?? lens(model), async (trained) => ({
    ...(await packMatrices(model, trained, shape.dtype)),
    unit,
  }));
  const preview = shape.preview && new Preview(model, shape.preview, shape.dtype, given.preview);
  const vectorsBy = (x: Tensor, w: Matrices): Tensor => {
    const mapped = linear(normalize(x, { gain: unit }, model.config), w["map"]!, { bias: w["mapBias"] as Tensor });
    return gained(mapped, w);
  };
  return {
    model,
    depth,
    shape,
    weights,
    preview,
    projection: undefined,
    scores: preview?.scores ?? scoreNames,
    vectors: (x) => vectorsBy(x, weights.tensors),
    trainingLogits: (x) => project(vectorsBy(x, weights.tensors), unembedding),
    async logits(x) {
      const packed = await weights.packed();
      await preview?.packed();
      return scope(() => (preview ? vectorsBy(x, packed) : project(vectorsBy(x, packed), unembedding)));
    },
    confidences: preview ? (h) => preview.confidences(h) : readConfidences,
    stats: preview ? (h) => preview.stats(h) : readStats,
    allLogits: preview ? (h) => preview.allLogits(h) : (logits) => logits.read(),
    losses: preview ? (h, ids) => preview.losses(h, ids) : crossEntropy,
    get work() {
      const bytes = weights.bytes + (preview?.bytes ?? bytesOf(unembedding));
      return { multiplyAdds: headCost(model.config, shape), bytes };
    },
    dispose() {
      weights.dispose();
      preview?.dispose();
      unit.dispose();
    },
  };
}

function lens(model: Model): Tensors {
  const { hiddenSize } = model.config;
  const identity = new Float32Array(hiddenSize * hiddenSize);
  for (let i = 0; i < hiddenSize; i++) identity[i * (hiddenSize + 1)] = 1;
  return { ...initialNorm(model), ...mapTensors(model, { weight: identity, bias: new Float32Array(hiddenSize) }) };
}

/** W [C, C] and c [C] as trainable tensors. */
export function mapTensors(
  { device, config: { hiddenSize } }: Model,
  { weight, bias }: { readonly weight: Float32Array; readonly bias: Float32Array },
): { readonly map: Tensor; readonly mapBias: Tensor } {
  return {
    map: Tensor.from(device, weight, [hiddenSize, hiddenSize], { requiresGrad: true }),
    mapBias: Tensor.from(device, bias, [hiddenSize], { requiresGrad: true }),
  };
}
