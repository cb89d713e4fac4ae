/**
 * Calibration documents as given and as counted: tokenized, hashed, with their groups and copies.
 */
import { OptionError, requireInteger } from "../../errors.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import type { Document, Model } from "../../model/index.js";
import { taughtTest } from "../../exits/heads/taught.js";
import { wordsIn } from "../../model/passages.js";
import { sha256 } from "../../model/sha256.js";
import { findKin, type Kinship, SHORT } from "./find-kin.js";

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

/** The identity under which text, a record or counts are counted. */
export interface Counted extends Kinship {
  /** SHA-256 of its token ids. */
  readonly hash: string;
  /** SHA-256 of its group's name, or its own hash if only other documents have groups. */
  readonly group?: string;
  /** Longer than what is judged: this is its beginning. */
  readonly cut?: true;
  /** Its text taught the heads, as far as they know: no certificate counts it. */
  readonly taught?: true;
}

export interface HashedDocument extends Counted {
  readonly ids: readonly number[];
  readonly from: number;
  /** Judged tokens. */
  readonly tokens: number;
}

/**
 * Keeps the beginning of documents longer than `length`: a middle would be judged without the context that the model
 * has in use. Leaves out documents below two tokens, or of which nothing is judged. Throws an OptionError if none is
 * left. Of a document with a `from`, own text takes the prompt. Prompts have no judged text yet: their last words stand
 * for it, a question below a system prompt.
 */
export async function hashDocuments(
  heads: Pick<ExitHeads, "model" | "taught">,
  documents: readonly CalibrationDocument[],
  length: number,
  ownText = false,
): Promise<HashedDocument[]> {
  const { model } = heads;
  const isTaught = taughtTest(heads);
  const parts = documents
    .map((document) => {
      const { text, ids: given, from: first = 0, group } = partsOf(document);
      const all = given ?? model.tokenizer.encode(text!);
      const end = ownText && first > 0 ? first + 1 : length;
      const taught = isTaught({ ids: all, from: first });
      return { from: ownText ? 0 : first, group, ids: all.slice(0, end), cut: all.length > length, taught };
    })
    .filter(({ ids, from }) => ids.length >= 2 && from < ids.length);
  if (parts.length === 0) {
    throw new OptionError("documents-empty", "calibrate: no document holds two tokens; give more text", {
      documents: documents.length,
    });
  }
  const hashes = await Promise.all(parts.map(({ ids, from }) => hashDocument(ids, from)));
  const kin = findKin(
    parts.map(({ ids, from }, i) => ({ hash: hashes[i]!, parts: wordsOf(model, ids, ownText ? ids.length : from) })),
  );
  const grouped = parts.some(({ group }) => group !== undefined);
  return Promise.all(
    parts.map(async ({ ids, from, group, cut, taught }, i) => ({
      ids,
      from,
      tokens: ids.length - from,
      hash: hashes[i]!,
      ...(grouped && { group: group === undefined ? hashes[i]! : await sha256(group) }),
      ...kin[i],
      ...(cut && { cut }),
      ...(taught && { taught }),
    })),
  );
}

/**
 * The words of the prompt and of the judged text: letters and digits of what the tokens stand for, whichever way the
 * document was given. Where these name no text, the tokens are the words. Equal answers of few words say little, so a
 * short judged text begins in the prompt.
 */
function wordsOf(model: Model, ids: readonly number[], from: number): readonly [readonly string[], readonly string[]] {
  const [prompt, judged] = [ids.slice(0, from), ids.slice(from)].map((part) => wordsIn(model, part));
  const words = [...prompt!, ...judged!];
  const cut = Math.max(0, Math.min(prompt!.length, words.length - SHORT + 1));
  return [words.slice(0, cut), words.slice(cut)];
}

/** SHA-256 of token ids, and of where judging begins. */
export async function hashDocument(ids: readonly number[], from = 0): Promise<string> {
  return sha256(from === 0 ? ids.join(",") : `${ids.join(",")}|${from}`);
}

/** Text or ids, where judging begins, and the group. Throws an OptionError for anything else. */
export function partsOf(document: CalibrationDocument): GroupedDocument {
  if (typeof document === "string") return { text: document };
  if (isIds(document)) return { ids: document };
  const parts: GroupedDocument = { ...document };
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

/** Tokens up to which documents are judged, by default 2048. Throws an OptionError if the context has no room. */
export function judgedLength(
  { config: { maxPositionEmbeddings } }: Model,
  { sequenceLength = Math.min(2048, maxPositionEmbeddings) }: { readonly sequenceLength?: number },
): number {
  return requireInteger("calibrate: sequenceLength", sequenceLength, 2, maxPositionEmbeddings);
}

export function countedAs({ hash, group, kin, cluster, cut, taught }: Counted): Counted {
  return {
    hash,
    ...(group !== undefined && { group }),
    ...(kin !== undefined && { kin }),
    ...(cluster !== undefined && { cluster }),
    ...(cut !== undefined && { cut }),
    ...(taught !== undefined && { taught }),
  };
}
