/** Exit heads on disk (a folder of heads.json and heads.safetensors), and hidden-state caches (a folder of shards). */
import { join } from "node:path";
import { type ExitHeads, loadHeads, serializeHeads } from "../exits/heads/index.js";
import type { CacheStore } from "../exits/states/index.js";
import type { Model } from "../model/index.js";
import { diskFolder } from "./disk-folder.js";
import { fileExists, readBytes, writeFileAtomic } from "./files.js";

/** Writes heads.json and heads.safetensors. */
export async function writeHeads(folder: string, heads: ExitHeads): Promise<void> {
  const { description, weights } = await serializeHeads(heads);
  await writeFileAtomic(join(folder, "heads.safetensors"), weights);
  await writeFileAtomic(join(folder, "heads.json"), `${JSON.stringify(description, undefined, 2)}\n`);
}

/** Reads heads for a model. Throws a HeadsError if they belong to another model. */
export async function readHeads(folder: string, model: Model): Promise<ExitHeads> {
  return loadHeads(diskFolder(folder), model);
}

/** A hidden-state cache in a folder. */
export function folderStore(folder: string): CacheStore {
  return {
    read: async (name) => ((await fileExists(join(folder, name))) ? readBytes(join(folder, name)) : undefined),
    write: (name, bytes) => writeFileAtomic(join(folder, name), bytes),
    has: (name) => fileExists(join(folder, name)),
  };
}
