/** Compares a checkpoint with its configuration by its header alone: tensors that are missing, misshapen or unused. */
import type { Budgets } from "../../budgets.js";
import type { StoredDtype } from "../../tensor/formats/stored.js";
import type { Shape } from "../../tensor/index.js";
import { sameShape, sizeOf } from "../../tensor/shape.js";
import type { Part, TensorSource } from "../checkpoint.js";
import type { ModelConfig } from "../config.js";
import { memoryNeeds } from "./memory.js";
import { planModel } from "./plan-model.js";

interface MisshapenTensor {
  readonly name: string;
  readonly expected: Shape;
  readonly found: Shape;
}

export interface CheckpointDescription {
  readonly config: ModelConfig;
  /** Values in used tensors. */
  readonly parameters: number;
  /** Parameters by stored dtype. */
  readonly dtypes: Readonly<Partial<Record<StoredDtype, number>>>;
  /** On the wasm device. */
  readonly memory: ReturnType<typeof memoryNeeds>;
  readonly unused: readonly string[];
  readonly missing: readonly string[];
  readonly misshapen: readonly MisshapenTensor[];
}

/** Throws a ModelError if the configuration itself is not supported. */
export function describeCheckpoint(
  configJson: unknown,
  source: Pick<TensorSource, "tensors" | "storedAs">,
  budgets?: Partial<Budgets>,
): CheckpointDescription {
  const { config, layout } = planModel(configJson, source, budgets);
  const parts = partsOf(layout).map((part) => source.storedAs?.(part) ?? part);
  const wanted = new Map(parts.map(({ name, shape }) => [name, shape]));
  const dtypes: Partial<Record<StoredDtype, number>> = {};
  const missing: string[] = [];
  const misshapen: MisshapenTensor[] = [];
  let parameters = 0;
  for (const [name, expected] of wanted) {
    const found = source.tensors.get(name);
    if (found === undefined) missing.push(name);
    else if (!sameShape(found.shape, expected)) misshapen.push({ name, expected, found: found.shape });
    const size = sizeOf(expected);
    parameters += size;
    if (found !== undefined) dtypes[found.dtype] = (dtypes[found.dtype] ?? 0) + size;
  }
  return {
    config,
    parameters,
    dtypes,
    memory: memoryNeeds(config, { source }),
    unused: [...source.tensors.keys()].filter((name) => !wanted.has(name)).sort(),
    missing,
    misshapen,
  };
}

/** Parts at any depth. */
function partsOf(plan: unknown): Part[] {
  if (typeof plan !== "object" || plan === null) return [];
  if ("name" in plan && "shape" in plan) return [plan as Part];
  return Object.values(plan).flatMap(partsOf);
}
