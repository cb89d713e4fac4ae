/**
 * Files put into a folder together, even if the process is killed in the middle:
 *   1  every file is written beside its place, as .NAME.PID.next
 *   2  .commit.json lists them: from here on the new files count
 *   3  each is renamed to its place, and .commit.json is deleted
 * The next to open the folder finishes step 3 if there is a .commit.json, else removes a dead process's step 1. So the
 * folder is as before or as after, never mixed.
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError } from "../errors.js";
import { MANIFEST, manifestOf } from "../model/files/manifest.js";
import { readJson, removeStaleTemporaries, writeFileAtomic } from "./files.js";

const COMMIT = ".commit.json";
const waitingName = (name: string, pid: number): string => `.${name}.${pid}.next`;

interface Commit {
  readonly pid: number;
  readonly names: readonly string[];
}

/** Writes all files or none, with a manifest of their hashes. Makes the folder if necessary. */
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
  const commit: Commit = { pid: process.pid, names: [...all.keys()] };
  const waiting = (name: string): string => join(folder, waitingName(name, commit.pid));
  try {
    for (const [name, data] of all) await writeFileAtomic(waiting(name), data);
    await writeFileAtomic(join(folder, COMMIT), `${JSON.stringify(commit)}\n`);
  } catch (error) {
    for (const name of commit.names) await rm(waiting(name), { force: true });
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

async function putInPlace(folder: string, { pid, names }: Commit): Promise<void> {
  for (const name of names) {
    try {
      await rename(join(folder, waitingName(name, pid)), join(folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // else it is in its place already
    }
  }
  await rm(join(folder, COMMIT), { force: true });
}

async function readCommit(folder: string): Promise<Commit> {
  const path = join(folder, COMMIT);
  const { pid, names } = ((await readJson(path)) ?? {}) as Partial<Commit>;
  const isName = (name: unknown): boolean => typeof name === "string" && /^[^/\\]+$/.test(name);
  if (Number.isSafeInteger(pid) && Array.isArray(names) && names.every(isName)) return { pid: pid!, names };
  throw new EarlyExitError(
    "folder-damaged",
    `${path}: expected the list of files that a writer was putting in place; delete it to keep the older files`,
    { folder },
  );
}
