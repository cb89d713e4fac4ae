/** Exit heads on disk (heads.json and heads.safetensors), policies, and hidden-state caches (folders of shards). */
import { join } from "node:path";
import { policyFrom } from "../calibrate/index.js";
import { PolicyError } from "../errors.js";
import type { ExitHeads } from "../exits/heads/exit-heads.js";
import type { HeadsDescription } from "../exits/heads/heads-description.js";
import { loadHeads } from "../exits/heads/deserialize-heads.js";
import { serializeHeads } from "../exits/heads/serialize-heads.js";
import type { Policy } from "../exits/plan/policy.js";
import type { CacheStore } from "../exits/states/record-states.js";
import type { Model } from "../model/index.js";
import { diskFolder } from "./disk-folder.js";
import { fileExists, readBytes, readJson, writeFileAtomic } from "./files.js";
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
  const { description, weights } = await serializeHeads(heads);
  await writeFolder(folder, {
    ...files,
    "heads.safetensors": weights,
    "heads.json": headsJson(description),
  });
}

/** Writes every list of numbers on one line: token ids are thousands. */
export function headsJson(description: HeadsDescription): string {
  const json = JSON.stringify(description, undefined, 2);
  return `${json.replaceAll(/\[[\d\s,]+\]/g, (list) => list.replaceAll(/\s+/g, "").replaceAll(",", ", "))}\n`;
}

/** Throws a HeadsError if heads belong to another model, and an EarlyExitError if the folder is damaged. */
export async function readHeads(folder: string, model: Model): Promise<ExitHeads> {
  await settleFolder(folder);
  return loadHeads(diskFolder(folder), model);
}

/**
 * Opens a policy, in a certificate or alone (`policyFrom`); alone it promises nothing. Throws a PolicyError that names
 * the file if its seal is broken or anything in it is not legal.
 */
export async function readPolicy(path: string): Promise<Policy> {
  const json = await readJson(path);
  try {
    return policyFrom(json);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new PolicyError(error.code, `${path}: ${error.message}`, { ...error.details, path });
  }
}

export function folderStore(folder: string): CacheStore {
  return {
    read: async (name) => ((await fileExists(join(folder, name))) ? readBytes(join(folder, name)) : undefined),
    write: (name, bytes) => writeFileAtomic(join(folder, name), bytes),
    has: (name) => fileExists(join(folder, name)),
  };
}
