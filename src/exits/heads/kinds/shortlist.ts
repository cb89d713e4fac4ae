/**
 * Logits for the n most frequent tokens only, and one for all other tokens together:
 *   W n(x) + b         W [n + 1, C] begins as the rows of the unembedding U for the n tokens and the mean of its other
 *                      rows; b [n + 1] begins at U's bias, plus log(V - n) for the other tokens
 * shortlist-space.ts defines how such logits are trained and scored.
 */
import { HeadsError } from "../../../errors.js";
import { Tensor } from "../../../tensor/index.js";
import { linear } from "../../../tensor/ops/index.js";
import type { HeadKindDefinition, KindShape, ModelSizes } from "./head-kind-definition.js";
import { shortlistSpace } from "./shortlist-space.js";

export const shortlist: HeadKindDefinition = {
  defaultInner: ({ vocabSize }, options) => options?.shortlist?.length ?? Math.min(256, vocabSize >> 1),
  extra: {
    version: 2,
    choose: (inner, { shortlist: ids }) => ({
      shortlist: ids?.toSorted((a, b) => a - b) ?? Array.from({ length: inner }, (_, id) => id),
    }),
    check: (shape, sizes) => ({ shortlist: checkIds(shape, sizes) }),
  },
  weightShapes: ({ config: { hiddenSize } }, { inner }) => ({ weight: [inner + 1, hiddenSize], bias: [inner + 1] }),
  async initialWeights({ device, config: { vocabSize, hiddenSize }, weights: { unembedding } }, shape) {
    const { inner: n, shortlist: ids = [] } = shape;
    const rows = await unembedding.weight.read();
    const own = await unembedding.bias?.read();
    const weight = new Float32Array((n + 1) * hiddenSize);
    const bias = new Float32Array(n + 1);
    const bucketOf = new Map(ids.map((id, i) => [id, i]));
    bias[n] = Math.log(vocabSize - n);
    for (let id = 0; id < vocabSize; id++) {
      const bucket = bucketOf.get(id) ?? n;
      const share = bucket === n ? 1 / (vocabSize - n) : 1;
      bias[bucket]! += share * (own?.[id] ?? 0);
      for (let c = 0; c < hiddenSize; c++) weight[bucket * hiddenSize + c]! += share * rows[id * hiddenSize + c]!;
    }
    return {
      weight: Tensor.from(device, weight, [n + 1, hiddenSize], { requiresGrad: true }),
      bias: Tensor.from(device, bias, [n + 1], { requiresGrad: true }),
    };
  },
  logits: (normed, { weight, bias }) => linear(normed, weight!, { bias: bias as Tensor }),
  space: ({ shortlist: ids = [] }, vocabSize) => shortlistSpace(ids, vocabSize),
  multiplyAdds: ({ hiddenSize }, inner) => hiddenSize * (inner + 1),
  modelBytes: () => 0,
};

/** Throws a HeadsError unless the ids are `inner` different ones of the vocabulary, ascending, and not all of it. */
function checkIds({ inner, shortlist: ids }: KindShape, { vocabSize }: ModelSizes): readonly number[] {
  const legal =
    ids?.length === inner &&
    inner >= 1 &&
    inner < vocabSize &&
    ids.every((id, i) => Number.isInteger(id) && id >= 0 && id < vocabSize && (i === 0 || id > ids[i - 1]!));
  if (!legal) {
    throw new HeadsError(
      "heads-shortlist",
      `exit heads: a shortlist is ${inner} different token ids in [0, ${vocabSize}), ascending, and has from 1 ` +
        `to ${vocabSize - 1} of them; give such a list`,
      { inner, vocabSize },
    );
  }
  return ids;
}
