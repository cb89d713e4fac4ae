/**
 * The seeded order of the calibration documents and its two parts:
 *   order        ascending SHA-256 of "seed:hash of the document"
 *   grid split   the first documents; candidates are proposed on them
 *   test         all others, in this order, which is also the order in which the betting bound (WSR) reads them
 * The order is a function of the seed and the text alone, so a verifier can reproduce it.
 */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { sha256 } from "../../model/index.js";

/** SHA-256 of a document's token ids. */
export async function hashDocument(ids: readonly number[]): Promise<string> {
  return sha256(new TextEncoder().encode(ids.join(",")));
}

/** Indices of documents in the seeded order; equal documents keep their relative order. */
export async function seededOrder(documents: readonly { readonly hash: string }[], seed: number): Promise<number[]> {
  requireInteger("calibrate: seed", seed, 0);
  const keys = await Promise.all(documents.map(({ hash }) => sha256(new TextEncoder().encode(`${seed}:${hash}`))));
  return keys.map((_, i) => i).sort((a, b) => compare(keys[a]!, keys[b]!) || a - b);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * How many documents the grid split gets: a share of all, at least one, and at least one is left for the test. Throws
 * an OptionError for fewer than two documents.
 */
export function gridSize(documents: number, share: number): number {
  requireNumber("calibrate: gridShare", share, 0, 1, { open: true });
  if (documents < 2) {
    throw new OptionError(
      "documents-few",
      `calibrate: ${documents} document(s) with text; a certificate needs at least two, and usually a hundred or ` +
        "more short ones: some to propose candidates, the others to test them",
      { documents },
    );
  }
  return Math.min(documents - 1, Math.max(1, Math.round(share * documents)));
}
