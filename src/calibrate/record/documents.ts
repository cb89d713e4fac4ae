/**
 * Calibration documents as given and as counted: tokenized, hashed, with their groups and duplicates (duplicates.ts).
 */
import { OptionError } from "../../errors.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import type { Document } from "../../model/index.js";
import { sha256 } from "../../model/sha256.js";
import { findKin } from "./duplicates.js";

export interface GroupedDocument {
  /** Text, or else token ids. */
  readonly text?: string;
  readonly ids?: readonly number[];
  /** Positions before this one are given, such as a prompt, and not judged. @default 0 */
  readonly from?: number;
  /** Source, speaker, user or file: documents of one group may depend on each other. */
  readonly group?: string;
}

export type CalibrationDocument = Document | GroupedDocument;

export interface HashedDocument {
  readonly ids: readonly number[];
  readonly hash: string;
  readonly from: number;
  /** SHA-256 of its group's name, or its own hash if only other documents have groups. */
  readonly group?: string;
  /** The smallest hash of the documents that are this one or nearly; absent if it is the only one. */
  readonly kin?: string;
  /** Documents that share long passages have the same cluster; absent if it shares none. */
  readonly cluster?: string;
}

/** The identity under which text, a record or counts are counted. */
export type Counted = Pick<HashedDocument, "hash" | "group" | "kin" | "cluster">;

/** Leaves out documents below two tokens. Throws an OptionError if none is left. */
export async function hashDocuments(
  { model }: ExitHeads,
  documents: readonly CalibrationDocument[],
): Promise<HashedDocument[]> {
  const parts = documents
    .map((document) => {
      const { text, ids, from = 0, group } = partsOf(document);
      return { text, from, group, ids: ids ?? model.tokenizer.encode(text!) };
    })
    .filter(({ ids, from }) => ids.length >= 2 && from < ids.length);
  if (parts.length === 0) {
    throw new OptionError("documents-empty", "calibrate: no document holds two tokens; give more text", {
      documents: documents.length,
    });
  }
  const hashes = await Promise.all(parts.map(({ ids, from }) => hashDocument(ids, from)));
  const kin = findKin(parts.map(({ text, ids }, i) => ({ hash: hashes[i]!, words: text ?? ids })));
  const grouped = parts.some(({ group }) => group !== undefined);
  return Promise.all(
    parts.map(async ({ ids, from, group }, i) => ({
      ids,
      from,
      hash: hashes[i]!,
      ...(grouped && { group: group === undefined ? hashes[i]! : await groupKey(group) }),
      ...kin[i],
    })),
  );
}

/** SHA-256 of token ids, and of where judging begins. */
export async function hashDocument(ids: readonly number[], from = 0): Promise<string> {
  return sha256Text(from === 0 ? ids.join(",") : `${ids.join(",")}|${from}`);
}

/** SHA-256 of a group's name: certificates show which documents belong together, not whose they are. */
export async function groupKey(name: string): Promise<string> {
  return sha256Text(name);
}

function partsOf(document: CalibrationDocument): GroupedDocument {
  if (typeof document === "string") return { text: document };
  if (isIds(document)) return { ids: document };
  const parts: GroupedDocument = document;
  const { text, ids, from, group } = parts;
  const legal =
    (typeof text === "string" || isIds(ids)) &&
    (from === undefined || (Number.isInteger(from) && from >= 0)) &&
    (group === undefined || typeof group === "string");
  if (legal) return parts;
  throw new OptionError(
    "document-malformed",
    "calibrate: a document is neither text, nor token ids, nor { text or ids, from, group } with an integer from " +
      ">= 0 and a group that is a text",
    { from, group },
  );
}

function isIds(value: unknown): value is readonly number[] {
  return Array.isArray(value);
}

/** Number of judged tokens: a last window of a single token is left out. */
export function judgedTokens({ ids: { length }, from }: HashedDocument, sequenceLength: number): number {
  const judged = length % sequenceLength === 1 ? length - 1 : length;
  return Math.max(0, judged - from);
}

function sha256Text(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text));
}

export function countedAs({ hash, group, kin, cluster }: Counted): Counted {
  return {
    hash,
    ...(group !== undefined && { group }),
    ...(kin !== undefined && { kin }),
    ...(cluster !== undefined && { cluster }),
  };
}
