/**
 * Documents with the groups that their files tell: in a folder, every file is a group; in a .jsonl file, lines may have
 * a "group" beside their "text". Certificates take groups as units, because documents of one source, speaker or user
 * resemble each other.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { GroupedDocument } from "../calibrate/index.js";
import { EarlyExitError } from "../index.js";
import { cutDocuments } from "../model/index.js";
import { readText } from "../node/index.js";

/** A text, and the source that it comes from if the file tells. */
export type ReadDocument = Pick<GroupedDocument, "group"> & { readonly text: string };

/**
 * Reads a text file (documents are separated by blank lines), a .jsonl file (every line is one), or all .txt and .jsonl
 * files of a folder. Throws an EarlyExitError if there is no text, or a line is malformed.
 */
export async function readGrouped(path: string): Promise<ReadDocument[]> {
  const found = await stat(path).catch(() => undefined);
  const documents = found?.isDirectory() === true ? await readFolder(path) : await readOne(path);
  if (documents.length === 0) throw new EarlyExitError("documents-few", `${path}: holds no text`, { path });
  return documents;
}

async function readFolder(folder: string): Promise<ReadDocument[]> {
  const names = (await readdir(folder)).filter((name) => /\.(txt|jsonl)$/.test(name)).sort();
  const parts = await Promise.all(
    names.map(async (name) => (await readOne(join(folder, name))).map(({ text, group = name }) => ({ text, group }))),
  );
  return parts.flat();
}

async function readOne(path: string): Promise<ReadDocument[]> {
  if (!path.endsWith(".jsonl")) return cutDocuments(await readText(path)).map((text) => ({ text }));
  return jsonLines(path, await readFile(path, "utf8"));
}

function jsonLines(path: string, lines: string): ReadDocument[] {
  return lines.split("\n").flatMap((line, i): ReadDocument[] => {
    if (line.trim() === "") return [];
    const { text, group } = objectOf(line);
    const legal = typeof text === "string" && (group === undefined || typeof group === "string");
    if (!legal) throw malformed(path, i + 1);
    if (text.trim() === "") return [];
    return [group === undefined ? { text: text.trim() } : { text: text.trim(), group }];
  });
}

function objectOf(line: string): { readonly text?: unknown; readonly group?: unknown } {
  try {
    const json: unknown = JSON.parse(line);
    return typeof json === "object" && json !== null ? json : {};
  } catch {
    return {};
  }
}

function malformed(path: string, line: number): EarlyExitError {
  return new EarlyExitError(
    "jsonl-malformed",
    `${path}, line ${line}: expected an object with a "text" string, and "group", if any, a string`,
    { path, line },
  );
}
