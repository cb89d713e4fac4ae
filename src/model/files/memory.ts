/**
 * The memory that a model takes on the wasm device, by its configuration and its tensors' headers: weights by dtype,
 * and keys and values of a token. Left out: the coarse copy of a screened unembedding (`coarseBytes`), exit heads, and
 * a few megabytes to work in.
 */
import { ModelError } from "../../errors.js";
import { requireOneOf } from "../../known.js";
import { cacheDtypes, type CacheDtype, type Device, weightDtypes } from "../../tensor/device.js";
import { packedBytes } from "../../tensor/packed-bytes.js";
import { losslessDtype, type Part, stackedShape, type TensorSource } from "../checkpoint.js";
import type { ModelConfig } from "../config.js";
import { cacheBytesPerPosition } from "../sequence.js";
import {
  dtypesOutside,
  type LinearPlan,
  type ModelDtype,
  modelDtypes,
  type NormPlan,
  partsOf,
  type WeightLayout,
} from "../weights.js";
import { layoutOf } from "./plan-model.js";

/** WebAssembly's addresses have 32 bits. */
const WASM_LIMIT = 2 ** 32;
/** Texts that are shorter are no use. */
const LEAST_TOKENS = 256;

interface MemoryNeeds {
  /** Bytes of all weights. */
  readonly weights: Readonly<Record<ModelDtype, number>>;
  /** Bytes of a token's keys and values in all blocks. */
  readonly perToken: Readonly<Record<CacheDtype, number>>;
  /** Tokens of a text that fit beside the weights, at most the context limit. */
  readonly tokens: Readonly<Record<ModelDtype, Readonly<Record<CacheDtype, number>>>>;
}

type Headers = Pick<TensorSource, "tensors" | "storedAs">;

interface MemoryOptions {
  /** Tensors, for "stored", which is bfloat16 without them. */
  readonly source?: Headers;
  /** Bytes for weights and texts. @default 4 GiB */
  readonly room?: number;
}

/** Says what a model takes on the wasm device, and what fits into its memory. */
export function memoryNeeds(
  config: ModelConfig,
  { source = { tensors: new Map() }, room = WASM_LIMIT }: MemoryOptions = {},
): MemoryNeeds {
  const layout = layoutOf(config, source);
  const weights = byName(modelDtypes, (dtype) => weightBytes(layout, dtype, source));
  const perToken = byName(cacheDtypes, (dtype) => cacheBytesPerPosition(config, dtype));
  const states = 2 * 4 * config.hiddenSize; // of a prompt's token, before and after a block
  const fitting = (bytes: number): number => Math.max(0, Math.min(config.maxPositionEmbeddings, Math.floor(bytes)));
  const tokens = byName(modelDtypes, (dtype) =>
    byName(cacheDtypes, (cache) => fitting((room - weights[dtype]) / (perToken[cache] + states))),
  );
  return { weights, perToken, tokens };
}

function byName<Name extends string, T>(names: readonly Name[], of: (name: Name) => T): Record<Name, T> {
  return Object.fromEntries(names.map((name) => [name, of(name)])) as Record<Name, T>;
}

function weightBytes(layout: WeightLayout, dtype: ModelDtype, source: Headers): number {
  const outside = dtypesOutside(layout, dtype);
  const matrix = (wanted: readonly Part[], as: ModelDtype): number => {
    const parts = wanted.map((part) => source.storedAs?.(part) ?? part);
    return packedBytes(...stackedShape(parts), as === "stored" ? losslessDtype(parts, source) : as);
  };
  const floats = (parts: readonly Part[]): number =>
    parts.reduce((bytes, { shape, rows }) => bytes + 4 * (rows?.length ?? shape[0]!) * (shape[1] ?? 1), 0);
  const plan = (one: LinearPlan | NormPlan, as: ModelDtype): number => {
    const { bias = [] } = one;
    const gain = "gain" in one ? floats([one.gain]) : matrix(one.weight, as);
    return gain + floats([bias].flat());
  };
  const { embedding, positionEmbedding, blocks, finalNorm, unembedding } = layout;
  return [
    matrix([embedding], outside.embedding),
    positionEmbedding === undefined ? 0 : floats([positionEmbedding]),
    ...blocks.flatMap(partsOf).map(([, one]) => plan(one, dtype)),
    plan(finalNorm, dtype),
    unembedding === undefined ? 0 : plan(unembedding, outside.unembedding),
  ].reduce((sum, bytes) => sum + bytes, 0);
}

interface Asked {
  readonly device: Device;
  /** @default "float32" */
  readonly dtype?: ModelDtype;
  /** @default "float32" */
  readonly kvCache?: CacheDtype;
}

/** Refuses what exceeds the device's memory, before minutes are spent on reading or downloading. */
export function requireRoom(
  config: ModelConfig,
  source: Headers | undefined,
  { device, dtype = "float32", kvCache = "float32" }: Asked,
): void {
  requireOneOf("readModel: dtype", dtype, modelDtypes);
  requireOneOf("readModel: kvCache", kvCache, cacheDtypes);
  const { backend, info } = device;
  if (info.memoryLimit === undefined) return;
  const room = info.memoryLimit - (device.memory?.().used ?? 0);
  const { weights, perToken, tokens } = memoryNeeds(config, { ...(source && { source }), room });
  const least = Math.min(LEAST_TOKENS, config.maxPositionEmbeddings);
  if (tokens[dtype][kvCache] >= least) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  const smaller = weightDtypes
    .filter((one) => tokens[one][kvCache] >= least)
    .map((one) => `"${one}" (${gigabytes(weights[one])}, texts of up to ${tokens[one][kvCache]} tokens)`);
  throw new ModelError(
    "model-too-large",
    `loadModel: the weights take ${gigabytes(weights[dtype])} as ${dtype}, and each token's keys and values ` +
      `${(perToken[kvCache] / 1e3).toFixed(1)} kB as ${kvCache}; the ${backend} device has room for ` +
      `${gigabytes(room)}, so for texts of ${tokens[dtype][kvCache]} tokens; ` +
      (smaller.length === 0 ? "use a smaller model" : `load it with dtype: ${smaller.join(" or ")}`),
    { bytes: weights[dtype], perToken: perToken[kvCache], room, dtype, kvCache, tokens },
  );
}
