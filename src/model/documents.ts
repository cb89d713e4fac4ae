/**
 * Text as documents and as training windows. The unit of splitting, training and calibration is the document: splitting
 * tokens of one document between training and calibration would leak.
 */
import { OptionError, requireInteger, requireNumber } from "../errors.js";
import type { Model } from "./model.js";
import { createRng } from "../tensor/index.js";

export interface SplitOptions {
  /** Share of the documents that goes to `train`. @default 0.8 */
  readonly train?: number;
  /** @default 0 */
  readonly seed?: number;
  /**
   * How documents are separated. @default form feeds where the text has any (as readText makes of .jsonl), else blank
   * lines
   */
  readonly separator?: string | RegExp;
}

/** The documents of a text, in order, trimmed; empty ones are dropped. Separated as in `splitDocuments`. */
export function cutDocuments(text: string, { separator }: Pick<SplitOptions, "separator"> = {}): string[] {
  const by = separator ?? (text.includes("\f") ? "\f" : /\n[ \t\r]*\n+/);
  return text
    .split(by)
    .map((document) => document.trim())
    .filter((document) => document !== "");
}

/**
 * Cuts a text into documents and splits them, shuffled by the seed, into two sets. Throws an OptionError below two
 * documents.
 */
export function splitDocuments(
  text: string,
  { train = 0.8, seed = 0, ...separation }: SplitOptions = {},
): { train: string[]; held: string[] } {
  requireNumber("splitDocuments: train", train, 0, 1);
  const documents = cutDocuments(text, separation);
  if (documents.length < 2) {
    throw new OptionError(
      "documents-few",
      `splitDocuments: found ${documents.length} document(s); need at least two, separated by blank lines (or ` +
        "pass a separator)",
      { documents: documents.length },
    );
  }
  const shuffled = createRng(seed).shuffle(documents);
  const cut = Math.min(documents.length - 1, Math.max(1, Math.round(train * documents.length)));
  return { train: shuffled.slice(0, cut), held: shuffled.slice(cut) };
}

/** A document as text or as token ids. */
export type Document = string | readonly number[];

/**
 * Windows of at most `length` tokens, document by document: none spans two documents, none is shorter than two tokens.
 */
export function cutWindows(model: Model, documents: readonly Document[], length: number): number[][] {
  requireInteger("cutWindows: length", length, 2, model.config.maxPositionEmbeddings);
  const windows: number[][] = [];
  for (const document of documents) {
    const ids = typeof document === "string" ? model.tokenizer.encode(document) : document;
    for (let begin = 0; begin < ids.length; begin += length) {
      const window = ids.slice(begin, begin + length);
      if (window.length >= 2) windows.push(window);
    }
  }
  if (windows.length === 0) {
    throw new OptionError("documents-empty", "training: the documents hold no window of two tokens; give more text", {
      documents: documents.length,
    });
  }
  return windows;
}

/**
 * Window indices of one step: a seeded permutation per epoch, so that a step's batch is a function of (seed, step)
 * alone and a run can resume anywhere.
 */
export function batchIndices(count: number, batchSize: number, seed: number, step: number): number[] {
  const indices: number[] = [];
  for (let i = step * batchSize; i < (step + 1) * batchSize; i++) {
    const epoch = Math.floor(i / count);
    indices.push(permutation(count, seed, epoch)[i % count]!);
  }
  return indices;
}

const lastPermutation: { key: string; order: readonly number[] } = { key: "", order: [] };

function permutation(count: number, seed: number, epoch: number): readonly number[] {
  const key = `${count} ${seed} ${epoch}`;
  if (lastPermutation.key !== key) {
    lastPermutation.key = key;
    lastPermutation.order = createRng(seed)
      .fork(`epoch ${epoch}`)
      .shuffle(Array.from({ length: count }, (_, i) => i));
  }
  return lastPermutation.order;
}
