/**
 * Files put into a folder together, even if the process is killed in the middle:
 *   1  every file is written beside its place, under a temporary name
 *   2  .commit.json says which is whose: from here on the new files count
 *   3  each is renamed to its place, and .commit.json is deleted
 * The next to open the folder finishes step 3 if there is a .commit.json, else removes a dead process's step 1. So the
 * folder is as before or as after, never mixed.
 */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError } from "../errors.js";
import { MANIFEST, manifestOf } from "../model/files/manifest.js";
import { makeFolder, readJson, removeStaleTemporaries, temporaryName, writeFileAtomic } from "./files.js";

const COMMIT = ".commit.json";

/** Names by temporary names. */
type Commit = Readonly<Record<string, string>>;

/**
 * Writes all files or none, with a manifest of their hashes. Makes the folder if necessary. Throws an EarlyExitError
 * `file-outside` for a name with a slash.
 */
export async function writeFolder(folder: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  const stray = Object.keys(files).find((name) => !isName(name));
  if (stray !== undefined) {
    const message = `${folder}: ${JSON.stringify(stray)} is no file of the folder itself; give a name without slashes`;
    throw new EarlyExitError("file-outside", message, { folder, name: stray });
  }
  await makeFolder(folder);
  await settleFolder(folder);
  const bytes = new Map(
    Object.entries(files).map(([name, data]) => [
      name,
      typeof data === "string" ? new TextEncoder().encode(data) : data,
    ]),
  );
  const manifest = `${JSON.stringify(await manifestOf(bytes), undefined, 2)}\n`;
  const commit: Record<string, string> = {};
  try {
    for (const [name, data] of [...bytes, [MANIFEST, manifest] as const]) {
      const waiting = temporaryName(name);
      commit[waiting] = name;
      await writeFileAtomic(join(folder, waiting), data);
    }
    await writeFileAtomic(join(folder, COMMIT), `${JSON.stringify(commit)}\n`);
  } catch (error) {
    for (const waiting of Object.keys(commit)) await rm(join(folder, waiting), { force: true });
    throw error;
  }
  await putInPlace(folder, commit);
}

/** Finishes or undoes what a killed writer left. Other folders stay as they are. */
export async function settleFolder(folder: string): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  if (names.includes(COMMIT)) await putInPlace(folder, await readCommit(folder));
  await removeStaleTemporaries(folder, names);
}

async function putInPlace(folder: string, commit: Commit): Promise<void> {
  for (const [waiting, name] of Object.entries(commit)) {
    try {
      await rename(join(folder, waiting), join(folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // else it is in its place already
    }
  }
  await rm(join(folder, COMMIT), { force: true });
}

/** Nothing if its writer has finished meanwhile. */
async function readCommit(folder: string): Promise<Commit> {
  const path = join(folder, COMMIT);
  const found = await readJson(path).catch((error: unknown) => {
    if (error instanceof EarlyExitError && error.code === "file-missing") return {};
    throw error;
  });
  const commit = found ?? {};
  if (Object.entries(commit).flat().every(isName)) return commit as Commit;
  throw new EarlyExitError(
    "folder-damaged",
    `${path}: expected the list of files that a writer was putting in place; delete it to keep the older files`,
    { folder },
  );
}

const isName = (name: unknown): boolean => typeof name === "string" && /^[^/\\]+$/.test(name);
