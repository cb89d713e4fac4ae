/** From a configuration and a source of tensors to a model on a device. */
import type { Budgets } from "../../budgets.js";
import type { CancelSignal } from "../../cancel-signal.js";
import { DeviceError, OptionError } from "../../errors.js";
import { allNames, requireKnown, requireOneOf } from "../../known.js";
import { type CacheDtype, type Device, scope, type Tensor } from "../../tensor/index.js";
import { rowArgmax } from "../../tensor/ops/reduce.js";
import { sliceRows } from "../../tensor/ops/select.js";
import { valuesOf } from "../../tensor/values-of.js";
import { giveTurn } from "../../turns.js";
import { CheckpointReader, hashCheckpoint, type TensorSource } from "../checkpoint.js";
import { finalLogits } from "../decode/final-logits.js";
import { Model } from "../model.js";
import type { UnembeddingKind } from "../screened-unembedding.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { type ModelDtype, plannedValues, readWeights } from "../weights.js";
import { requireRoom } from "./memory.js";
import { planModel } from "./plan-model.js";

export interface LoadProgress {
  /** Weights on the device; those of matrices, which are nearly all. */
  readonly done: number;
  readonly total: number;
}

export interface LoadModelOptions {
  readonly device: Device;
  readonly tokenizer?: Tokenizer | undefined;
  /** Storage of matrices on the device; "stored": as in the file. @default "float32"; of a GGUF file "stored" */
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

export const loadOptionNames = allNames<LoadModelOptions>()(
  "device",
  "tokenizer",
  "dtype",
  "kvCache",
  "unembedding",
  "eosTokenIds",
  "budgets",
  "signal",
  "onProgress",
);

// Measures whether decoding should screen the unembedding: states of the model are unembedded both ways, in turn.
// Savings depend on the machine (bytes against arithmetic) and on the model (logits that compete), so no table could
// say.

/** Smaller unembeddings take microseconds. */
const LEAST_WEIGHTS = 2 ** 20;
const STATES = 8;
/** Share of the time that screening must save to be worth its memory. */
const LEAST_SAVED = 0.1;

interface ChoiceOptions {
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
  readonly signal?: CancelSignal | undefined;
}

/**
 * "auto" screens if that is possible, there is memory for the copy, and it is faster. Throws an OptionError
 * ("unembedding-screened") if "screened" is not possible.
 */
export async function chooseUnembedding(
  model: Model,
  wish: UnembeddingKind | "auto" = "auto",
  { now = () => performance.now(), signal }: ChoiceOptions = {},
): Promise<void> {
  if (wish !== "auto") {
    model.setUnembedding(wish);
    return;
  }
  const [rows, columns] = model.weights.unembedding.weight.shape;
  if (rows! * columns! < LEAST_WEIGHTS) return;
  try {
    model.setUnembedding("screened");
  } catch (error) {
    if (error instanceof DeviceError || error instanceof OptionError) return; // not possible
    throw error;
  }
  if (!(await screeningPays(model, now, signal))) model.setUnembedding("full");
}

async function screeningPays(model: Model, now: () => number, signal: CancelSignal | undefined): Promise<boolean> {
  const { numLayers, vocabSize, maxPositionEmbeddings } = model.config;
  const count = Math.min(STATES, maxPositionEmbeddings);
  const ids = Array.from({ length: count }, (_, i) => (i * 7919 + 13) % vocabSize);
  const states = scope(() => model.forward(ids).get(numLayers)!); // [count, C]
  const screened: number[] = [];
  const full: number[] = [];
  const timed = async (into: number[], run: () => Promise<unknown>): Promise<void> => {
    const started = now();
    await run();
    into.push(now() - started);
  };
  try {
    for (let row = 0; row < count; row++) {
      await giveTurn(signal);
      const state = (): Tensor => sliceRows(states, row, row + 1);
      await timed(screened, () => finalLogits(model, state, [1]));
      await timed(full, () => valuesOf(() => rowArgmax(model.unembed(state()))));
    }
  } finally {
    states.dispose();
  }
  // The fastest of each: other processes can only add time.
  return Math.min(...screened) < (1 - LEAST_SAVED) * Math.min(...full);
}

/**
 * From a parsed config.json and a source of tensors. Throws a ModelError that names what is missing, does not fit, or
 * is too large for the device ("model-too-large"); nothing is left on the device then.
 *
 * @example
 * ```ts
 * import { loadModel } from "early-exits";
 * import { memorySource } from "early-exits/model";
 * import { createDevice, readJson } from "early-exits/node";
 * import { readFile } from "node:fs/promises";
 *
 * const folder = "node_modules/early-exits/models/sotu-12"; // `readModel(folder)` does all of this
 * const weights = memorySource(await readFile(`${folder}/model.safetensors`));
 * const device = await createDevice("wasm");
 * const model = await loadModel(await readJson(`${folder}/config.json`), weights, { device });
 * console.log(model.config.numLayers); // 12
 * ```
 */
export async function loadModel(configJson: unknown, source: TensorSource, options: LoadModelOptions): Promise<Model> {
  requireKnown("readModel", options, loadOptionNames);
  const { device, tokenizer, dtype = "float32", kvCache = "float32", unembedding = "auto", eosTokenIds = [] } = options;
  const { onProgress, budgets, signal } = options;
  signal?.throwIfAborted();
  requireOneOf("readModel: unembedding", unembedding, ["auto", "full", "screened"]);
  const { config, layout } = planModel(configJson, source, budgets);
  const total = plannedValues(layout);
  let done = 0;
  const reader = new CheckpointReader(source, device, {
    onWeights: (weights) => onProgress?.({ done: (done += weights), total }),
    signal,
  });
  requireRoom(config, source, { device, dtype, kvCache });
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
