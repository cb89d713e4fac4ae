/**
 * The same heads with another vocabulary. Maps are trained where it is cheap, on the rows of a shortlist, and used
 * where they are: with a preview or the full vocabulary. Learned keys and values come along.
 */
import { HeadsError } from "../../errors.js";
import { Tensor, type WeightDtype } from "../../tensor/index.js";
import {
  attachHeads,
  type AttachOptions,
  type ExitHeads,
  type HeadShape,
  Projection,
  type UnembeddingPreview,
} from "../heads/index.js";

export interface ChangeVocabularyOptions
  extends
    Required<Pick<AttachOptions, "vocabulary">>,
    Pick<AttachOptions, "shortlist" | "preview" | "unembeddingPreview"> {
  /** As for `attachHeads`; undefined, given as such, is the default there. @default that of the old heads */
  readonly dtype?: WeightDtype | undefined;
}

/**
 * Returns new heads at the same depths, with copies of the old ones' maps and the vocabulary asked for, as untrained
 * as attaching makes it. A vocabulary with a list takes over the old heads' list, if they have one and the options give
 * none. A preview of the model's unembedding is copied as it is, unless the options ask for a new one. The old heads
 * stay as they are. Throws a HeadsError if the vocabulary reads vectors of another width than the maps
 * give, or the heads have different maps.
 */
export async function changeVocabulary(heads: ExitHeads, options: ChangeVocabularyOptions): Promise<ExitHeads> {
  const { model, depths } = heads;
  await heads.ready();
  const own = heads.heads.find(({ isModelsOwn, hasPreview }) => isModelsOwn && hasPreview);
  const { map, inner, shortlist, dtype: before } = heads.heads[0]!.shape;
  const { dtype, ...asked } = { dtype: before, ...options };
  const changed = attachHeads(model, {
    exits: own === undefined ? depths : depths.slice(0, -1),
    map,
    ...(inner > 0 && { inner }),
    ...(dtype && { dtype }),
    ...(shortlist && { shortlist }),
    ...(own && { unembeddingPreview: previewOf(own.shape) }),
    ...asked,
  });
  await changed.ready();
  for (const [i, head] of changed.heads.entries()) {
    if (head.depth === model.config.numLayers && options.unembeddingPreview !== undefined) continue;
    const { mapWeights, shape, projection, weights } = heads.heads[i]!;
    if (own?.depth === head.depth) {
      const copies: Record<string, Tensor> = {};
      for (const [name, tensor] of Object.entries(weights)) copies[name] = await copyOf(tensor);
      head.weights = copies;
      continue;
    }
    const names = Object.keys(mapWeights).toSorted();
    if (shape.map !== map || names.join() !== Object.keys(head.mapWeights).toSorted().join()) {
      throw new HeadsError(
        "heads-vocabulary",
        `changeVocabulary: the ${shape.map} map at depth ${head.depth} gives other vectors than the vocabulary ` +
          `${options.vocabulary} reads after ${map}; attach heads of that pair and train them`,
        { map: shape.map, vocabulary: options.vocabulary },
      );
    }
    const copies: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(mapWeights)) copies[name] = await copyOf(tensor);
    head.weights = { ...head.weights, ...copies };
    if (projection !== undefined) {
      const { input, weight, bias } = projection;
      head.projection = new Projection(model, input, await copyOf(weight), await copyOf(bias));
    }
  }
  changed.thaw();
  return changed;
}

function previewOf({ preview, shortlist }: HeadShape): UnembeddingPreview {
  return { ...preview, ...(shortlist && { shortlist }) };
}

async function copyOf(tensor: Tensor): Promise<Tensor> {
  const { device, shape, requiresGrad } = tensor;
  return Tensor.from(device, await tensor.read(), shape, { requiresGrad });
}
