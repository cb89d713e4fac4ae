/**
 * Documents and training windows. The document is the unit of splitting, training and calibration: tokens of one
 * document in both sets would show calibration text that training has seen.
 */
import { OptionError, requireInteger, requireNumber } from "../errors.js";
import { allNames, requireKnown } from "../known.js";
import { createRng } from "../tensor/index.js";
import type { Model } from "./model.js";

interface SplitOptions {
  /** Share of the documents. @default 0.8 */
  readonly train?: number;
  /** @default 0 */
  readonly seed?: number;
  /**
   * @default form feeds if the text has any (`readText` puts them between a .jsonl file's documents), else blank lines
   */
  readonly separator?: string | RegExp;
}

const splitOptionNames = allNames<SplitOptions>()("train", "seed", "separator");

/** Trims documents and drops empty ones. `separator` is that of `splitDocuments`. */
export function cutDocuments(text: string, { separator }: Pick<SplitOptions, "separator"> = {}): string[] {
  const by = separator ?? (text.includes("\f") ? "\f" : /\n[ \t\r]*\n+/);
  return text
    .split(by)
    .map((document) => document.trim())
    .filter((document) => document !== "");
}

/**
 * Shuffles a text's documents by the seed and splits them. Throws an OptionError for fewer than two.
 *
 * @example
 * ```ts
 * import { splitDocuments } from "early-exits";
 *
 * const { train, held } = splitDocuments("One.\n\nTwo.\n\nThree.\n\nFour.", { train: 0.75, seed: 1 });
 * console.log(train.length, held.length); // 3 1
 * ```
 */
export function splitDocuments(text: string, options: SplitOptions = {}): { train: string[]; held: string[] } {
  requireKnown("splitDocuments", options, splitOptionNames);
  const { train = 0.8, seed = 0, ...separation } = options;
  requireNumber("splitDocuments: train", train, 1);
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

export interface MarkedDocument {
  readonly ids: readonly number[];
  /**
   * First position that counts in training and metrics. Position s predicts token s + 1, so the answer to a prompt of n
   * tokens counts from n - 1. @default 0
   */
  readonly from?: number;
  /** Source, for example. */
  readonly group?: string;
}

export type Document = string | readonly number[] | MarkedDocument | { readonly text: string };

export function markedDocument(model: Model, document: Document): MarkedDocument {
  if (typeof document === "string") return { ids: model.tokenizer.encode(document) };
  if ("ids" in document) return document;
  return { ids: "text" in document ? model.tokenizer.encode(document.text) : document };
}

/**
 * Counts the positions that chose the answer's tokens: from the prompt's last to the answer's last but one. The
 * answer's last token is left out, because nothing was chosen after it.
 */
export function answerDocument(
  prompt: readonly number[],
  answer: readonly number[],
  group?: string,
): MarkedDocument & { readonly from: number } {
  const ids = [...prompt, ...answer.slice(0, -1)];
  return { ids, from: Math.max(0, prompt.length - 1), ...(group !== undefined && { group }) };
}

/** Positions from `from` on count. */
export interface Window {
  readonly ids: readonly number[];
  readonly from: number;
}

/**
 * Windows of at least two tokens, none of which spans two documents. Text and ids are cut after `length` tokens, by
 * default 128; documents with a `from` stay whole unless longer than the context, without parts where no position
 * counts.
 */
export function markedWindows(
  model: Model,
  documents: readonly Document[],
  length = Math.min(128, model.config.maxPositionEmbeddings),
): Window[] {
  const context = model.config.maxPositionEmbeddings;
  requireInteger("training: sequenceLength", length, 2, context);
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

/**
 * Windows of one step, by a seeded permutation per epoch: a function of (seed, step), so a run can resume at any step.
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
      .shuffle([...Array(count).keys()]);
  }
  return lastPermutation.order;
}
