/** From a configuration and a source of tensors to a model on a device. */
import type { CancelSignal } from "../../cancel-signal.js";
import type { Budgets } from "../../budgets.js";
import { ModelError } from "../../errors.js";
import type { CacheDtype, Device } from "../../tensor/index.js";
import { chooseUnembedding } from "./choose-unembedding.js";
import { CheckpointReader, hashCheckpoint, type TensorSource } from "../checkpoint.js";
import { Model } from "../model.js";
import { planModel } from "./plan-model.js";
import type { UnembeddingKind } from "../screened-unembedding.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { type ModelDtype, plannedBytes, plannedValues, readWeights, type WeightLayout } from "../weights.js";

export interface LoadProgress {
  /** Weights on the device; those of matrices, which are nearly all. */
  readonly done: number;
  readonly total: number;
}

export interface LoadModelOptions {
  readonly device: Device;
  readonly tokenizer?: Tokenizer | undefined;
  /** Storage of matrices on the device; "stored": as in the file. @default "float32" */
  readonly dtype?: ModelDtype;
  /**
   * KV cache: bfloat16 halves it, int8 takes a little more than a quarter. Only float32 on the GPU device. @default
   * "float32"
   */
  readonly kvCache?: CacheDtype;
  /**
   * Logits of greedy and top-k tokens; the tokens are the same. "screened" keeps a second, coarse copy of the
   * unembedding, and throws where that saves nothing (int8, GPU). "auto" keeps the faster. @default "auto"
   */
  readonly unembedding?: UnembeddingKind | "auto";
  /** Stops besides those of config.json. The model's hash does not depend on them. */
  readonly eosTokenIds?: readonly number[];
  /** Raised limits, for trusted files. @default defaultBudgets */
  readonly budgets?: Partial<Budgets> | undefined;
  /** Ends loading and frees what was loaded; rejects with the signal's reason. */
  readonly signal?: CancelSignal | undefined;
  /** Called after every few megabytes. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/**
 * From a parsed config.json and a source of tensors. Throws a ModelError that names what is missing, does not fit, or
 * is too large for the device ("model-too-large"); nothing is left on the device then.
 */
export async function loadModel(
  configJson: unknown,
  source: TensorSource,
  {
    device,
    tokenizer,
    dtype = "float32",
    kvCache = "float32",
    unembedding = "auto",
    eosTokenIds = [],
    onProgress,
    budgets,
    signal,
  }: LoadModelOptions,
): Promise<Model> {
  signal?.throwIfAborted();
  const { config, layout } = planModel(configJson, source, budgets);
  const total = plannedValues(layout);
  let done = 0;
  const reader = new CheckpointReader(source, device, {
    onWeights: (weights) => onProgress?.({ done: (done += weights), total }),
    signal,
  });
  requireRoom(layout, device, dtype, source);
  const weights = await readWeights(reader, layout, dtype).catch((error: unknown) => {
    reader.abandon();
    throw error;
  });
  let hash: string | undefined; // computed when first asked for
  const model = new Model({
    device,
    config: { ...config, eosTokenIds: [...new Set([...config.eosTokenIds, ...eosTokenIds])] },
    weights,
    tokenizer,
    dtype,
    kvCache,
    unusedTensors: reader.unused(),
    hash: async (signal) => (hash ??= await hashCheckpoint(source, config, signal)),
  });
  await chooseUnembedding(model, unembedding, { signal }).catch((error: unknown) => {
    model.dispose();
    throw error;
  });
  return model;
}

/** Refuses matrices that exceed the device's memory, before minutes are spent on reading. */
function requireRoom(layout: WeightLayout, { backend, info }: Device, dtype: ModelDtype, source: TensorSource): void {
  const planned = (as: ModelDtype): number => plannedBytes(layout, as, source);
  const memoryLimit = info.memoryLimit ?? Infinity;
  const bytes = planned(dtype);
  if (bytes < memoryLimit) return;
  const gigabytes = (size: number): string => `${(size / 1e9).toFixed(1)} GB`;
  const smaller = (["bfloat16", "int8", "int4"] as const).find((one) => planned(one) < memoryLimit);
  const advice =
    smaller === undefined ? "use a smaller model" : `load it with dtype: "${smaller}" (${gigabytes(planned(smaller))})`;
  throw new ModelError(
    "model-too-large",
    `loadModel: the weights take ${gigabytes(bytes)} as ${dtype}, and the memory of the ${backend} device ends at ` +
      `${gigabytes(memoryLimit)}; ${advice}`,
    { bytes, memoryLimit, dtype },
  );
}
