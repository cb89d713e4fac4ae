/** Documents of a command: read, hashed, cut to prompts, recorded by the heads. */
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError, type ExitHeads, type Model } from "early-exits";
import {
  type CalibrationDocument,
  type CalibrationRecords,
  type GroupedDocument,
  recordDocuments,
  type RecordDocumentsOptions,
} from "early-exits/calibrate";
import { cutDocuments } from "early-exits/model";
import { readBytes, readDocuments, readText } from "early-exits/node";
import type { Io } from "./io.js";
import { withProgress } from "./progress.js";

/** SHA-256 (hex) of documents, in order. */
export function hashDocuments(documents: readonly CalibrationDocument[]): string {
  const hash = createHash("sha256");
  for (const document of documents) {
    const { text, ids = [], from = 0 } = partsOf(document);
    hash.update(text ?? `${from}:${ids.join(",")}`).update("\f");
  }
  return hash.digest("hex");
}

function partsOf(document: CalibrationDocument): GroupedDocument {
  if (typeof document === "string") return { text: document };
  return "length" in document ? { ids: document } : document;
}

function idsOf(model: Model, document: CalibrationDocument): readonly number[] {
  const { text, ids } = partsOf(document);
  return ids ?? model.tokenizer.encode(text!);
}

const OWN_TEXT_PROMPT = 16;

/**
 * For own text, half of the documents propose candidates; the beginnings of the others are the prompts. A group stays
 * whole, so that no candidate comes from a group that tests it.
 */
export function ownTextParts(
  model: Model,
  documents: readonly CalibrationDocument[],
): { readonly proposing: readonly CalibrationDocument[]; readonly prompts: readonly GroupedDocument[] } {
  const groups = documents.map((document, i) => groupOf(document) ?? i);
  const distinct = [...new Set(groups)];
  const first = new Set(distinct.slice(0, Math.ceil(distinct.length / 2)));
  const prompts = documents
    .filter((_, i) => !first.has(groups[i]!))
    .map((document): GroupedDocument => {
      const group = groupOf(document);
      const ids = idsOf(model, document);
      return { ids, from: promptEnd(document, ids), ...(group !== undefined && { group }) };
    });
  return { proposing: documents.filter((_, i) => first.has(groups[i]!)), prompts };
}

/** Undefined if it names none. */
export function groupOf(document: CalibrationDocument): string | undefined {
  return partsOf(document).group;
}

/** The last token of the document's prompt, which is the first judged position; otherwise of its first tokens. */
function promptEnd(document: CalibrationDocument, { length }: readonly number[]): number {
  const { from = 0 } = partsOf(document);
  return from === 0 ? Math.min(length, OWN_TEXT_PROMPT) - 1 : from;
}

export function beginningOf(model: Model, document: CalibrationDocument): readonly number[] {
  const ids = idsOf(model, document);
  return ids.slice(0, promptEnd(document, ids) + 1);
}

export function recordAll(
  io: Io,
  label: string,
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options: Pick<RecordDocumentsOptions, "sampling" | "against" | "store"> = {},
): Promise<CalibrationRecords> {
  return withProgress(io, label, (report) =>
    recordDocuments(heads, documents, {
      ...options,
      signal: io.signal,
      onDocument: ({ document, documents: total }) => report({ done: document, total, text: "documents" }),
    }),
  );
}

/**
 * Reads a text file (blank lines separate documents), a .jsonl (one a line), or those of a folder. In a folder, every
 * file is a group, and lines of a .jsonl may name a "group": groups are a certificate's units, because documents of one
 * source, speaker or user resemble each other. Lines of text stay text, so that copies are found whatever their case
 * and spacing; other lines (token ids, prompts and answers, messages) are read as for training. Throws an
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
    names.map(async (name) =>
      (await readOne(join(folder, name), model)).map((one) => ({ group: name, ...partsOf(one) })),
    ),
  );
  return parts.flat();
}

async function readOne(path: string, model: Model): Promise<CalibrationDocument[]> {
  if (!/\.(jsonl?|ndjson)$/i.test(path)) return cutDocuments(await readText(path));
  const lines = new TextDecoder().decode(await readBytes(path));
  return textLines(lines) ?? readDocuments(path, model);
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
