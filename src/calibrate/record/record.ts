/**
 * What calibration needs to know of a text: at every position, what each exit's head said and whether it agreed with
 * the full model on the same (teacher-forced) prefix. One forward pass of the model; five numbers per position and exit
 * are kept. With a store (a folder, usually) every document's record is kept there too, so that an interrupted
 * recording goes on where it stopped.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { type CacheStore, createTeacher, disposeBatch, hiddenBatch } from "../../exits/train/index.js";
import { cutWindows, type Document, sha256 } from "../../model/index.js";
import {
  confidenceAt,
  type ExitHeads,
  type ExitOutputs,
  scoreAt,
  type ScoreName,
  type Teacher,
} from "../../exits/heads/index.js";
import { ROW_STATS, scope, type Tensor } from "../../tensor/index.js";
import { parseSafetensors, type SafetensorsInput, serializeSafetensors } from "../../tensor/formats/index.js";
import { hashDocument } from "./split.js";
import { describeSubject, type Subject } from "./subject.js";

/** One head's words about the T positions of a document, 21 bytes a position; 25 with a gate. */
export interface ExitRecord extends ExitOutputs {
  /** 1 where the head's argmax is the full model's. */
  readonly agrees: Uint8Array;
}

export interface DocumentRecord {
  /** SHA-256 of the document's token ids. */
  readonly hash: string;
  /** T: positions, each predicting a next token. */
  readonly positions: number;
  /** One per exit, shallow to deep. */
  readonly exits: readonly ExitRecord[];
}

/** What every head said on every position of some documents, and whether it agreed with the full model. */
export interface CalibrationRecords extends Subject {
  /** Tokens per window at most. */
  readonly sequenceLength: number;
  readonly documents: readonly DocumentRecord[];
}

export interface RecordDocumentsOptions {
  /**
   * Tokens per window: a longer document is judged window by window, each with a fresh context. @default 256, or the
   * context limit if shorter
   */
  readonly sequenceLength?: number;
  /** Where records are kept; those already there from the same model, heads and document are read instead of made. */
  readonly store?: CacheStore;
  readonly signal?: CancelSignal;
  /** Called after every document; a promise is waited for. */
  readonly onDocument?: (event: {
    readonly document: number;
    readonly documents: number;
    readonly positions: number;
  }) => unknown;
}

/** Runs the model and its heads over documents. Throws an OptionError where they hold no window of two tokens. */
export async function recordDocuments(
  heads: ExitHeads,
  documents: readonly Document[],
  options: RecordDocumentsOptions = {},
): Promise<CalibrationRecords> {
  const texts = await hashDocuments(heads, documents);
  const record = await createRecorder(heads, options);
  const { signal, onDocument } = options;
  const records: DocumentRecord[] = [];
  for (const [index, text] of texts.entries()) {
    signal?.throwIfAborted();
    const made = await record.document(text);
    records.push(made);
    await onDocument?.({ document: index + 1, documents: texts.length, positions: made.positions });
  }
  return { ...record.subject, sequenceLength: record.sequenceLength, documents: records };
}

/** A document's token ids, and their hash. */
export interface HashedDocument {
  readonly ids: readonly number[];
  readonly hash: string;
}

/** Tokenizes documents; those below two tokens are left out. Throws an OptionError where none is left. */
export async function hashDocuments({ model }: ExitHeads, documents: readonly Document[]): Promise<HashedDocument[]> {
  const ids = documents
    .map((document) => (typeof document === "string" ? model.tokenizer.encode(document) : document))
    .filter(({ length }) => length >= 2);
  if (ids.length === 0) {
    throw new OptionError("documents-empty", "calibrate: no document holds two tokens; give more text", {
      documents: documents.length,
    });
  }
  return Promise.all(ids.map(async (tokens) => ({ ids: tokens, hash: await hashDocument(tokens) })));
}

/**
 * What counts as agreeing: given a window's teacher, says of a head's logits and their stats, at every position, 1 or
 * 0.
 */
export type Agreement = (
  teacher: Teacher,
) => Promise<(logits: Tensor, stats: Float32Array) => Uint8Array | Promise<Uint8Array>>;

/** The head's argmax is the full model's. */
const sameBest: Agreement = ({ argmax }) =>
  Promise.resolve((_, stats) => Uint8Array.from(argmax, (id, t) => Number(confidenceAt(stats, t).argmax === id)));

export interface Recorder {
  readonly subject: Subject;
  readonly sequenceLength: number;
  /**
   * A record; where something else than the same best token counts as agreeing, it is neither read from the store nor
   * kept there.
   */
  document(document: HashedDocument, agreement?: Agreement): Promise<DocumentRecord>;
}

/** Records documents one by one. */
export async function createRecorder(
  heads: ExitHeads,
  options: Pick<RecordDocumentsOptions, "sequenceLength" | "store"> = {},
): Promise<Recorder> {
  const { maxPositionEmbeddings } = heads.model.config;
  const { sequenceLength = Math.min(256, maxPositionEmbeddings), store } = options;
  requireInteger("recordDocuments: sequenceLength", sequenceLength, 2, maxPositionEmbeddings);
  await heads.freeze();
  const subject = await describeSubject(heads);
  const make = async ({ ids, hash }: HashedDocument, agreement = sameBest): Promise<DocumentRecord> => ({
    hash,
    ...(await recordDocument(heads, cutWindows(heads.model, [ids], sequenceLength), agreement)),
  });
  return {
    subject,
    sequenceLength,
    async document(document, agreement) {
      if (store === undefined || agreement !== undefined) return make(document, agreement);
      const key = [
        subject.modelHash,
        subject.headsHash,
        subject.dtype,
        subject.backend,
        sequenceLength,
        document.hash,
      ].join(" ");
      const name = `record-${(await sha256(new TextEncoder().encode(key))).slice(0, 32)}.safetensors`;
      const stored = await store.read(name);
      if (stored !== undefined) return parseRecord(stored, document.hash, subject.depths.length);
      const made = await make(document);
      await store.write(name, serializeRecord(made));
      return made;
    },
  };
}

function serializeRecord({ positions, exits }: DocumentRecord): Uint8Array {
  return serializeSafetensors(
    exits.flatMap(({ stats, agrees, gates }, exit): [string, SafetensorsInput][] => [
      [`stats.${exit}`, { dtype: "F32", shape: [positions, ROW_STATS.width], data: stats }],
      [`agrees.${exit}`, { dtype: "U8", shape: [positions], data: agrees }],
      ...(gates === undefined
        ? []
        : [[`gates.${exit}`, { dtype: "F32", shape: [positions], data: gates }] satisfies [string, SafetensorsInput]]),
    ]),
  );
}

function parseRecord(bytes: Uint8Array, hash: string, exits: number): DocumentRecord {
  const file = parseSafetensors(bytes);
  return {
    hash,
    positions: file.info("agrees.0").shape[0]!,
    exits: Array.from({ length: exits }, (_, exit) => ({
      stats: file.float32(`stats.${exit}`),
      agrees: file.bytes(`agrees.${exit}`),
      ...(file.names.includes(`gates.${exit}`) && { gates: file.float32(`gates.${exit}`) }),
    })),
  };
}

/** The scores of one exit over all documents, and whether each agreed: flat, in order. */
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

async function recordDocument(
  { model, heads, depths }: ExitHeads,
  windows: readonly (readonly number[])[],
  agreement: Agreement,
): Promise<Omit<DocumentRecord, "hash">> {
  const positions = windows.reduce((sum, { length }) => sum + length, 0);
  const exits = heads.map(({ gate }): ExitRecord => ({
    stats: new Float32Array(positions * ROW_STATS.width),
    agrees: new Uint8Array(positions),
    ...(gate && { gates: new Float32Array(positions) }),
  }));
  let at = 0;
  for (const window of windows) {
    const batch = hiddenBatch(model, [window], depths);
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
