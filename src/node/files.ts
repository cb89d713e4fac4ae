/**
 * Reading and writing files, with errors for people. Writing is atomic: a file is complete or absent, never half there.
 */
import { randomUUID } from "node:crypto";
import { access, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
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
    throw new EarlyExitError(
      "file-missing",
      `${path}: cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"}); check the path`,
      { path },
      { cause: error },
    );
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
  return lines
    .map((line, index) => {
      const document = parseJson(line, `${path}, line ${index + 1}`);
      const field = typeof document === "object" && document !== null && "text" in document ? document.text : undefined;
      if (typeof field !== "string") {
        throw new EarlyExitError(
          "jsonl-malformed",
          `${path}, line ${index + 1}: expected an object with a "text" string`,
          { path, line: index + 1 },
        );
      }
      return field;
    })
    .join("\f");
}

export async function readJson(path: string): Promise<unknown> {
  return parseJson(new TextDecoder("utf-8").decode(await readBytes(path)), path);
}

/** Writes a file through a temporary neighbour and a rename; makes the folder. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, data);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new EarlyExitError(
      "file-unwritable",
      `${path}: cannot be written (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`,
      { path },
      { cause: error },
    );
  }
}
