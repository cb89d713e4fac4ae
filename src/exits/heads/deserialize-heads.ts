/** Heads from heads.json and safetensors bytes, checked against their model. */
import { HeadsError } from "../../errors.js";
import { checkManifest } from "../../model/files/manifest.js";
import { fileJson, readHeader } from "../../model/files/folder.js";
import type { Folder, FolderFile, Model } from "../../model/index.js";
import { parseSafetensors } from "../../tensor/formats/safetensors.js";
import { Tensor } from "../../tensor/index.js";
import type * as Grids from "../../tensor/integer-rows.js";
import { formatShape, sameShape } from "../../tensor/shape.js";
import { allOrNone, createHead } from "./create-head.js";
import type { ExitHead } from "./exit-head.js";
import { checkShape, weightShapes } from "./head-shape.js";
import { ExitHeads } from "./exit-heads.js";
import { type AheadDescription, checkDescription } from "./heads-description.js";
import { checkDepths } from "./placement.js";
import { Projection, projectionShape } from "./projection.js";
import { tensorName } from "./serialize-heads.js";

/**
 * Loads heads.json and heads.safetensors from any folder. Throws a HeadsError if a file is missing or the heads belong
 * to another model.
 */
export async function loadHeads(folder: Folder, model: Model): Promise<ExitHeads> {
  const open = async (name: string): Promise<FolderFile> => {
    const file = await folder.open(name);
    if (file === undefined) {
      throw new HeadsError(
        "heads-missing",
        `${folder.path}: no ${name}; expected the folder that training wrote (heads.json, heads.safetensors)`,
        { folder: folder.path },
      );
    }
    return file;
  };
  await checkManifest(folder);
  const description = await open("heads.json");
  const weights = await open("heads.safetensors");
  await readHeader(weights); // what is no file of tensors is not read whole
  // Lists of tokens make it large.
  return deserializeHeads(
    model,
    await fileJson(description, { limit: "tokenizerBytes" }),
    await weights.read(0, weights.size),
  );
}

/** Throws a HeadsError if the stored form is malformed or belongs to another model. */
export async function deserializeHeads(model: Model, description: unknown, weights: Uint8Array): Promise<ExitHeads> {
  const { modelHash, heads, taught, ahead } = checkDescription(description);
  await requireModel(model, modelHash);
  const { numLayers } = model.config;
  if (heads.length > 0) {
    checkDepths(
      numLayers,
      heads.map(({ depth }) => depth),
    );
  }
  if (ahead !== undefined && ahead.depth !== numLayers) {
    throw new HeadsError(
      "heads-ahead",
      `exit heads: a look-ahead head belongs after the last block, ${numLayers}, not at depth ${ahead.depth}; attach ` +
        "and train one for this model",
      { depth: ahead.depth, numLayers },
    );
  }
  const read = storedValues(weights, ahead && (await import("../../tensor/integer-rows.js")));
  // All values are read before the first head takes device memory: a bad one leaves the device as before.
  const stored = heads.map((head) => readHead(model, head, read));
  if (ahead !== undefined) stored.push(readHead(model, ahead, read, "ahead"));
  const made = allOrNone(stored);
  return new ExitHeads(model, made, taught, ahead && made.pop());
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

/** Throws a HeadsError for another shape, or values that are not finite. */
type ReadValues = (depth: number | "ahead", name: string, shape: readonly number[]) => Float32Array;

function storedValues(weights: Uint8Array, grids: typeof Grids | undefined): ReadValues {
  const file = parseSafetensors(weights);
  const read: ReadValues = (depth, name, shape) => {
    const stored = tensorName(depth, name);
    const found = file.info(stored);
    if (!sameShape(found.shape, shape)) {
      throw new HeadsError(
        "heads-shape",
        `exit heads: "${stored}" should be ${formatShape(shape)}, found ${formatShape(found.shape)}`,
        { name: stored, expected: shape, found: found.shape },
      );
    }
    let values = file.float32(stored);
    if (grids !== undefined && found.dtype === "I8" && shape.length === 2) {
      const [rows, columns] = shape as [number, number];
      const scales = read(depth, `${name}.scales`, [rows * grids.groupsOf(columns)]);
      const integers = file.array(stored) as Int8Array;
      values = grids.integerValues({ columns, integers, scales, minimums: new Float32Array(scales.length) });
    }
    if (!values.every(Number.isFinite)) {
      throw new HeadsError(
        "heads-non-finite",
        `exit heads: "${stored}" holds NaN or infinity; the file is damaged, or training diverged: train again`,
        { name: stored },
      );
    }
    return values;
  };
  return read;
}

/** Reads what is stored of a head, and returns what makes it. */
function readHead(
  model: Model,
  { depth, projection: input, confidence, ...asked }: AheadDescription,
  read: ReadValues,
  named: number | "ahead" = depth,
): () => ExitHead {
  const shape = checkShape(model.config, depth, asked);
  const stored = Object.entries(weightShapes(model, shape)).map(
    ([name, size]) => [name, read(named, name, size), size] as const,
  );
  const size = input && projectionShape(model, depth, input);
  const learned = size && {
    input,
    weight: read(depth, "projection.weight", size),
    bias: read(depth, "projection.bias", [size[0]]),
  };
  return () => {
    const tensors = stored.map(
      ([name, values, size]) => [name, Tensor.from(model.device, values, size, { requiresGrad: true })] as const,
    );
    const head = createHead(model, depth, shape, Object.fromEntries(tensors));
    head.projection = learned && new Projection(model, depth, learned);
    head.confidence = confidence;
    return head;
  };
}
