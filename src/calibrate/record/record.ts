/**
 * What calibration needs to know about a text: at every position, the outputs of each exit's head and whether its token
 * agrees with the full model's on the same (teacher-forced) prefix. It takes one forward pass of the model and keeps
 * five numbers per position and exit. With a store (usually a folder) every document's record is kept there too, so
 * that an interrupted recording resumes where it stopped.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { requireInteger } from "../../errors.js";
import { confidenceAt, type ExitHeads, scoreAt, type ScoreName, type Teacher } from "../../exits/heads/index.js";
import { type CacheStore, disposeBatch, hiddenBatch } from "../../exits/states/index.js";
import { createTeacher } from "../../exits/train/index.js";
import { cutWindows, sha256 } from "../../model/index.js";
import { ROW_STATS, scope, type Tensor } from "../../tensor/index.js";
import { type DocumentRecord, type ExitRecord, parseRecord, serializeRecord } from "./document-record.js";
import {
  type CalibrationDocument,
  type Counted,
  type HashedDocument,
  hashDocuments,
  judgedTokens,
} from "./documents.js";
import { describeSubject, type Subject } from "./subject.js";
import { giveTurn } from "../../turns.js";

/** Every head's outputs at every position of some documents, and whether they agree with the full model. */
export interface CalibrationRecords extends Subject {
  /** Most tokens per window. */
  readonly sequenceLength: number;
  readonly documents: readonly DocumentRecord[];
}

export interface RecordDocumentsOptions {
  /**
   * Tokens per window: a longer document is judged window by window, each with a fresh context. @default 256, or the
   * context limit if shorter
   */
  readonly sequenceLength?: number;
  /** Where records are kept; a record that is already there (same model, heads and document) is read, not made. */
  readonly store?: CacheStore;
  readonly signal?: CancelSignal;
  /** Called after every document; a promise is awaited. */
  readonly onDocument?: (event: {
    readonly document: number;
    readonly documents: number;
    readonly positions: number;
  }) => unknown;
}

/** Runs the model and its heads on documents. Throws an OptionError if none of them holds two tokens. */
export async function recordDocuments(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options: RecordDocumentsOptions = {},
): Promise<CalibrationRecords> {
  const recorder = await createRecorder(heads, options);
  const texts = await judgedDocuments(heads, documents, recorder.sequenceLength);
  const { signal, onDocument } = options;
  const records: DocumentRecord[] = [];
  for (const [index, text] of texts.entries()) {
    await giveTurn(signal);
    const made = await recorder.document(text);
    records.push(made);
    await onDocument?.({ document: index + 1, documents: texts.length, positions: made.positions });
  }
  return { ...recorder.subject, sequenceLength: recorder.sequenceLength, documents: records };
}

/**
 * What counts as agreeing. Given a window's teacher, returns a function from a head's logits and their stats to 1 or 0
 * at every position.
 */
export type Agreement = (
  teacher: Teacher,
) => Promise<(logits: Tensor, stats: Float32Array) => Uint8Array | Promise<Uint8Array>>;

/** The head's argmax is the full model's. */
const sameArgmax: Agreement = ({ argmax }) =>
  Promise.resolve((_, stats) => Uint8Array.from(argmax, (id, t) => Number(confidenceAt(stats, t).argmax === id)));

export interface Recorder {
  readonly subject: Subject;
  readonly sequenceLength: number;
  /** Makes a record, or reads it from the store. With another agreement than the same argmax, the store is not used. */
  document(document: HashedDocument, agreement?: Agreement): Promise<DocumentRecord>;
}

/** Creates a recorder, which records documents one by one. */
export async function createRecorder(
  heads: ExitHeads,
  options: Pick<RecordDocumentsOptions, "sequenceLength" | "store"> = {},
): Promise<Recorder> {
  const { maxPositionEmbeddings } = heads.model.config;
  const { sequenceLength = Math.min(256, maxPositionEmbeddings), store } = options;
  requireInteger("recordDocuments: sequenceLength", sequenceLength, 2, maxPositionEmbeddings);
  await heads.freeze();
  const subject = await describeSubject(heads);
  const make = async ({ ids, from }: HashedDocument, agreement = sameArgmax): Promise<RecordedWindows> =>
    withoutFirst(from, await recordWindows(heads, cutWindows(heads.model, [ids], sequenceLength), agreement));
  return {
    subject,
    sequenceLength,
    async document(document, agreement) {
      const named = countedAs(document);
      if (store === undefined || agreement !== undefined) return { ...named, ...(await make(document, agreement)) };
      const name = await storeName(subject, sequenceLength, document.hash);
      const stored = await store.read(name);
      if (stored !== undefined) return { ...parseRecord(stored, document.hash, subject.depths.length), ...named };
      const made = { ...named, ...(await make(document)) };
      await store.write(name, serializeRecord(made));
      return made;
    },
  };
}

/** What is recorded of a document's windows. */
type RecordedWindows = Pick<DocumentRecord, "positions" | "exits">;

/** Hashed documents, without those of which no token is judged. */
export async function judgedDocuments(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  sequenceLength: number,
): Promise<HashedDocument[]> {
  const texts = await hashDocuments(heads, documents);
  return texts.filter((text) => judgedTokens(text, sequenceLength) > 0);
}

/** The file that holds the record of one document. */
async function storeName(
  { modelHash, headsHash, dtype, backend }: Subject,
  sequenceLength: number,
  hash: string,
): Promise<string> {
  const key = [modelHash, headsHash, dtype, backend, sequenceLength, hash].join(" ");
  return `record-${(await sha256(new TextEncoder().encode(key))).slice(0, 32)}.safetensors`;
}

/** Runs the model and its heads on the windows of one document. */
async function recordWindows(
  { model, heads, depths }: ExitHeads,
  windows: readonly (readonly number[])[],
  agreement: Agreement,
): Promise<RecordedWindows> {
  const positions = windows.reduce((sum, { length }) => sum + length, 0);
  const exits = heads.map(({ gate }): ExitRecord => ({
    stats: new Float32Array(positions * ROW_STATS.width),
    agrees: new Uint8Array(positions),
    ...(gate && { gates: new Float32Array(positions) }),
  }));
  let at = 0;
  for (const window of windows) {
    const batch = await hiddenBatch(model, [window], depths);
    const teacher = await createTeacher(model, batch.final);
    const agreeing = await agreement(teacher);
    for (const [index, head] of heads.entries()) {
      const states = batch.hidden.get(head.depth)!;
      const logits = scope(() => head.logits(states));
      const stats = await head.readStats(logits);
      const { stats: all, agrees, gates } = exits[index]!;
      all.set(stats, at * ROW_STATS.width);
      agrees.set(await agreeing(logits, stats), at);
      logits.dispose();
      if (head.gate !== undefined) gates!.set(await head.gate.read(states), at);
    }
    at += batch.rows;
    teacher.logits.dispose();
    disposeBatch(batch);
  }
  return { positions, exits };
}

/** A recording without its first positions, which are not judged. */
function withoutFirst(count: number, { positions, exits }: RecordedWindows): RecordedWindows {
  if (count === 0) return { positions, exits };
  return {
    positions: positions - count,
    exits: exits.map(({ stats, agrees, gates }) => ({
      stats: stats.slice(count * ROW_STATS.width),
      agrees: agrees.slice(count),
      ...(gates && { gates: gates.slice(count) }),
    })),
  };
}

/** What a document counts as. */
export function countedAs({ hash, group, kin, cluster }: Counted): Counted {
  return {
    hash,
    ...(group !== undefined && { group }),
    ...(kin !== undefined && { kin }),
    ...(cluster !== undefined && { cluster }),
  };
}

/** The scores of one exit at all positions of all documents in order, and whether each agrees. */
export function flatten(
  { documents }: CalibrationRecords,
  exit: number,
  score: ScoreName,
): { scores: Float64Array; agrees: Uint8Array } {
  const total = documents.reduce((sum, { positions }) => sum + positions, 0);
  const scores = new Float64Array(total);
  const agrees = new Uint8Array(total);
  let at = 0;
  for (const { positions, exits } of documents) {
    agrees.set(exits[exit]!.agrees, at);
    for (let t = 0; t < positions; t++) scores[at++] = scoreAt(exits[exit]!, t, score);
  }
  return { scores, agrees };
}
