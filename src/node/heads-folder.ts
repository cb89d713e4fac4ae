/** Exit heads on disk (a folder of heads.json and heads.safetensors), and hidden-state caches (a folder of shards). */
import { join } from "node:path";
import { type ExitHeads, loadHeads, serializeHeads } from "../exits/heads/index.js";
import type { CacheStore } from "../exits/states/index.js";
import type { Model } from "../model/index.js";
import { diskFolder } from "./disk-folder.js";
import { fileExists, readBytes, writeFileAtomic } from "./files.js";
import { settleFolder, writeFolder } from "./folder-transaction.js";

/** Writes heads.json, heads.safetensors and their manifest, all or none. */
export async function writeHeads(folder: string, heads: ExitHeads): Promise<void> {
  const { description, weights } = await serializeHeads(heads);
  await writeFolder(folder, {
    "heads.safetensors": weights,
    "heads.json": `${JSON.stringify(description, undefined, 2)}\n`,
  });
}

/**
 * Reads heads for a model. Throws a HeadsError if they belong to another model, and an EarlyExitError if the folder is
 * damaged.
 */
export async function readHeads(folder: string, model: Model): Promise<ExitHeads> {
  await settleFolder(folder);
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
