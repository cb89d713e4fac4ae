/** Documents of a command: read, hashed, cut to prompts, recorded by the heads. */
import { createHash } from "node:crypto";
import { EarlyExitError, type ExitHeads, type Model } from "early-exits";
import {
  type CalibrationDocument,
  type CalibrationRecords,
  type GroupedDocument,
  recordDocuments,
  type RecordDocumentsOptions,
} from "early-exits/calibrate";
import { cutDocuments } from "early-exits/model";
import { readText } from "early-exits/node";
import { readGrouped } from "./grouped-documents.js";
import type { Io } from "./io.js";
import { withProgress } from "./progress.js";

export interface TextSource {
  readonly documents: readonly string[];
  readonly hash: string;
}

/** Separated by blank lines; in a .jsonl, one a line. */
export async function readDocuments(path: string): Promise<TextSource> {
  const documents = cutDocuments(await readText(path));
  if (documents.length === 0) throw new EarlyExitError("documents-few", `${path}: holds no text`, { path });
  return { documents, hash: hashDocuments(documents) };
}

export interface GroupedSource {
  readonly documents: readonly CalibrationDocument[];
  readonly hash: string;
}

export async function readGroupedDocuments(path: string, model: Model): Promise<GroupedSource> {
  const documents = await readGrouped(path, model);
  return { documents, hash: hashDocuments(documents) };
}

/** SHA-256 (hex) of documents, in order. */
export function hashDocuments(documents: readonly CalibrationDocument[]): string {
  const hash = createHash("sha256");
  for (const document of documents) hash.update(spelled(document)).update("\f");
  return hash.digest("hex");
}

function spelled(document: CalibrationDocument): string {
  if (typeof document === "string") return document;
  if ("text" in document) return document.text;
  return "ids" in document
    ? `${document.from ?? 0}:${document.ids.join(",")}`
    : (document as readonly number[]).join(",");
}

function idsOf(model: Model, document: CalibrationDocument): readonly number[] {
  if (typeof document === "string") return model.tokenizer.encode(document);
  if ("text" in document) return model.tokenizer.encode(document.text);
  return "ids" in document ? document.ids : (document as readonly number[]);
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
      return { ids: beginningOf(model, document), ...(group !== undefined && { group }) };
    });
  return { proposing: documents.filter((_, i) => first.has(groups[i]!)), prompts };
}

function groupOf(document: CalibrationDocument): string | undefined {
  return typeof document === "object" && "group" in document ? document.group : undefined;
}

/** The document's prompt, otherwise its first tokens. */
export function beginningOf(model: Model, document: CalibrationDocument): readonly number[] {
  const from = typeof document === "object" && "from" in document ? document.from : undefined;
  return idsOf(model, document).slice(0, from === undefined || from < 2 ? OWN_TEXT_PROMPT : from);
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
