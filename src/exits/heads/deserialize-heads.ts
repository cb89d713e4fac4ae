/** Heads from a JSON description and safetensors bytes, checked against the model that they belong to. */
import { HeadsError } from "../../errors.js";
import type { Model } from "../../model/index.js";
import { parseSafetensors } from "../../tensor/formats/safetensors.js";
import { Tensor } from "../../tensor/index.js";
import { formatShape, sameShape } from "../../tensor/shape.js";
import { ExitHead } from "./exit-head.js";
import { ExitHeads } from "./exit-heads.js";
import { checkShape } from "./head-shape.js";
import { headWeightShapes } from "./head-weights.js";
import { checkDescription, describedShape, type HeadDescription } from "./heads-description.js";
import { checkDepths } from "./placement.js";
import { Projection, type ProjectionInput, projectionShape } from "./projection.js";
import { storedName, tensorName } from "./serialize-heads.js";

/** Restores heads from their stored form. Throws a HeadsError if it is malformed or belongs to another model. */
export async function deserializeHeads(model: Model, description: unknown, weights: Uint8Array): Promise<ExitHeads> {
  const { modelHash, heads } = checkDescription(description);
  await requireModel(model, modelHash);
  checkDepths(
    model.config.numLayers,
    heads.map(({ depth }) => depth),
  );
  const made: Tensor[] = [];
  try {
    const stored = storedTensors(model, weights, made);
    return new ExitHeads(
      model,
      heads.map((head) => restoreHead(model, head, stored)),
    );
  } catch (error) {
    for (const tensor of made) tensor.dispose(); // the device is as before
    throw error;
  }
}

async function requireModel(model: Model, expected: string): Promise<void> {
  const found = await model.hash();
  if (found === expected) return;
  throw new HeadsError(
    "heads-model",
    `exit heads: they were trained for model ${expected.slice(0, 12)}…, this one is ${found.slice(0, 12)}…; load ` +
      "the model they belong to, or train heads for this one",
    { expected, found },
  );
}

/** Reads a tensor of the head at `depth`. Throws a HeadsError if it has another shape. */
type ReadTensor = (
  depth: number,
  name: string,
  options: { readonly shape: readonly number[]; readonly requiresGrad: boolean },
) => Tensor;

/** Every tensor that is made is added to `made`. */
function storedTensors(model: Model, weights: Uint8Array, made: Tensor[]): ReadTensor {
  const file = parseSafetensors(weights);
  return (depth, name, { shape, requiresGrad }) => {
    const stored = tensorName(depth, name);
    const found = file.info(stored);
    if (!sameShape(found.shape, shape)) {
      throw new HeadsError(
        "heads-shape",
        `exit heads: "${stored}" should be ${formatShape(shape)}, found ${formatShape(found.shape)}`,
        { name: stored, expected: shape, found: found.shape },
      );
    }
    const values = file.float32(stored);
    if (!values.every(Number.isFinite)) {
      throw new HeadsError(
        "heads-non-finite",
        `exit heads: "${stored}" holds NaN or infinity; the file is damaged, or training diverged: train again`,
        { name: stored },
      );
    }
    const tensor = Tensor.from(model.device, values, shape, { requiresGrad });
    made.push(tensor);
    return tensor;
  };
}

function restoreHead(model: Model, description: HeadDescription, read: ReadTensor): ExitHead {
  const { depth, projection } = description;
  const head = new ExitHead(model, depth, checkShape(model, describedShape(description)));
  head.weights = Object.fromEntries(
    Object.entries(headWeightShapes(model, head.shape)).map(([name, shape]) => [
      name,
      read(depth, storedName(head.shape, name), { shape, requiresGrad: true }),
    ]),
  );
  if (projection !== undefined) head.projection = restoreProjection(model, depth, projection, read);
  return head;
}

function restoreProjection(model: Model, depth: number, input: ProjectionInput, read: ReadTensor): Projection {
  const shape = projectionShape(model, depth, input);
  return new Projection(
    model,
    input,
    read(depth, "projection.weight", { shape, requiresGrad: false }),
    read(depth, "projection.bias", { shape: [shape[0]], requiresGrad: false }),
  );
}
