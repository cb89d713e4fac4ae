/**
 * Documents with groups: in a folder, every file is a group; lines of a .jsonl may name a "group". Groups are a
 * certificate's units, because documents of one source, speaker or user resemble each other. Lines of text stay text,
 * so that copies are found whatever their case and spacing; other lines (token ids, prompts and answers, messages) are
 * read as for training.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { EarlyExitError, type Model } from "early-exits";
import type { CalibrationDocument, GroupedDocument } from "early-exits/calibrate";
import { cutDocuments } from "early-exits/model";
import { readDocuments, readText } from "early-exits/node";

/**
 * Reads a text file (blank lines separate documents), a .jsonl (one a line), or those of a folder. Throws an
 * EarlyExitError if there is no text, or a line is malformed.
 */
export async function readGrouped(path: string, model: Model): Promise<CalibrationDocument[]> {
  const found = await stat(path).catch(() => undefined);
  const documents = found?.isDirectory() === true ? await readFolder(path, model) : await readOne(path, model);
  if (documents.length === 0) throw new EarlyExitError("documents-few", `${path}: holds no text`, { path });
  return documents;
}

async function readFolder(folder: string, model: Model): Promise<CalibrationDocument[]> {
  const names = (await readdir(folder)).filter((name) => /\.(txt|jsonl)$/.test(name)).sort();
  const parts = await Promise.all(
    names.map(async (name) => (await readOne(join(folder, name), model)).map((one) => inGroup(one, basename(name)))),
  );
  return parts.flat();
}

function inGroup(document: CalibrationDocument, group: string): CalibrationDocument {
  if (typeof document === "string") return { text: document, group };
  return "length" in document ? { ids: document, group } : { group, ...document };
}

async function readOne(path: string, model: Model): Promise<CalibrationDocument[]> {
  if (!path.endsWith(".jsonl")) return cutDocuments(await readText(path));
  return textLines(await readFile(path, "utf8").catch(() => "")) ?? readDocuments(path, model).then((all) => [...all]);
}

/** undefined if any line is no text. */
function textLines(lines: string): GroupedDocument[] | undefined {
  const documents: GroupedDocument[] = [];
  for (const line of lines.split("\n")) {
    if (line.trim() === "") continue;
    const { text, group } = objectOf(line);
    if (typeof text !== "string" || (group !== undefined && typeof group !== "string")) return undefined;
    if (text.trim() !== "") documents.push(group === undefined ? { text: text.trim() } : { text: text.trim(), group });
  }
  return documents.length === 0 ? undefined : documents;
}

function objectOf(line: string): { readonly text?: unknown; readonly group?: unknown } {
  try {
    const json: unknown = JSON.parse(line);
    return typeof json === "object" && json !== null ? json : {};
  } catch {
    return {};
  }
}
