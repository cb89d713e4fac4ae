/**
 * Sources of a certificate's counts: documents in their seeded order, their records (those of the grid split propose
 * candidates), and, where records do not show what candidates do, runs.
 *   recorded   records in memory
 *   streamed   the model, which records one document at a time; records of test documents are dropped once counted, so
 *              that memory does not grow with the text. With a fill that changes other tokens the decoder runs the
 *              candidates too
 *   counted    counts of candidates that were run before (PolicyRuns); there are no records
 */
import { OptionError } from "../../errors.js";
import { type FillName, isExactFill } from "../../exits/fill/fill.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import { orientScore, scoreAt, type ScoreName } from "../../exits/heads/score.js";
import { describeSampling, isPlainGreedy } from "../../model/decode/sampling.js";
import { ROW_STATS } from "../../tensor/index.js";
import {
  type LossColumn,
  lossesIn,
  orientThreshold,
  rawVector,
  tallyVectors,
  type ThresholdVector,
  type TokenTable,
} from "../procedures/token-table.js";
import type { Reading, Tally } from "../procedures/tally.js";
import { type CalibrationRecords, createRecorder, type DocumentRecord, type RecordDocumentsOptions } from "./record.js";
import {
  type AnswerSettings,
  type OwnText,
  pickVectors,
  type PolicyRuns,
  type RunDocument,
  tallyRuns,
} from "./policy-runs.js";
import type { Counted, HashedDocument } from "./documents.js";
import { runHashed, type RunPoliciesOptions } from "./run-policies.js";
import type { Arrangement, Place } from "./split.js";
import { judgedBy, type Subject } from "./subject.js";
import { giveTurn } from "../../turns.js";

/** A document as counted. */
export interface EvidenceDocument extends Counted, Place {
  /** Judged tokens; of a prompt, those of the full model's answer. */
  readonly tokens: number;
  /** SHA-256 of the full model's answer. */
  readonly answer?: string;
}

export interface Evidence extends Arrangement<EvidenceDocument> {
  readonly subject: Subject;
  readonly sequenceLength: number;
  readonly given?: GivenCandidates;
  /** Settings of text that candidates wrote themselves. */
  readonly ownText?: OwnText;
  /** Settings of answers, which candidates give to the documents, and which are judged whole. */
  readonly answers?: AnswerSettings;
  readonly record?: (index: number) => DocumentRecord | Promise<DocumentRecord>;
  /** Counts of candidates run on documents [first, end); absent if records show them. */
  readonly run?: (first: number, end: number, candidates: GivenCandidates) => Tally | Promise<Tally>;
}

/** Vectors of oriented scores, strictest first. */
export interface GivenCandidates {
  readonly score: ScoreName;
  readonly vectors: readonly ThresholdVector[];
}

export async function tableIn(evidence: Evidence, end: number, score: ScoreName): Promise<TokenTable> {
  const records: DocumentRecord[] = [];
  for (let index = 0; index < end; index++) records.push(await evidence.record!(index));
  return tableOf(records, score, judgedBy(evidence.subject).lossScale);
}

/** As recorded or as run, of documents [first, end). */
export async function tallyIn(
  { subject, record, run }: Evidence,
  [first, end]: readonly [number, number],
  score: ScoreName,
  vectors: readonly ThresholdVector[],
): Promise<Tally> {
  if (run !== undefined) return run(first, end, { score, vectors });
  const { lossScale } = judgedBy(subject);
  const parts: Tally[] = [];
  for (let index = first; index < end; index++) {
    parts.push(tallyVectors(tableOf([await record!(index)], score, lossScale), vectors));
  }
  return {
    ...parts[0]!,
    documents: parts.length,
    tokens: Int32Array.from(parts.flatMap(({ tokens }) => [...tokens])),
    left: Int32Array.from(parts.flatMap(({ left }) => [...left])),
    wrong: Float64Array.from(parts.flatMap(({ wrong }) => [...wrong])),
    deep: Float64Array.from(parts.flatMap(({ deep }) => [...deep])),
  };
}

/** Classes of copies in order, each with its leader first. */
export function classesIn({ documents }: Evidence): EvidenceDocument[][] {
  return groupedBy(documents, ({ leader }) => leader);
}

/** The first document whose counts decide: of the test, or with copies of all, which are read in two ways. */
export function firstCounted({ grid, copied }: Evidence): number {
  return copied ? 0 : grid;
}

/** Documents from the first counted on, with their rows. */
function rowsIn(evidence: Evidence) {
  return evidence.documents.slice(firstCounted(evidence)).map((document, row) => ({ ...document, row }));
}

/** The test's units, a class of copies being one; as rows of documents from the first counted on. */
export function readOnce(evidence: Evidence): Reading {
  const tested = rowsIn(evidence).filter((document) => document.tested);
  return groupedBy(tested, ({ unit }) => unit).map((unit) =>
    groupedBy(unit, ({ leader }) => leader).map((members) => members.map(({ row }) => row)),
  );
}

/** The units as given, of the test or of all documents. */
export function readAsGiven(evidence: Evidence, of: "test" | "all"): Reading {
  const read = rowsIn(evidence).filter(({ testedAsGiven }) => of === "all" || testedAsGiven);
  read.sort((a, b) => (a.key === b.key ? a.row - b.row : a.key < b.key ? -1 : 1));
  return groupedBy(read, ({ key }) => key).map((unit) => unit.map(({ row }) => [row]));
}

/** The units of the first documents, copies counted like all others. */
export function readFirst({ documents }: Evidence, end: number): Reading {
  const rows = documents.slice(0, end).map(({ unit }, row) => ({ unit, row }));
  return groupedBy(rows, ({ unit }) => unit).map((unit) => unit.map(({ row }) => [row]));
}

function groupedBy<One>(list: readonly One[], nameOf: (one: One) => string): One[][] {
  const groups = new Map<string, One[]>();
  for (const one of list) {
    const group = groups.get(nameOf(one));
    if (group === undefined) groups.set(nameOf(one), [one]);
    else group.push(one);
  }
  return [...groups.values()];
}

export function recordedEvidence(records: CalibrationRecords, arrangement: Arrangement<DocumentRecord>): Evidence {
  const { documents } = arrangement;
  requireRecords(documents, records);
  return {
    ...arrangement,
    subject: records,
    sequenceLength: records.sequenceLength,
    documents: documents.map((document) => ({ ...document, tokens: document.positions })),
    record: (index) => documents[index]!,
  };
}

/** Runs the model when needed. Records of the grid split stay in memory. */
export async function streamedEvidence(
  heads: ExitHeads,
  arrangement: Arrangement<HashedDocument>,
  { fill, ...options }: RecordDocumentsOptions & RunPoliciesOptions & { readonly fill: FillName },
): Promise<Evidence> {
  const { sequenceLength, subject, ...recorder } = await createRecorder(heads, options);
  const { documents, grid } = arrangement;
  const memory: (DocumentRecord | undefined)[] = [];
  /** The last one made: the very same tokens follow each other. */
  let last: DocumentRecord | undefined;
  let seen = 0;
  return {
    ...arrangement,
    subject,
    sequenceLength,
    async record(index) {
      const document = documents[index]!;
      const known = memory[index] ?? (last?.hash === document.hash ? last : undefined);
      if (known !== undefined) return known;
      await giveTurn(options.signal);
      const made = await recorder.document(document);
      last = made;
      if (index < grid) memory[index] = made;
      seen = Math.max(seen, index + 1);
      await options.onDocument?.({ document: seen, documents: documents.length, positions: made.positions });
      return made;
    },
    ...(!isExactFill(fill) && {
      async run(first, end, { score, vectors }) {
        const thresholds = vectors.map((vector) => rawVector(vector, score));
        return tallyRuns(await runHashed(heads, documents.slice(first, end), { score, fill, thresholds }, options));
      },
    }),
  };
}

/** From runs made before; the candidates are those of the runs, or "never exit". */
export function countedEvidence(runs: PolicyRuns, arrangement: Arrangement<RunDocument>): Evidence {
  const { subject, sequenceLength, ownText, score } = runs;
  return {
    ...arrangement,
    subject,
    sequenceLength,
    given: { score, vectors: runVectors(runs) },
    ...(ownText && { ownText }),
    run: runIn(runs, arrangement),
  };
}

function runVectors({ thresholds, score }: PolicyRuns): ThresholdVector[] {
  return thresholds.map((vector) => vector.map((threshold) => orientThreshold(threshold, score)));
}

/** The counts that runs hold, of documents arranged in the same way. Throws an OptionError for others' candidates. */
export function runIn(
  runs: PolicyRuns,
  { documents }: { readonly documents: readonly Place[] },
): NonNullable<Evidence["run"]> {
  const keys = runVectors(runs).map((vector) => vector.join());
  const ordered = documents.map(({ place }) => runs.documents[place]!);
  return (first, end, { vectors: asked }) => {
    const picked = asked.map((vector) => keys.indexOf(vector.join()));
    const missing = asked.find((vector, i) => picked[i] === -1 && vector.some((threshold) => threshold !== Infinity));
    if (missing !== undefined) {
      const thresholds = rawVector(missing, runs.score).join(", "); // counts of nothing would certify anything
      throw new OptionError(
        "runs-misfit",
        `calibrate: the runs do not hold the candidate ${thresholds}, which the grid split proposes; run the ` +
          "candidates of proposeThresholds with the same options, measured costs included",
        { thresholds },
      );
    }
    if (picked.includes(-1) && judgedBy(runs.subject).reference.kind === "other") {
      throw new OptionError(
        "candidates-never",
        'calibrate: against another model "never exit" is a candidate like any other; run it too, as the first',
      );
    }
    return pickVectors(tallyRuns({ ...runs, documents: ordered.slice(first, end) }), picked);
  };
}

/** Throws an OptionError unless every record holds what its subject says, at each of its positions. */
function requireRecords(documents: readonly DocumentRecord[], subject: Subject): void {
  const { sampling, reference } = judgedBy(subject);
  const isPlain = isPlainGreedy(sampling);
  const holds = (values: { readonly length: number } | undefined, length: number | undefined): boolean =>
    values?.length === length;
  const odd = documents.find(
    ({ positions, exits, deep }) =>
      !(positions >= 1) ||
      exits.length !== subject.depths.length ||
      !holds(deep, reference.kind === "other" ? positions : undefined) ||
      exits.some(
        ({ stats, agrees, losses }) =>
          !holds(stats, positions * ROW_STATS.width) ||
          !holds(agrees, positions) ||
          !holds(losses, isPlain ? undefined : positions),
      ),
  );
  if (odd === undefined) return;
  throw new OptionError(
    "record-malformed",
    `calibrateRecords: the record of ${odd.hash.slice(0, 12)}… does not hold ${odd.positions} positions at each of ` +
      `${subject.depths.length} exits, judged for text by ${describeSampling(sampling)} against the reference that ` +
      "is named; record again, with that sampling and reference",
    { hash: odd.hash, positions: odd.positions, exits: odd.exits.length },
  );
}

export function tableOf(documents: readonly DocumentRecord[], score: ScoreName, lossScale = 1): TokenTable {
  const [first] = documents;
  const exits = [...(first?.exits.keys() ?? [])];
  const starts = new Int32Array(documents.length + 1);
  documents.forEach(({ positions }, d) => {
    starts[d + 1] = starts[d]! + positions;
  });
  const tokens = starts[documents.length]!;
  const oriented = exits.map((exit) => {
    const column = new Float64Array(tokens);
    documents.forEach(({ positions, exits: records }, d) => {
      for (let t = 0; t < positions; t++) {
        column[starts[d]! + t] = orientScore(scoreAt(records[exit]!, t, score), score);
      }
    });
    return column;
  });
  /** Fills a column [tokens] with those of the documents. */
  const join = <Column extends LossColumn>(column: Column, of: (document: DocumentRecord) => Column): Column => {
    documents.forEach((document, d) => {
      column.set(of(document), starts[d]);
    });
    return column;
  };
  const agrees = exits.map((exit) => join(new Uint8Array(tokens), (document) => document.exits[exit]!.agrees));
  const table = { documents: documents.length, exits: exits.length, starts, oriented, agrees };
  const own = first?.exits[0]?.losses !== undefined;
  const deep = first?.deep && join(new Int32Array(tokens), (document) => document.deep!);
  if (!own && deep === undefined) return table; // losses are 1 - agrees
  const losses = own
    ? exits.map((exit) => join(new Int32Array(tokens), (document) => document.exits[exit]!.losses!))
    : lossesIn(table).exits;
  return { ...table, losses: { lossScale, exits: losses, ...(deep && { deep }) } };
}
