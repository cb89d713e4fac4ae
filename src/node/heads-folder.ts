/** Exit heads on disk (heads.json and heads.safetensors), policies, and hidden-state caches (folders of shards). */
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { openPolicy, type ReadPolicyOptions } from "../calibrate/open-policy.js";
import { type ExitHeads, requireHeads } from "../exits/heads/exit-heads.js";
import type { HeadsDescription } from "../exits/heads/heads-description.js";
import { loadHeads } from "../exits/heads/deserialize-heads.js";
import { serializeHeads } from "../exits/heads/serialize-heads.js";
import type { Policy } from "../exits/plan/policy.js";
import type { CacheStore } from "../exits/states/record-states.js";
import type { Model } from "../model/index.js";
import { diskFolder, requireFile } from "./disk-folder.js";
import { fileExists, readBytes, writeFileAtomic } from "./files.js";
import { settleFolder, writeFolder } from "./folder-transaction.js";

interface WriteHeadsOptions {
  /** Files beside the heads by name, such as a training log. @default none */
  readonly files?: Readonly<Record<string, string>>;
}

/** Writes heads, further files and their manifest, all or none. */
export async function writeHeads(
  folder: string,
  heads: ExitHeads,
  { files = {} }: WriteHeadsOptions = {},
): Promise<void> {
  requireHeads("writeHeads(folder, heads)", heads);
  const { description, weights } = await serializeHeads(heads);
  await writeFolder(folder, {
    ...files,
    "heads.safetensors": weights,
    "heads.json": headsJson(description),
  });
}

/** Writes every list of numbers on one line: token ids and hashes are thousands. */
export function headsJson(description: HeadsDescription): string {
  const json = JSON.stringify(description, undefined, 2);
  return `${json.replaceAll(/\[[\d\s,]+\]/g, (list) => list.replaceAll(/\s+/g, ""))}\n`;
}

/** Throws a HeadsError if heads belong to another model, and an EarlyExitError if the folder is damaged. */
export async function readHeads(folder: string, model: Model): Promise<ExitHeads> {
  await settleFolder(folder);
  return loadHeads(diskFolder(folder), model);
}

/**
 * Reads a policy from a certificate, or alone, where it promises nothing. `path` is its file, or a folder with
 * policy.json or with a certificate for every level. Throws a PolicyError or an EarlyExitError that names the file.
 */
export async function readPolicy(path: string, options?: ReadPolicyOptions): Promise<Policy> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return openPolicy(
    isFolder ? diskFolder(path) : await requireFile(diskFolder(dirname(path)), basename(path)),
    options,
  );
}

export function folderStore(folder: string): CacheStore {
  return {
    read: async (name) => ((await fileExists(join(folder, name))) ? readBytes(join(folder, name)) : undefined),
    write: (name, bytes) => writeFileAtomic(join(folder, name), bytes),
    has: (name) => fileExists(join(folder, name)),
  };
}
