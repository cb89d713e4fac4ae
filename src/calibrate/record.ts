/**
 * What calibration needs to know of a text: at every position, what each exit's head said and whether it agreed with the full model on
 * the same (teacher-forced) prefix. One forward pass of the model; five numbers per position and exit are kept.
 */
import { OptionError, requireInteger } from "../errors.js";
import { disposeBatch, hiddenBatch } from "../exits/batches.js";
import { cutWindows, type Document } from "../exits/documents.js";
import type { ExitHeads } from "../exits/heads.js";
import { readConfidences, scoreOf, type Confidence, type ScoreName } from "../exits/score.js";
import { createTeacher } from "../exits/teacher.js";
import { scope } from "../tensor/tensor.js";

/** One head's words about the T positions of a document. */
export interface ExitRecord {
  readonly confidences: readonly Confidence[];
  /** Whether the head's argmax is the full model's. */
  readonly agrees: readonly boolean[];
}

export interface DocumentRecord {
  /** T: positions, each predicting a next token. */
  readonly positions: number;
  /** One per exit, shallow to deep. */
  readonly exits: readonly ExitRecord[];
}

export interface CalibrationRecords {
  readonly depths: readonly number[];
  readonly numLayers: number;
  readonly documents: readonly DocumentRecord[];
}

export interface RecordDocumentsOptions {
  /** Tokens per window: a longer document is judged window by window, each with a fresh context. @default 256, or the context limit if shorter */
  readonly sequenceLength?: number;
  readonly signal?: AbortSignal;
  /** Called after every document; a promise is waited for. */
  readonly onDocument?: (event: { readonly document: number; readonly documents: number; readonly positions: number }) => unknown;
}

/** Runs the model and its heads over documents. Throws an OptionError where they hold no window of two tokens. */
export async function recordDocuments(heads: ExitHeads, documents: readonly Document[], options: RecordDocumentsOptions = {}): Promise<CalibrationRecords> {
  const { model, depths } = heads;
  const { sequenceLength = Math.min(256, model.config.maxPositionEmbeddings), signal, onDocument } = options;
  requireInteger("recordDocuments: sequenceLength", sequenceLength, 2, model.config.maxPositionEmbeddings);
  await heads.freeze();
  const records: DocumentRecord[] = [];
  for (const [index, document] of documents.entries()) {
    signal?.throwIfAborted();
    const windows = windowsOf(heads, document, sequenceLength);
    if (windows.length > 0) records.push(await recordDocument(heads, windows));
    await onDocument?.({ document: index + 1, documents: documents.length, positions: records.at(-1)?.positions ?? 0 });
  }
  if (records.length === 0) throw new OptionError("documents-empty", "recordDocuments: no document holds two tokens; give more text", { documents: documents.length });
  return { depths, numLayers: model.config.numLayers, documents: records };
}

/** The scores of one exit over all documents, and whether each agreed: flat, in order. */
export function flatten(records: CalibrationRecords, exit: number, score: ScoreName): { scores: number[]; agrees: boolean[] } {
  const parts = records.documents.map(({ exits }) => exits[exit]!);
  return {
    scores: parts.flatMap(({ confidences }) => confidences.map((confidence) => scoreOf(confidence, score))),
    agrees: parts.flatMap(({ agrees }) => agrees),
  };
}

function windowsOf({ model }: ExitHeads, document: Document, length: number): number[][] {
  const ids = typeof document === "string" ? model.tokenizer.encode(document) : document;
  return ids.length < 2 ? [] : cutWindows(model, [ids], length);
}

async function recordDocument({ model, heads, depths }: ExitHeads, windows: readonly (readonly number[])[]): Promise<DocumentRecord> {
  const exits = heads.map((): { confidences: Confidence[]; agrees: boolean[] } => ({ confidences: [], agrees: [] }));
  let positions = 0;
  for (const window of windows) {
    const batch = hiddenBatch(model, [window], depths);
    const teacher = await createTeacher(model, batch.final);
    for (const [index, head] of heads.entries()) {
      const logits = scope(() => head.logits(batch.hidden.get(head.depth)!));
      const confidences = await readConfidences(logits);
      logits.dispose();
      exits[index]!.confidences.push(...confidences);
      exits[index]!.agrees.push(...confidences.map(({ argmax }, t) => argmax === teacher.argmax[t]));
    }
    positions += batch.rows;
    teacher.logits.dispose();
    disposeBatch(batch);
  }
  return { positions, exits };
}
