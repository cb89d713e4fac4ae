/**
 * The map of `linear`, then a causal block of the head's own, then the gain:
 *   z = W u(x) + c        y = block(z), which attends to the z of all positions up to its own        h = g ⊙ y + β
 * A head that reads one state alone has to guess what the blocks above would fetch from the positions before; this one
 * fetches for itself. Its keys, values and ways to run are in head-block.ts; `apply` is what is left, row by row.
 *
 * The block begins as a copy of the model's last one, but for what writes to its residual stream, which begins at zero:
 * the gains of its post-norms, or else its output matrices. So y = z at first, and the head is the `linear` one bit for
 * bit, fresh (the logit lens) or fitted in closed form; training begins there. There is no second norm behind the
 * block: it would undo the shrinkage by which a ridge regression says how unsure it is, and with it that start. If the
 * last block attends to the keys and values of a block below, the copy makes its own as that one does.
 */
import { type BlockWeights, keyValueLayers, type Matrix, type Model } from "../../../model/index.js";
import { sizeOf, Tensor } from "../../../tensor/index.js";
import { type HeadWeights, type ModelSizes, trainableCopy } from "../vocabularies/index.js";
import type { HeadMapDefinition } from "./head-map-definition.js";
import { linear, mapped } from "./linear.js";
import { gained } from "./norm.js";

export const block: HeadMapDefinition = {
  defaultInner: () => 0,
  width: ({ hiddenSize }) => hiddenSize,
  weightShapes: (model, shape) => ({
    ...linear.weightShapes(model, shape),
    ...Object.fromEntries(copied(model).map(({ name, weight }) => [name, weight.shape])),
  }),
  async initialWeights(model, shape, rng, signal) {
    const made = await linear.initialWeights(model, shape, rng, signal);
    for (const { name, weight, writes } of copied(model)) {
      made[name] = writes ? zerosLike(weight) : await trainable(weight);
    }
    return made;
  },
  constants: (model) => linear.constants!(model),
  own: {
    enter: mapped,
    entering: ["map", "mapBias"],
    weights: blockOf,
    keysCost: (sizes) => sizes.hiddenSize * (sizes.hiddenSize + widths(sizes).keyValue),
  },
  apply: gained,
  fitted: (model, fit) => linear.fitted!(model, fit),
  /** W counts twice: for the keys and values, and where the head is evaluated. */
  multiplyAdds(sizes) {
    const { query, keyValue, mlp } = widths(sizes);
    return sizes.hiddenSize * (2 * sizes.hiddenSize + keyValue + 2 * query + mlp);
  },
};

/** Rows of a block's matrices: of its query and its output, of keys and values, and of its MLP. */
function widths({ numHeads = NaN, numKvHeads = NaN, headDim = NaN, intermediateSize = NaN, gatedMlp }: ModelSizes) {
  return {
    query: numHeads * headDim,
    keyValue: 2 * numKvHeads * headDim,
    mlp: (gatedMlp === true ? 3 : 2) * intermediateSize,
  };
}

/** A weight that the head's block begins with. */
interface CopiedWeight {
  /** "block.query.weight" and so on. */
  readonly name: string;
  readonly weight: Matrix;
  /** Whether it is the last to change what the block adds to its residual stream. */
  readonly writes: boolean;
}

function copied({ weights: { blocks }, config }: Model): CopiedWeight[] {
  const last = blocks.at(-1)!;
  const { keyValue, keyNorm } = blocks[keyValueLayers(config) - 1]!;
  const writers = [
    last.attentionPostNorm ? "attentionPostNorm" : "attentionOut",
    last.mlpPostNorm ? "mlpPostNorm" : "down",
  ];
  return Object.entries({ ...last, keyValue, keyNorm }).flatMap(([part, weights]) =>
    Object.entries((weights ?? {}) as Readonly<Record<string, Matrix | undefined>>).flatMap(([field, weight]) =>
      weight === undefined ? [] : { name: `block.${part}.${field}`, weight, writes: writers.includes(part) },
    ),
  );
}

/** The head's block in the structure of a model's. */
function blockOf(weights: HeadWeights): BlockWeights {
  const parts: Record<string, Record<string, Matrix>> = {};
  for (const [name, weight] of Object.entries(weights)) {
    const [first, part, field] = name.split(".");
    if (first === "block") (parts[part!] ??= {})[field!] = weight;
  }
  return parts as unknown as BlockWeights;
}

function zerosLike({ device, shape }: Matrix): Tensor {
  return Tensor.from(device, new Float32Array(sizeOf(shape)), shape, { requiresGrad: true });
}

async function trainable(weight: Matrix): Promise<Tensor> {
  if (weight instanceof Tensor) return trainableCopy(weight);
  return Tensor.from(weight.device, await weight.read(), weight.shape, { requiresGrad: true });
}
