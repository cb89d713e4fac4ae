/** Reading and writing of files, with errors that say what to do. Writing is atomic: a file is complete or absent. */
import { createHash, randomUUID } from "node:crypto";
import { access, lstat, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { EarlyExitError } from "../errors.js";
import { parseJson } from "../model/files/folder.js";
import { documentsOf, utf8Of } from "../model/files/text.js";

interface FileStats {
  readonly size: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isFIFO(): boolean;
  isSymbolicLink(): boolean;
}

const MAX_WHOLE = 2 ** 31 - 1;

export async function fileExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Reads a regular file of at most `largest` bytes. Throws an EarlyExitError: `file-missing`, `file-irregular` (a pipe
 * or a device may never end) or `file-too-large`.
 */
export async function readBytes(path: string, largest = MAX_WHOLE): Promise<Uint8Array> {
  try {
    requireRegular(path, await stat(path), largest);
    return await readFile(path);
  } catch (error) {
    if (error instanceof EarlyExitError) throw error;
    throw new EarlyExitError(
      "file-missing",
      `${path}: cannot be read (${codeOf(error)}); check the path`,
      { path },
      { cause: error },
    );
  }
}

/**
 * Throws an EarlyExitError unless the path is a regular file: reading a pipe or a device may never end. Node reads at
 * most 2 GiB into memory at once.
 */
export function requireRegular(path: string, stats: FileStats, largest: number): void {
  if (!stats.isFile()) {
    const kind = stats.isSymbolicLink() ? "a link" : stats.isFIFO() ? "a pipe" : "no regular file";
    const found = stats.isDirectory() ? "a folder" : kind;
    throw new EarlyExitError("file-irregular", `${path}: is ${found}; give the path of a file`, { path });
  }
  if (stats.size > largest) {
    throw new EarlyExitError(
      "file-too-large",
      `${path}: has ${stats.size} bytes; at most ${largest} are read at once; split the file`,
      { path, bytes: stats.size, largest },
    );
  }
}

/**
 * Reads UTF-8 text. A .jsonl file of objects with a "text" field gives their texts, separated by form feeds (see
 * `splitDocuments`). Throws an EarlyExitError `text-binary` for a file that holds no text.
 */
export async function readText(path: string): Promise<string> {
  return documentsOf(await readUtf8(path), path);
}

/** Throws an EarlyExitError `text-binary` for a file that holds no text. */
export async function readUtf8(path: string): Promise<string> {
  return utf8Of(await readBytes(path), path);
}

export async function readJson(path: string): Promise<unknown> {
  return parseJson(new TextDecoder("utf-8").decode(await readBytes(path)), path);
}

/**
 * Renames a temporary file beside it. Makes the folder if necessary. Throws an EarlyExitError `file-irregular` rather
 * than put a file in place of a device, a pipe, a link or a folder, and `file-unwritable`.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const replaced = await lstat(path).catch(() => undefined);
  if (replaced !== undefined) requireRegular(path, replaced, Infinity);
  await makeFolder(dirname(path));
  const temporary = temporaryName(path);
  try {
    await writeFile(temporary, data);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw unwritable(path, error);
  }
}

/** Makes a folder, and those above it. Throws an EarlyExitError `file-unwritable`. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === "EEXIST" && (await stat(path).catch(() => undefined))?.isDirectory() === true) return;
    // Not mkdir's own `recursive`: in /proc, where folders exist and none can be made, it never ends.
    if (code !== "ENOENT" || (await fileExists(dirname(path)))) throw unwritable(path, error);
    await makeFolder(dirname(path));
    await makeFolder(path);
  }
}

function unwritable(path: string, error: unknown): EarlyExitError {
  return new EarlyExitError(
    "file-unwritable",
    `${path}: cannot be written (${codeOf(error)}); check the folder and its permissions`,
    { path },
    { cause: error },
  );
}

/** Names this machine or container, whose processes are seen here. */
const HERE = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);

export function temporaryName(path: string, pid = process.pid): string {
  return `${path}.${pid}-${HERE}${randomUUID().slice(8)}.tmp`;
}

/** Milliseconds after which a file that no process elsewhere has written to is abandoned. */
const ABANDONED = 86_400_000;

/** Removes temporary files among `names` whose processes no longer run, as far as can be seen. */
export async function removeStaleTemporaries(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const [, pid, place] = /\.(\d+)-([0-9a-f]{8})[0-9a-f-]{28}\.tmp$/.exec(name) ?? [];
    if (pid === undefined) continue;
    const path = join(folder, name);
    const written = async () => (await lstat(path).catch(() => undefined))?.mtimeMs ?? Infinity;
    const dead = place === HERE ? !isRunning(Number(pid)) : Date.now() - (await written()) > ABANDONED;
    if (dead) await rm(path, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // sends nothing
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "unknown error";
}
