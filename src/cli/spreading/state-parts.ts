/** Parts of `train --cache`: shards of the cache of hidden states, one in each chunk. */
import { join } from "node:path";
import { type CacheDescription, type StatesJob, storeStates } from "../../exits/states/index.js";
import type { Model } from "../../index.js";
import { folderStore } from "../../node/index.js";
import type { PartSet } from "../../node/parts/index.js";
import type { Io } from "../io.js";
import { type PartPlace, writeRound } from "./shard-options.js";

/** What a part of states says it was made of. */
export interface StatesMade {
  readonly cache: CacheDescription;
  /** The cache's folder within that of --cache. */
  readonly folder: string;
  readonly dtype: string;
  readonly backend: string;
  readonly kernelBuild: string | null;
}

/** Writes a shard's part. */
export async function writeStatesPart(
  io: Io,
  place: PartPlace,
  { description, shards, record }: StatesJob,
  { model, folder }: { readonly model: Model; readonly folder: string },
): Promise<void> {
  const made: StatesMade = {
    cache: description,
    folder,
    dtype: model.storedAs,
    backend: model.device.backend,
    kernelBuild: model.device.info.kernelBuild ?? null,
  };
  const run = { command: "train", round: "states", units: shards, chunk: 1, made };
  await writeRound(io, place, run, ([shard]) => record(shard!));
}

/** Puts all shards into the cache's folder within `cache`, which is returned. */
export async function mergeStates(parts: PartSet, cache: string): Promise<string> {
  const { cache: description, folder } = parts.run.made as StatesMade;
  const place = join(cache, folder);
  async function* shards(): AsyncGenerator<{ readonly shard: number; readonly bytes: Uint8Array }> {
    for await (const { units, bytes } of parts.chunks()) yield { shard: units[0]!, bytes };
  }
  await storeStates(folderStore(place), description, shards());
  return place;
}
