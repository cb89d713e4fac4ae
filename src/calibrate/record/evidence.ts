/**
 * What a certificate's counts come from: the documents in their seeded order, tables of scores (candidates are proposed
 * from those of the grid split) and tallies of what given threshold vectors do (candidates are tested on those of the
 * test documents). There are five sources:
 *   recorded   records in memory
 *   streamed   the model, which records one document at a time; records of test documents are dropped once counted, so
 *              that memory does not grow with the text
 *   deployed   streamed, but the decoder runs the candidates: for fills that change other tokens
 *   counted    counts of candidates that were run before (PolicyRuns); there are no scores
 *   ran        records of the grid split in memory, and counts of the candidates that were proposed from them
 */
import { OptionError } from "../../errors.js";
import type { FillName } from "../../exits/fill/index.js";
import type { ExitHeads, ScoreName } from "../../exits/heads/index.js";
import { rawThreshold, type Tally, tallyVectors, type ThresholdVector, type TokenTable } from "../procedures/index.js";
import type { DocumentRecord } from "./document-record.js";
import { type OwnText, pickVectors, type PolicyRuns, runVectors, tallyRuns } from "./policy-runs.js";
import { type Counted, countedAs, type HashedDocument, judgedTokens } from "./documents.js";
import { type CalibrationRecords, createRecorder, type RecordDocumentsOptions } from "./record.js";
import { runHashed, type RunPoliciesOptions } from "./run-policies.js";
import type { Arrangement } from "./split.js";
import { judgedBy, type Subject } from "./subject.js";
import { joinTallies, tableOf } from "./table-of.js";
import { giveTurn } from "../../turns.js";

export interface Evidence {
  readonly subject: Subject;
  readonly sequenceLength: number;
  /** Distinct documents in the seeded order. */
  readonly documents: readonly EvidenceDocument[];
  /** The first so many documents are the grid split. */
  readonly grid: number;
  /** What is counted as independent: documents, or groups of documents that follow each other. */
  readonly unit: "document" | "group";
  /** The candidates, if they were proposed on other documents. */
  readonly given?: GivenCandidates;
  /** How candidates wrote the text themselves, if it was not given. */
  readonly ownText?: OwnText;
  /** Scores and agreements in documents [first, end). */
  readonly table: (first: number, end: number, score: ScoreName) => Promise<TokenTable>;
  /** What threshold vectors (oriented scores) do in documents [first, end). */
  readonly tally: (first: number, end: number, score: ScoreName, vectors: readonly ThresholdVector[]) => Promise<Tally>;
}

export interface EvidenceDocument extends Counted {
  /** Number of tokens that are judged. */
  readonly tokens: number;
  /** How many of the documents given are this one. */
  readonly copies: number;
  /** Its place among the documents given. */
  readonly place: number;
}

/** Threshold vectors that exist before calibration. */
export interface GivenCandidates {
  readonly score: ScoreName;
  /** Strictest first. */
  readonly vectors: readonly ThresholdVector[];
}

/** Evidence from records in memory. */
export function recordedEvidence(records: CalibrationRecords, arrangement: Arrangement): Evidence {
  const documents = arrangement.order.map((index) => records.documents[index]!);
  const { lossScale } = judgedBy(records);
  requireExits(documents, records.depths.length);
  return withUnits({
    subject: records,
    sequenceLength: records.sequenceLength,
    ...arranged(documents, ({ positions }) => positions, arrangement),
    table: (first, end, score) => Promise.resolve(tableOf(documents.slice(first, end), score, lossScale)),
    tally: (first, end, score, vectors) =>
      Promise.resolve(tallyVectors(tableOf(documents.slice(first, end), score, lossScale), vectors)),
  });
}

/** Evidence that runs the model when it is needed. Records of the grid split stay in memory. */
export async function streamedEvidence(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  arrangement: Arrangement,
  options: RecordDocumentsOptions,
): Promise<Evidence> {
  const recorder = await createRecorder(heads, options);
  const { lossScale } = judgedBy(recorder.subject);
  const { sequenceLength, subject } = recorder;
  const ordered = arrangement.order.map((index) => texts[index]!);
  const memory: (DocumentRecord | undefined)[] = [];
  let seen = 0;
  const record = async (index: number): Promise<DocumentRecord> => {
    const known = memory[index];
    if (known !== undefined) return known;
    await giveTurn(options.signal);
    const made = await recorder.document(ordered[index]!);
    if (index < arrangement.grid) memory[index] = made;
    seen = Math.max(seen, index + 1);
    await options.onDocument?.({ document: seen, documents: ordered.length, positions: made.positions });
    return made;
  };
  return withUnits({
    subject,
    sequenceLength,
    ...arranged(ordered, (text) => judgedTokens(text, sequenceLength), arrangement),
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
  });
}

/** Streamed evidence, but with tallies from running each candidate with its fill. */
export async function deployedEvidence(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  arrangement: Arrangement,
  { fill, ...options }: RecordDocumentsOptions & RunPoliciesOptions & { readonly fill: FillName },
): Promise<Evidence> {
  const ordered = arrangement.order.map((index) => texts[index]!);
  return withUnits({
    ...(await streamedEvidence(heads, texts, arrangement, options)),
    async tally(first, end, score, vectors) {
      const thresholds = vectors.map((vector) => vector.map((threshold) => rawThreshold(threshold, score)));
      return tallyRuns(await runHashed(heads, ordered.slice(first, end), { score, fill, thresholds }, options));
    },
  });
}

/** Evidence from runs made before; the candidates are those of the runs, or "never exit". */
export function countedEvidence(runs: PolicyRuns, arrangement: Arrangement): Evidence {
  const { order } = arrangement;
  const documents = order.map((index) => runs.documents[index]!);
  const vectors = runVectors(runs);
  const keys = vectors.map((vector) => vector.join());
  return withUnits({
    subject: runs.subject,
    sequenceLength: runs.sequenceLength,
    ...arranged(documents, ({ tokens }) => tokens, arrangement),
    given: { score: runs.score, vectors },
    ...(runs.ownText && { ownText: runs.ownText }),
    table: () => Promise.reject(noScores()),
    tally(first, end, _score, asked) {
      const tally = tallyRuns(runs, order.slice(first, end));
      const picked = asked.map((vector) => keys.indexOf(vector.join()));
      const missing = asked.find((vector, i) => picked[i] === -1 && vector.some((threshold) => threshold !== Infinity));
      if (missing !== undefined) throw notRun(missing, runs.score);
      if (picked.includes(-1) && judgedBy(runs.subject).reference.kind === "other") throw neverMissing();
      return Promise.resolve(pickVectors(tally, picked));
    },
  });
}

/**
 * Evidence from records of the grid split, in the order of the arrangement, and counts of the candidates that were
 * proposed from them: for fills that change other tokens, recorded and run elsewhere.
 */
export function ranEvidence(grid: readonly DocumentRecord[], runs: PolicyRuns, arrangement: Arrangement): Evidence {
  const { subject, sequenceLength, documents, tally, unit, ...counted } = countedEvidence(runs, arrangement);
  const { lossScale } = judgedBy(subject);
  requireExits(grid, subject.depths.length);
  return withUnits({
    subject,
    sequenceLength,
    documents,
    grid: counted.grid,
    unit,
    tally,
    table: (first, end, score) => Promise.resolve(tableOf(grid.slice(first, end), score, lossScale)),
  });
}

function requireExits(documents: readonly DocumentRecord[], exits: number): void {
  const odd = documents.find((document) => document.exits.length !== exits);
  if (odd === undefined) return;
  throw new OptionError(
    "lengths-differ",
    `calibrateRecords: a record has ${odd.exits.length} exits, but there are ${exits} depths; record again`,
    { found: odd.exits.length, exits },
  );
}

/** The documents as they are counted, and where they are cut. */
function arranged<One extends Counted>(
  documents: readonly One[],
  tokensOf: (document: One) => number,
  { order, copies, grid, unit }: Arrangement,
): Pick<Evidence, "documents" | "grid" | "unit"> {
  const counted = documents.map((document, i) => ({
    ...countedAs(document),
    tokens: tokensOf(document),
    copies: copies[i]!,
    place: order[i]!,
  }));
  return { documents: counted, grid, unit };
}

/** Evidence whose tables and tallies say which documents make up each unit. */
function withUnits(evidence: Evidence): Evidence {
  if (evidence.unit === "document") return evidence;
  const unitsIn = (first: number, end: number): { readonly unitStarts: Int32Array } => ({
    unitStarts: unitStarts(evidence.documents.slice(first, end)),
  });
  return {
    ...evidence,
    table: async (first, end, score) => ({ ...(await evidence.table(first, end, score)), ...unitsIn(first, end) }),
    tally: async (first, end, score, vectors) => ({
      ...(await evidence.tally(first, end, score, vectors)),
      ...unitsIn(first, end),
    }),
  };
}

/** [units + 1] where each group begins, and the end. */
function unitStarts(documents: readonly Counted[]): Int32Array {
  const starts = documents.flatMap(({ group }, d) => (d === 0 || group !== documents[d - 1]!.group ? [d] : []));
  return Int32Array.from([...starts, documents.length]);
}

/** Counts of nothing would certify anything. */
function notRun(vector: ThresholdVector, score: ScoreName): OptionError {
  const thresholds = vector.map((threshold) => rawThreshold(threshold, score)).join(", ");
  return new OptionError(
    "runs-misfit",
    `calibrate: the runs do not hold the candidate ${thresholds}, which the grid split proposes; run the candidates ` +
      "of proposeThresholds with the same options, measured costs included",
    { thresholds },
  );
}

function neverMissing(): OptionError {
  return new OptionError(
    "candidates-never",
    'calibrateRuns: against another model "never exit" is a candidate like any other; run it too, as the first',
  );
}

function noScores(): OptionError {
  return new OptionError(
    "option-conflict",
    'calibrateRuns: procedure "byExit" proposes thresholds from scores, which runs do not hold; ' +
      "use calibrateRecords, or another procedure",
    { procedure: "byExit" },
  );
}
