/**
 * What a certificate's counts come from: the documents in their seeded order, tables of scores (candidates are proposed
 * from those of the grid split) and tallies of what given threshold vectors do (candidates are tested on those of the
 * test documents). There are four sources:
 *   recorded   records in memory
 *   streamed   the model, which records one document at a time; records of test documents are dropped once counted, so
 *              that memory does not grow with the text
 *   deployed   streamed, but the decoder runs the candidates: for fills that change other tokens
 *   counted    counts of candidates that were run before (PolicyRuns); there are no scores
 */
import { OptionError } from "../../errors.js";
import type { FillName } from "../../exits/fill/index.js";
import type { ExitHeads, ScoreName } from "../../exits/heads/index.js";
import { rawThreshold, type Tally, tallyVectors, type ThresholdVector, type TokenTable } from "../procedures/index.js";
import type { DocumentRecord } from "./document-record.js";
import { pickVectors, type PolicyRuns, runVectors, tallyRuns } from "./policy-runs.js";
import {
  type CalibrationRecords,
  createRecorder,
  type HashedDocument,
  judgedTokens,
  type RecordDocumentsOptions,
} from "./record.js";
import { runHashed, type RunPoliciesOptions } from "./run-policies.js";
import { judgedBy, type Subject } from "./subject.js";
import { joinTallies, tableOf } from "./table-of.js";

export interface Evidence {
  readonly subject: Subject;
  readonly sequenceLength: number;
  /** In the seeded order, each with the number of its tokens that are judged. */
  readonly documents: readonly { readonly hash: string; readonly tokens: number }[];
  /** The candidates, if they were proposed on other documents. */
  readonly given?: GivenCandidates;
  /** Scores and agreements in documents [first, end). */
  readonly table: (first: number, end: number, score: ScoreName) => Promise<TokenTable>;
  /** What threshold vectors (oriented scores) do in documents [first, end). */
  readonly tally: (first: number, end: number, score: ScoreName, vectors: readonly ThresholdVector[]) => Promise<Tally>;
}

/** Threshold vectors that exist before calibration. */
export interface GivenCandidates {
  readonly score: ScoreName;
  /** Strictest first. */
  readonly vectors: readonly ThresholdVector[];
}

/** Evidence from records in memory. */
export function recordedEvidence(records: CalibrationRecords, order: readonly number[]): Evidence {
  const documents = order.map((index) => records.documents[index]!);
  const { lossScale } = judgedBy(records);
  const table: Evidence["table"] = (first, end, score) =>
    Promise.resolve(tableOf(documents.slice(first, end), score, lossScale));
  return {
    subject: records,
    sequenceLength: records.sequenceLength,
    documents: documents.map(({ hash, positions }) => ({ hash, tokens: positions })),
    table,
    tally: async (first, end, score, vectors) => tallyVectors(await table(first, end, score), vectors),
  };
}

export interface StreamedEvidenceOptions extends RecordDocumentsOptions {
  /** How many of the first documents keep their records in memory. */
  readonly kept: number;
}

/** Evidence that runs the model when it is needed. */
export async function streamedEvidence(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { kept, ...options }: StreamedEvidenceOptions,
): Promise<Evidence> {
  const recorder = await createRecorder(heads, options);
  const { lossScale } = judgedBy(recorder.subject);
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
  return {
    subject: recorder.subject,
    sequenceLength: recorder.sequenceLength,
    documents: texts.map(({ hash, ids }) => ({ hash, tokens: judgedTokens(ids.length, recorder.sequenceLength) })),
    async table(first, end, score) {
      const records: DocumentRecord[] = [];
      for (let index = first; index < end; index++) records.push(await record(index));
      return tableOf(records, score, lossScale);
    },
    async tally(first, end, score, vectors) {
      const parts: Tally[] = [];
      for (let index = first; index < end; index++) {
        parts.push(tallyVectors(tableOf([await record(index)], score, lossScale), vectors));
      }
      return joinTallies(parts);
    },
  };
}

/** Streamed evidence, but with tallies from running each candidate with its fill. */
export async function deployedEvidence(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  fill: FillName,
  options: StreamedEvidenceOptions & RunPoliciesOptions,
): Promise<Evidence> {
  return {
    ...(await streamedEvidence(heads, texts, options)),
    async tally(first, end, score, vectors) {
      const thresholds = vectors.map((vector) => vector.map((threshold) => rawThreshold(threshold, score)));
      return tallyRuns(await runHashed(heads, texts.slice(first, end), { score, fill, thresholds }, options));
    },
  };
}

/** Evidence from runs made before; the candidates are those of the runs, or "never exit". */
export function countedEvidence(runs: PolicyRuns, order: readonly number[]): Evidence {
  const vectors = runVectors(runs);
  const keys = vectors.map((vector) => vector.join());
  return {
    subject: runs.subject,
    sequenceLength: runs.sequenceLength,
    documents: order.map((index) => ({ hash: runs.documents[index]!.hash, tokens: runs.documents[index]!.tokens })),
    given: { score: runs.score, vectors },
    table: () => Promise.reject(noScores()),
    tally(first, end, _score, asked) {
      const tally = tallyRuns(runs, order.slice(first, end));
      const picked = asked.map((vector) => keys.indexOf(vector.join()));
      return Promise.resolve(pickVectors(tally, picked));
    },
  };
}

function noScores(): OptionError {
  return new OptionError(
    "option-conflict",
    'calibrateRuns: procedure "byExit" proposes thresholds from scores, which runs do not hold; ' +
      "use calibrateRecords, or another procedure",
    { procedure: "byExit" },
  );
}
