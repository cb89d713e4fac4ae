/**
 * The text that taught heads, as hashes of 32 bits: of all words of each document, and of one passage of eight words in
 * 64, chosen by its hash. heads.json grows by 11 bytes a document, and at most 200 kB for passages: those of a large
 * text are thinned, and with them documents whose own hash looks like a passage's, one in 64. A document counts as
 * taught if its words are those of a training document, or if two or more of its sampled passages, and at least 3/5 of
 * them, are in the sample; of a document with a prompt, passages of what follows, because prompts begin alike. Left
 * out: texts that were edited more, and short ones that were edited at all.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { type MarkedDocument, markedDocument } from "../../model/documents.js";
import type { Document, Model } from "../../model/index.js";
import { hashOf, passagesOf, wordsIn } from "../../model/passages.js";
import { giveTurn } from "../../turns.js";

/** Plain, JSON-able. */
export interface Taught {
  /** Share of the passages that are kept: those whose multiple of 64 it divides. */
  readonly every: number;
  /** Ascending. */
  readonly hashes: readonly number[];
}

const MOST = 16_384;
export const nothingTaught: Taught = { every: 1, hashes: [] };

/** Documents always are: a text that is only recognised in part would be certified as new. */
function isKept(hash: number, every: number): boolean {
  return hash % 64 > 0 || Math.floor(hash / 64) % every === 0;
}

function thinned({ every, hashes }: Taught): Taught {
  const kept = [...new Set(hashes)].filter((hash) => isKept(hash, every));
  if (kept.filter((hash) => hash % 64 === 0).length > MOST) return thinned({ every: 2 * every, hashes: kept });
  return { every, hashes: kept.sort((a, b) => a - b) };
}

function hashesOf(model: Model, { ids, from = 0 }: MarkedDocument) {
  const judged = wordsIn(model, ids.slice(from));
  const words = [...wordsIn(model, ids.slice(0, from)), ...judged];
  const short = (hash: number): number => Math.floor(hash / 2 ** 21);
  const passages = passagesOf(judged, 8).map(short);
  return { whole: short(hashOf(words.join(" "))), passages: passages.filter((hash) => hash % 64 === 0) };
}

interface Learner {
  readonly model: Model;
  readonly taught: Taught | undefined;
}

/** Adds training data to what heads know of their text; undefined after states whose text is not named. */
export async function taughtBy(
  { model, taught }: Learner,
  data: readonly Document[] | { readonly text?: readonly Document[] },
  signal?: CancelSignal,
): Promise<Taught | undefined> {
  const text = Symbol.iterator in data ? data : data.text;
  if (taught === undefined || text === undefined) return undefined;
  const hashes = [...taught.hashes];
  for (const document of text) {
    await giveTurn(signal);
    const { whole, passages } = hashesOf(model, markedDocument(model, document));
    hashes.push(whole, ...passages);
  }
  return thinned({ every: taught.every, hashes });
}

/** A test of documents; all pass as new if nothing is known. */
export function taughtTest({ model, taught = nothingTaught }: Learner): (document: MarkedDocument) => boolean {
  const known = new Set(taught.hashes);
  return (document) => {
    const { whole, passages } = hashesOf(model, document);
    const sampled = [...new Set(passages)].filter((hash) => isKept(hash, taught.every));
    const common = sampled.filter((hash) => known.has(hash)).length;
    return known.has(whole) || (common >= 2 && 5 * common >= 3 * sampled.length);
  };
}
