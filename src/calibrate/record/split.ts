/**
 * The seeded order of calibration documents: by SHA-256 of "seed:hash of the document". It is a function of the seed
 * and the text alone, so a verifier can redo it. The first documents of the order make the grid split, from which
 * candidates come; the others are the test, in this order, which is also the one in which the betting bound looks at
 * them.
 */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { sha256 } from "../../model/index.js";

/** SHA-256 of a document's token ids. */
export async function hashDocument(ids: readonly number[]): Promise<string> {
  return sha256(new TextEncoder().encode(ids.join(",")));
}

/** Indices of documents in the seeded order; equal documents keep their order. */
export async function seededOrder(hashes: readonly string[], seed: number): Promise<number[]> {
  requireInteger("calibrate: seed", seed, 0);
  const keys = await Promise.all(hashes.map((hash) => sha256(new TextEncoder().encode(`${seed}:${hash}`))));
  return keys.map((_, i) => i).sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : a - b));
}

/**
 * How many documents the grid split gets: a share, at least one, leaving at least one to the test. Throws an
 * OptionError below two.
 */
export function gridSize(documents: number, share: number): number {
  requireNumber("calibrate: gridShare", share, 0, 1, { open: true });
  if (documents < 2) {
    throw new OptionError(
      "documents-few",
      `calibrate: ${documents} document(s) with text; a certificate needs at least two, and usually a hundred ` +
        "or more short ones: candidates come from some, the test from others",
      { documents },
    );
  }
  return Math.min(documents - 1, Math.max(1, Math.round(share * documents)));
}
