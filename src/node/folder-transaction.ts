/**
 * Files that belong together are put into a folder together, also if the process is killed in the middle:
 *   1  every file is written beside its place, as .NAME.next
 *   2  .commit.json lists them: from here on the new files count
 *   3  each is renamed to its place, and .commit.json is deleted
 * Whoever opens the folder next finishes step 3 if there is a .commit.json, and else removes what step 1 left. So the
 * folder is as before or as after, never mixed.
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError } from "../errors.js";
import { MANIFEST, manifestOf } from "../model/index.js";
import { fileExists, readJson, removeStaleTemporaries, writeFileAtomic } from "./files.js";

const COMMIT = ".commit.json";
const waitingName = (name: string): string => `.${name}.next`;
const isWaiting = (name: string): boolean => /^\..+\.next$/.test(name);

/** Writes files into a folder, all or none, with a manifest of their hashes. Makes the folder if necessary. */
export async function writeFolder(folder: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  await mkdir(folder, { recursive: true });
  await settleFolder(folder);
  const bytes = new Map(
    Object.entries(files).map(([name, data]) => [
      name,
      typeof data === "string" ? new TextEncoder().encode(data) : data,
    ]),
  );
  const manifest = `${JSON.stringify(await manifestOf(bytes), undefined, 2)}\n`;
  const all = new Map<string, string | Uint8Array>([...bytes, [MANIFEST, manifest]]);
  for (const [name, data] of all) await writeFileAtomic(join(folder, waitingName(name)), data);
  await writeFileAtomic(join(folder, COMMIT), `${JSON.stringify([...all.keys()])}\n`);
  await putInPlace(folder, [...all.keys()]);
}

/**
 * Finishes or undoes what a killed writer left in a folder. Does nothing to a folder that is in order, does not exist,
 * or is none.
 */
export async function settleFolder(folder: string): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  await removeStaleTemporaries(folder, names);
  if (names.includes(COMMIT)) await putInPlace(folder, await committedNames(folder));
  else {
    for (const name of names.filter(isWaiting)) await rm(join(folder, name), { force: true });
  }
}

async function putInPlace(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const waiting = join(folder, waitingName(name));
    if (await fileExists(waiting)) await rename(waiting, join(folder, name)); // else an earlier attempt did it
  }
  await rm(join(folder, COMMIT), { force: true });
}

async function committedNames(folder: string): Promise<readonly string[]> {
  const path = join(folder, COMMIT);
  const names = await readJson(path);
  const isName = (name: unknown): boolean => typeof name === "string" && /^[^/\\]+$/.test(name);
  if (Array.isArray(names) && names.every(isName)) return names as string[];
  throw new EarlyExitError(
    "folder-damaged",
    `${path}: expected the list of files that a writer was putting in place; delete it to keep the older files`,
    { folder },
  );
}
