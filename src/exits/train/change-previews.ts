/**
 * The same heads with other previews: maps are trained on a list of tokens (`trainHeads`), where that is cheap, and
 * used with a preview or the whole unembedding. Learned keys and values come along.
 */
import { HeadsError } from "../../errors.js";
import { Tensor, type WeightDtype } from "../../tensor/index.js";
import { attachHeads, type AttachOptions } from "../heads/attach-heads.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { Projection } from "../heads/projection.js";
import type { Tensors } from "../heads/head-weights.js";

/** As in the old heads by default. */
export interface ChangePreviewsOptions extends Pick<AttachOptions, "preview" | "unembeddingPreview"> {
  /** As for `attachHeads`; undefined, given as such, is the default there. */
  readonly dtype?: WeightDtype | undefined;
}

/**
 * Returns new heads at the same depths, with copies of the maps and unfitted previews; a preview of the model's
 * unembedding that is not asked for is copied as it is. The old heads stay. Throws a HeadsError if a head has no map.
 */
export async function changePreviews(heads: ExitHeads, options: ChangePreviewsOptions): Promise<ExitHeads> {
  const { model } = heads;
  const linear = heads.heads.filter(({ shape }) => shape.kind !== "preview");
  const own = heads.heads.find(({ shape }) => shape.kind === "preview");
  const dense = linear.find(({ shape }) => shape.kind === "dense");
  if (dense !== undefined) {
    throw new HeadsError(
      "heads-kind",
      `changePreviews: the head at depth ${dense.depth} is dense, with an unembedding of its own; previews are for ` +
        "linear heads",
      { depth: dense.depth },
    );
  }
  const { preview = false, dtype: before } = linear[0]?.shape ?? {};
  const { dtype, ...asked } = { dtype: before, ...options };
  const changed = attachHeads(model, {
    exits: linear.map(({ depth }) => depth),
    kind: "linear",
    preview,
    ...(dtype && { dtype }),
    ...(own && { unembeddingPreview: own.shape.preview! }),
    ...asked,
  });
  for (const [i, head] of changed.heads.entries()) {
    const { kind } = head.shape;
    const source = kind === "preview" ? own : linear[i];
    if (source === undefined) continue;
    head.weights.set(await copiesOf(source.weights.tensors));
    if (kind === "preview" && options.unembeddingPreview === undefined) {
      head.preview!.set(await copiesOf((await source.preview!.weights()).tensors));
    }
    const { projection } = source;
    if (projection !== undefined) head.projection = new Projection(model, head.depth, projection);
  }
  return changed;
}

async function copiesOf(tensors: Tensors): Promise<Tensors> {
  const copies: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const { device, shape, requiresGrad } = tensor;
    copies[name] = Tensor.from(device, await tensor.read(), shape, { requiresGrad });
  }
  return copies;
}
