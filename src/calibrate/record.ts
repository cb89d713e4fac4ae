/**
 * What calibration needs to know of a text: at every position, what each exit's head said and whether it agreed with the full model on
 * the same (teacher-forced) prefix. One forward pass of the model; five numbers per position and exit are kept.
 */
import { OptionError, requireInteger } from "../errors.js";
import { disposeBatch, hiddenBatch } from "../exits/batches.js";
import { cutWindows, type Document } from "../exits/documents.js";
import type { ExitHeads } from "../exits/heads.js";
import { confidenceAt, readStats, scoreOf, type ScoreName } from "../exits/score.js";
import { createTeacher } from "../exits/teacher.js";
import { ROW_STATS } from "../tensor/device.js";
import { scope } from "../tensor/tensor.js";

/** One head's words about the T positions of a document, 21 bytes a position. */
export interface ExitRecord {
  /** [T, 5], as `rowStats` makes them; read with `confidenceAt`. */
  readonly stats: Float32Array;
  /** 1 where the head's argmax is the full model's. */
  readonly agrees: Uint8Array;
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
export function flatten({ documents }: CalibrationRecords, exit: number, score: ScoreName): { scores: Float64Array; agrees: Uint8Array } {
  const total = documents.reduce((sum, { positions }) => sum + positions, 0);
  const [scores, agrees] = [new Float64Array(total), new Uint8Array(total)];
  let at = 0;
  for (const { positions, exits } of documents) {
    agrees.set(exits[exit]!.agrees, at);
    for (let t = 0; t < positions; t++) scores[at++] = scoreOf(confidenceAt(exits[exit]!.stats, t), score);
  }
  return { scores, agrees };
}

function windowsOf({ model }: ExitHeads, document: Document, length: number): number[][] {
  const ids = typeof document === "string" ? model.tokenizer.encode(document) : document;
  return ids.length < 2 ? [] : cutWindows(model, [ids], length);
}

async function recordDocument({ model, heads, depths }: ExitHeads, windows: readonly (readonly number[])[]): Promise<DocumentRecord> {
  const positions = windows.reduce((sum, { length }) => sum + length, 0);
  const exits = heads.map((): ExitRecord => ({ stats: new Float32Array(positions * ROW_STATS.width), agrees: new Uint8Array(positions) }));
  let at = 0;
  for (const window of windows) {
    const batch = hiddenBatch(model, [window], depths);
    const teacher = await createTeacher(model, batch.final);
    for (const [index, head] of heads.entries()) {
      const logits = scope(() => head.logits(batch.hidden.get(head.depth)!));
      const stats = await readStats(logits);
      logits.dispose();
      const { stats: all, agrees } = exits[index]!;
      all.set(stats, at * ROW_STATS.width);
      teacher.argmax.forEach((id, t) => (agrees[at + t] = Number(confidenceAt(stats, t).argmax === id)));
    }
    at += batch.rows;
    teacher.logits.dispose();
    disposeBatch(batch);
  }
  return { positions, exits };
}
