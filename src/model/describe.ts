/**
 * What a checkpoint holds, judged by its configuration without reading a single weight: headers are enough to know
 * which tensors the model is made of, which are missing or misshapen, and which nobody asked for.
 */
import type { StoredDtype } from "../tensor/formats/index.js";
import { sameShape, type Shape } from "../tensor/index.js";
import type { Part, TensorSource } from "./checkpoint.js";
import type { ModelConfig } from "./config.js";
import { families, readModelConfig } from "./families/index.js";

export interface CheckpointDescription {
  readonly config: ModelConfig;
  /** Values in the tensors that the model uses. */
  readonly parameters: number;
  /** Parameters by the dtype they are stored as. */
  readonly dtypes: Readonly<Partial<Record<StoredDtype, number>>>;
  readonly unused: readonly string[];
  readonly missing: readonly string[];
  readonly misshapen: readonly { readonly name: string; readonly expected: Shape; readonly found: Shape }[];
}

/**
 * Compares a source with what the parsed config.json asks for. Throws a ModelError where the configuration itself is
 * not supported.
 */
export function describeCheckpoint(configJson: unknown, source: Pick<TensorSource, "tensors">): CheckpointDescription {
  const config = readModelConfig(configJson);
  const family = families[config.modelType];
  const prefix =
    family.prefixes.find((candidate) => source.tensors.has(candidate + family.landmark)) ?? family.prefixes[0]!;
  const wanted = new Map(partsOf(family.plan(config, prefix)).map(({ name, shape }) => [name, shape]));
  const dtypes: Partial<Record<StoredDtype, number>> = {};
  const [missing, misshapen]: [string[], CheckpointDescription["misshapen"][number][]] = [[], []];
  let parameters = 0;
  for (const [name, expected] of wanted) {
    const found = source.tensors.get(name);
    if (found === undefined) missing.push(name);
    else if (!sameShape(found.shape, expected)) misshapen.push({ name, expected, found: found.shape });
    const size = expected.reduce((product, axis) => product * axis, 1);
    parameters += size;
    if (found !== undefined) dtypes[found.dtype] = (dtypes[found.dtype] ?? 0) + size;
  }
  return {
    config,
    parameters,
    dtypes,
    unused: [...source.tensors.keys()].filter((name) => !wanted.has(name)).sort(),
    missing,
    misshapen,
  };
}

/** Every part of a plan, however deep. */
function partsOf(plan: unknown): Part[] {
  if (typeof plan !== "object" || plan === null) return [];
  if ("name" in plan && "shape" in plan) return [plan as Part];
  return Object.values(plan).flatMap(partsOf);
}
