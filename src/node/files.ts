/** Reading and writing files, with errors that say what to do. Writing is atomic: a file is complete or absent. */
import { randomUUID } from "node:crypto";
import { access, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { EarlyExitError } from "../errors.js";
import { parseJson } from "../model/index.js";

export async function fileExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Reads a whole file. Throws an EarlyExitError `file-missing` that names it. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const found = `cannot be read (${codeOf(error)}); check the path`;
    throw new EarlyExitError("file-missing", `${path}: ${found}`, { path }, { cause: error });
  }
}

/**
 * Reads UTF-8 text. A .jsonl file of objects with a "text" field gives their texts, separated by form feeds (see
 * `splitDocuments`).
 */
export async function readText(path: string): Promise<string> {
  const text = new TextDecoder("utf-8").decode(await readBytes(path));
  if (!path.endsWith(".jsonl")) return text;
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line, index) => textOfLine(line, path, index + 1)).join("\f");
}

function textOfLine(line: string, path: string, number: number): string {
  const where = `${path}, line ${number}`;
  const document = parseJson(line, where);
  if (typeof document === "object" && document !== null && "text" in document && typeof document.text === "string") {
    return document.text;
  }
  throw new EarlyExitError("jsonl-malformed", `${where}: expected an object with a "text" string`, {
    path,
    line: number,
  });
}

export async function readJson(path: string): Promise<unknown> {
  return parseJson(new TextDecoder("utf-8").decode(await readBytes(path)), path);
}

/** Writes a temporary file beside it and renames that. Makes the folder if necessary. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}-${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, data);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new EarlyExitError(
      "file-unwritable",
      `${path}: cannot be written (${codeOf(error)}); check the folder and its permissions`,
      { path },
      { cause: error },
    );
  }
}

/** Removes the temporary files among `names` that processes which no longer run have left in the folder. */
export async function removeStaleTemporaries(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const pid = /\.(\d+)-[0-9a-f-]{36}\.tmp$/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) await rm(join(folder, name), { force: true });
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

/** The system's code, such as ENOENT. */
function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "unknown error";
}
