/**
 * Text as documents and as training windows. The document is the unit of splitting, training and calibration: if tokens
 * of one document were in both sets, calibration would see text that training has seen.
 */
import { OptionError, requireInteger, requireNumber } from "../errors.js";
import { createRng } from "../tensor/index.js";
import type { Model } from "./model.js";

export interface SplitOptions {
  /** Share of the documents that goes to `train`. @default 0.8 */
  readonly train?: number;
  /** @default 0 */
  readonly seed?: number;
  /**
   * What separates documents. @default form feeds if the text has any (`readText` puts them between the documents of a
   * .jsonl file), else blank lines
   */
  readonly separator?: string | RegExp;
}

/** The documents of a text, in order and trimmed, without empty ones. `separator` is that of `splitDocuments`. */
export function cutDocuments(text: string, { separator }: Pick<SplitOptions, "separator"> = {}): string[] {
  const by = separator ?? (text.includes("\f") ? "\f" : /\n[ \t\r]*\n+/);
  return text
    .split(by)
    .map((document) => document.trim())
    .filter((document) => document !== "");
}

/**
 * Cuts a text into documents, shuffles them by the seed and splits them into two sets. Throws an OptionError if there
 * are fewer than two.
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
      `splitDocuments: found ${documents.length} document(s), expected at least two; separate them by blank lines, ` +
        "or pass a separator",
      { documents: documents.length },
    );
  }
  const shuffled = createRng(seed).shuffle(documents);
  const cut = Math.min(documents.length - 1, Math.max(1, Math.round(train * documents.length)));
  return { train: shuffled.slice(0, cut), held: shuffled.slice(cut) };
}

/** Token ids whose beginning is given, as the prompt of an answer is. */
export interface MarkedDocument {
  readonly ids: readonly number[];
  /**
   * The first position that counts; training and metrics leave out those before it. Position s predicts token s + 1, so
   * the answer to a prompt of n tokens counts from n - 1. @default 0
   */
  readonly from?: number;
  /** What the document belongs to, such as its source. */
  readonly group?: string;
}

/** A document as text, as token ids, or as token ids of which only the later positions count. */
export type Document = string | readonly number[] | MarkedDocument;

/** A document as token ids, tokenized if it is text. */
export function markedDocument(model: Model, document: Document): MarkedDocument {
  if (typeof document === "string") return { ids: model.tokenizer.encode(document) };
  return "ids" in document ? document : { ids: document };
}

/**
 * A prompt and the answer to it, as the document whose positions that count are those that chose the answer's tokens:
 * from the prompt's last one to the answer's last but one. The answer's last token is left out, because nothing was
 * chosen after it.
 */
export function answerDocument(prompt: readonly number[], answer: readonly number[], group?: string): MarkedDocument {
  const ids = [...prompt, ...answer.slice(0, -1)];
  return { ids, from: Math.max(0, prompt.length - 1), ...(group !== undefined && { group }) };
}

/** Tokens that the model reads together; the positions from `from` on count. */
export interface Window {
  readonly ids: readonly number[];
  readonly from: number;
}

/**
 * Windows of at least two tokens, document by document: no window spans two documents. Text and token ids are cut after
 * `length` tokens. Documents with a `from` stay whole unless they are longer than the context; parts of them in which
 * no position counts are left out.
 */
export function markedWindows(model: Model, documents: readonly Document[], length: number): Window[] {
  const context = model.config.maxPositionEmbeddings;
  requireInteger("cutWindows: length", length, 2, context);
  const windows: Window[] = [];
  for (const document of documents) {
    const { ids, from } = markedDocument(model, document);
    const size = from === undefined ? length : context;
    for (let begin = 0; begin < ids.length; begin += size) {
      const window = { ids: ids.slice(begin, begin + size), from: Math.max(0, (from ?? 0) - begin) };
      if (window.ids.length >= 2 && window.from < window.ids.length) windows.push(window);
    }
  }
  if (windows.length === 0) {
    throw new OptionError(
      "documents-empty",
      "training: no document has two tokens, the shortest window; give more text",
      {
        documents: documents.length,
      },
    );
  }
  return windows;
}

/** The token ids of `markedWindows`, for callers to whom every position counts. */
export function cutWindows(model: Model, documents: readonly Document[], length: number): (readonly number[])[] {
  return markedWindows(model, documents, length).map(({ ids }) => ids);
}

/**
 * The windows of one step, in the order of a seeded permutation per epoch. They are a function of (seed, step) alone,
 * so a run can resume at any step.
 */
export function batchWindows<Window>(
  windows: readonly Window[],
  { batchSize, seed, step }: { readonly batchSize: number; readonly seed: number; readonly step: number },
): Window[] {
  const chosen: Window[] = [];
  for (let i = step * batchSize; i < (step + 1) * batchSize; i++) {
    const epoch = Math.floor(i / windows.length);
    chosen.push(windows[permutation(windows.length, seed, epoch)[i % windows.length]!]!);
  }
  return chosen;
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
