/**
 * Calibration documents as given and as counted: tokenized, hashed, with their groups and duplicates.
 */
import { OptionError, requireInteger } from "../../errors.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import type { Document, Model } from "../../model/index.js";
import { sha256 } from "../../model/sha256.js";

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
  /** Longer than what is judged: this is its beginning. */
  readonly cut?: true;
  /** The smallest hash of the documents that are this one or nearly; absent if it is the only one. */
  readonly kin?: string;
  /** Documents that share long passages have the same cluster; absent if it shares none. */
  readonly cluster?: string;
}

/** The identity under which text, a record or counts are counted. */
export type Counted = Pick<HashedDocument, "hash" | "group" | "kin" | "cluster" | "cut">;

// Documents given more than once, exactly or nearly, and documents that share passages:
//   kin       the same words (letters and digits, case and spacing ignored), or at least half of the shorter one's
//             passages of 8 words are also in the other
//   cluster   at least one passage of 8 words in common
// Kin count as one document: a copy is no new evidence. Clusters only hint that documents are not independent. Both
// relations are closed transitively. Passages are compared by a 53-bit hash; one in more than 64 documents is compared
// with the first 64.

const PASSAGE = 8;
const COMPARED = 64;
/** A share of the shorter document's passages. */
const NEARLY = 0.5;

interface Comparable {
  readonly hash: string;
  readonly words: string | readonly number[];
}

interface Kinship {
  /** The smallest hash among its kin; absent if it has none. */
  readonly kin?: string;
  /** The smallest hash of its cluster; absent if it shares nothing. */
  readonly cluster?: string;
}

export function findKin(documents: readonly Comparable[]): Kinship[] {
  const words = documents.map(({ words: of }) => (typeof of === "string" ? wordsOf(of) : of.map(String)));
  const kin = new Classes(documents.length);
  const clusters = new Classes(documents.length);
  /** The first document with these words. */
  const firsts = new Map<string, number>();
  const originals: number[] = [];
  words.forEach((list, d) => {
    const key = list.join(" ");
    const first = firsts.get(key);
    if (first === undefined) {
      firsts.set(key, d);
      originals.push(d);
    } else {
      kin.join(first, d);
      clusters.join(first, d);
    }
  });
  joinByPassages(originals, words, kin, clusters);
  const hashes = documents.map(({ hash }) => hash);
  const kinOf = kin.names(hashes);
  const clusterOf = clusters.names(hashes);
  return documents.map((_, d) => ({
    ...(kinOf[d] !== undefined && { kin: kinOf[d] }),
    ...(clusterOf[d] !== undefined && { cluster: clusterOf[d] }),
  }));
}

function wordsOf(text: string): string[] {
  return (
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  );
}

function joinByPassages(
  originals: readonly number[],
  words: readonly (readonly string[])[],
  kin: Classes,
  clusters: Classes,
): void {
  const passages = new Map(originals.map((d) => [d, passagesOf(words[d]!)]));
  /** By passage, the documents seen so far that have it. */
  const holders = new Map<number, number[]>();
  for (const d of originals) {
    const common = new Map<number, number>();
    for (const passage of passages.get(d)!) {
      const known = holders.get(passage);
      if (known === undefined) {
        holders.set(passage, [d]);
        continue;
      }
      for (const other of known) common.set(other, (common.get(other) ?? 0) + 1);
      if (known.length < COMPARED) known.push(d);
    }
    for (const [other, count] of common) {
      clusters.join(other, d);
      const shorter = Math.min(passages.get(other)!.size, passages.get(d)!.size);
      if (count >= NEARLY * shorter) kin.join(other, d);
    }
  }
}

/** The distinct passages of 8 words, as hashes. */
function passagesOf(words: readonly string[]): Set<number> {
  const passages = new Set<number>();
  for (let begin = 0; begin + PASSAGE <= words.length; begin++) {
    passages.add(hashOf(words.slice(begin, begin + PASSAGE).join(" ")));
  }
  return passages;
}

/** Two 32-bit multiplicative hashes, mixed into 53 bits. */
function hashOf(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x85ebca6b) ^ (high >>> 15);
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}

/** Union-find. */
class Classes {
  readonly #parents: number[];

  constructor(size: number) {
    this.#parents = Array.from({ length: size }, (_, i) => i);
  }

  join(a: number, b: number): void {
    this.#parents[this.#root(a)] = this.#root(b);
  }

  /** The smallest name of each member's class; undefined for classes of one. */
  names(names: readonly string[]): (string | undefined)[] {
    const smallest = new Map<number, { name: string; size: number }>();
    names.forEach((name, i) => {
      const root = this.#root(i);
      const known = smallest.get(root);
      if (known === undefined) smallest.set(root, { name, size: 1 });
      else smallest.set(root, { name: name < known.name ? name : known.name, size: known.size + 1 });
    });
    return names.map((_, i) => {
      const { name, size } = smallest.get(this.#root(i))!;
      return size === 1 ? undefined : name;
    });
  }

  #root(member: number): number {
    let at = member;
    while (this.#parents[at] !== at) {
      this.#parents[at] = this.#parents[this.#parents[at]!]!;
      at = this.#parents[at]!;
    }
    return at;
  }
}

/**
 * Keeps the beginning of documents longer than `length`: a middle would be judged without the context that the model
 * has in use. Leaves out documents below two tokens, or of which nothing is judged. Throws an OptionError if none is
 * left.
 */
export async function hashDocuments(
  { model }: ExitHeads,
  documents: readonly CalibrationDocument[],
  length: number,
): Promise<HashedDocument[]> {
  const parts = documents
    .map((document) => {
      const { text, ids: given, from = 0, group } = partsOf(document);
      const all = given ?? model.tokenizer.encode(text!);
      if (all.length <= length) return { text, from, group, ids: all, cut: false };
      const ids = all.slice(0, length);
      return { text: text && model.tokenizer.decode(ids), from, group, ids, cut: true };
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
    parts.map(async ({ ids, from, group, cut }, i) => ({
      ids,
      from,
      hash: hashes[i]!,
      ...(grouped && { group: group === undefined ? hashes[i]! : await groupKey(group) }),
      ...kin[i],
      ...(cut && { cut }),
    })),
  );
}

/** SHA-256 of token ids, and of where judging begins. */
export async function hashDocument(ids: readonly number[], from = 0): Promise<string> {
  return sha256(from === 0 ? ids.join(",") : `${ids.join(",")}|${from}`);
}

/** SHA-256 of a group's name: certificates show which documents belong together, not whose they are. */
export async function groupKey(name: string): Promise<string> {
  return sha256(name);
}

/** Text or ids, where judging begins, and the group. Throws an OptionError for anything else. */
export function partsOf(document: CalibrationDocument): GroupedDocument {
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

/** Tokens up to which documents are judged, by default 2048. Throws an OptionError if the context has no room. */
export function judgedLength(
  { config: { maxPositionEmbeddings } }: Model,
  { sequenceLength = Math.min(2048, maxPositionEmbeddings) }: { readonly sequenceLength?: number },
): number {
  return requireInteger("calibrate: sequenceLength", sequenceLength, 2, maxPositionEmbeddings);
}

/** Number of judged tokens: in old certificates' windows, a last one of a single token is left out. */
export function judgedTokens({ ids: { length }, from }: HashedDocument, sequenceLength: number): number {
  const judged = length % sequenceLength === 1 ? length - 1 : length;
  return Math.max(0, judged - from);
}

export function countedAs({ hash, group, kin, cluster, cut }: Counted): Counted {
  return {
    hash,
    ...(group !== undefined && { group }),
    ...(kin !== undefined && { kin }),
    ...(cluster !== undefined && { cluster }),
    ...(cut !== undefined && { cut }),
  };
}
