/**
 * Where a certificate's counts come from: documents in the seeded order, as tables of scores (for the grid split) and
 * as tallies of what given vectors do (for the test). Either from records in memory, or recorded one document at a time
 * and forgotten once counted, so that memory does not grow with the text: what stays is the grid split and a few
 * integers per document and vector.
 */
import { type ExitHeads, scoreAt, type ScoreName, orientScore } from "../../exits/heads/index.js";
import { type Tally, tallyVectors, type ThresholdVector, type TokenTable } from "../procedures/index.js";
import {
  type CalibrationRecords,
  createRecorder,
  type DocumentRecord,
  type HashedDocument,
  type RecordDocumentsOptions,
} from "./record.js";
import type { Subject } from "./subject.js";

export interface Evidence {
  readonly subject: Subject;
  readonly sequenceLength: number;
  /** In the seeded order, with the tokens judged in each. */
  readonly documents: readonly { readonly hash: string; readonly tokens: number }[];
  /** Scores and agreements in documents [first, end). */
  readonly table: (first: number, end: number, score: ScoreName) => Promise<TokenTable>;
  /** What vectors, as oriented score, do in documents [first, end). */
  readonly tally: (first: number, end: number, score: ScoreName, vectors: readonly ThresholdVector[]) => Promise<Tally>;
}

/** Evidence from records in memory. */
export function recordedEvidence(records: CalibrationRecords, order: readonly number[]): Evidence {
  const documents = order.map((index) => records.documents[index]!);
  const table: Evidence["table"] = (first, end, score) => Promise.resolve(tableOf(documents.slice(first, end), score));
  return {
    subject: records,
    sequenceLength: records.sequenceLength,
    documents: documents.map(({ hash, positions }) => ({ hash, tokens: positions })),
    table,
    tally: async (first, end, score, vectors) => tallyVectors(await table(first, end, score), vectors),
  };
}

/** Evidence that runs the model when it is asked; only records of the first `kept` documents stay in memory. */
export async function streamedEvidence(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { kept, ...options }: RecordDocumentsOptions & { readonly kept: number },
): Promise<Evidence> {
  const recorder = await createRecorder(heads, options);
  const memory: (DocumentRecord | undefined)[] = [];
  let seen = 0;
  const record = async (index: number): Promise<DocumentRecord> => {
    const known = memory[index];
    if (known !== undefined) return known;
    options.signal?.throwIfAborted();
    const made = await recorder.document(texts[index]!);
    if (index < kept) memory[index] = made;
    seen = Math.max(seen, index + 1);
    await options.onDocument?.({ document: seen, documents: texts.length, positions: made.positions });
    return made;
  };
  const collect = async (first: number, end: number): Promise<DocumentRecord[]> => {
    const records: DocumentRecord[] = [];
    for (let index = first; index < end; index++) records.push(await record(index));
    return records;
  };
  return {
    subject: recorder.subject,
    sequenceLength: recorder.sequenceLength,
    documents: texts.map(({ hash, ids }) => ({ hash, tokens: judgedTokens(ids.length, recorder.sequenceLength) })),
    table: async (first, end, score) => tableOf(await collect(first, end), score),
    async tally(first, end, score, vectors) {
      const parts: Tally[] = [];
      for (let index = first; index < end; index++) {
        parts.push(tallyVectors(tableOf([await record(index)], score), vectors));
      }
      return joinTallies(parts);
    },
  };
}

/** Tokens of a document that are judged: a last window of a single token is left out. */
export function judgedTokens(length: number, sequenceLength: number): number {
  return length % sequenceLength === 1 ? length - 1 : length;
}

/** Records as columns of one score, turned so that larger is surer. */
export function tableOf(documents: readonly DocumentRecord[], score: ScoreName): TokenTable {
  const exits = documents[0]?.exits.length ?? 0;
  const starts = new Int32Array(documents.length + 1);
  documents.forEach(({ positions }, d) => {
    starts[d + 1] = starts[d]! + positions;
  });
  const tokens = starts[documents.length]!;
  const oriented = Array.from({ length: exits }, () => new Float64Array(tokens));
  const agrees = Array.from({ length: exits }, () => new Uint8Array(tokens));
  documents.forEach((document, d) => {
    document.exits.forEach((record, exit) => {
      const column = oriented[exit]!;
      for (let t = 0; t < document.positions; t++) {
        column[starts[d]! + t] = orientScore(scoreAt(record, t, score), score);
      }
      agrees[exit]!.set(record.agrees, starts[d]);
    });
  });
  return { documents: documents.length, exits, starts, oriented, agrees };
}

/** Tallies of the same vectors on one set of documents after another. */
export function joinTallies(parts: readonly Tally[]): Tally {
  const first = parts[0]!;
  const join = (column: "tokens" | "left" | "wrong" | "deep"): Int32Array => {
    const joined = new Int32Array(parts.reduce((sum, part) => sum + part[column].length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part[column], at);
      at += part[column].length;
    }
    return joined;
  };
  return {
    ...first,
    documents: parts.reduce((sum, { documents }) => sum + documents, 0),
    tokens: join("tokens"),
    left: join("left"),
    wrong: join("wrong"),
    deep: join("deep"),
  };
}
