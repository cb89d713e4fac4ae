/**
 * Sources of a certificate's counts: documents in their seeded order, their records (those of the grid split propose
 * candidates), and, where records do not show what candidates do, runs.
 *   recorded   records in memory
 *   streamed   the model, which records one document at a time; records of test documents are dropped once counted, so
 *              that memory does not grow with the text. With a fill that changes other tokens the decoder runs the
 *              candidates too
 *   counted    counts of candidates that were run before (PolicyRuns); there are no records
 *   ran        records of the grid split in memory, and counts of the candidates that were proposed from them
 */
import { OptionError } from "../../errors.js";
import { type FillName, isExactFill } from "../../exits/fill/fill.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import { orientScore, scoreAt, type ScoreName } from "../../exits/heads/score.js";
import { describeSampling, isPlainGreedy } from "../../model/decode/sampling.js";
import { ROW_STATS } from "../../tensor/index.js";
import {
  lossesIn,
  orientThreshold,
  rawThreshold,
  tallyVectors,
  type ThresholdVector,
  type TokenLosses,
  type TokenTable,
} from "../procedures/token-table.js";
import type { Reading, Tally } from "../procedures/tally.js";
import { type CalibrationRecords, createRecorder, type DocumentRecord, type RecordDocumentsOptions } from "./record.js";
import { type OwnText, pickVectors, type PolicyRuns, tallyRuns } from "./policy-runs.js";
import { type Counted, countedAs, type HashedDocument, judgedTokens } from "./documents.js";
import { runHashed, type RunPoliciesOptions } from "./run-policies.js";
import type { Arrangement, Place, Unit } from "./split.js";
import { judgedBy, type Subject } from "./subject.js";
import { giveTurn } from "../../turns.js";

export interface Evidence extends ArrangedDocuments {
  readonly subject: Subject;
  readonly sequenceLength: number;
  readonly given?: GivenCandidates;
  /** Settings of text that candidates wrote themselves. */
  readonly ownText?: OwnText;
  readonly record?: (index: number) => DocumentRecord | Promise<DocumentRecord>;
  /** Counts of candidates run on documents [first, end); absent if records show them. */
  readonly run?: (first: number, end: number, candidates: GivenCandidates) => Tally | Promise<Tally>;
}

/** The documents as counted, and the cut. */
interface ArrangedDocuments {
  /** All documents given, in the seeded order; copies follow each other. */
  readonly documents: readonly EvidenceDocument[];
  /** The first so many documents are the grid split. */
  readonly grid: number;
  readonly unit: Unit;
  /** Units in the test, copies counted once. */
  readonly units: number;
  /** True if some documents are copies of others. */
  readonly copied: boolean;
  /** Documents left out, because their text taught the heads. */
  readonly taught: number;
}

export interface EvidenceDocument extends Counted, Place {
  /** Judged tokens. */
  readonly tokens: number;
  /** Its place among the documents given. */
  readonly place: number;
}

/** Vectors of oriented scores, strictest first. */
export interface GivenCandidates {
  readonly score: ScoreName;
  readonly vectors: readonly ThresholdVector[];
}

export async function tableIn(evidence: Evidence, first: number, end: number, score: ScoreName): Promise<TokenTable> {
  const records: DocumentRecord[] = [];
  for (let index = first; index < end; index++) records.push(await evidence.record!(index));
  return { ...tableOf(records, score, judgedBy(evidence.subject).lossScale), ...unitsIn(evidence, first, end) };
}

function joinTallies(parts: readonly Tally[]): Tally {
  const join = <To extends Int32Array | Float64Array>(
    columnOf: (part: Tally) => To,
    make: (length: number) => To,
  ): To => {
    const joined = make(parts.reduce((sum, part) => sum + columnOf(part).length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(columnOf(part), at);
      at += columnOf(part).length;
    }
    return joined;
  };
  const integers = (length: number): Int32Array => new Int32Array(length);
  const floats = (length: number): Float64Array => new Float64Array(length);
  return {
    ...parts[0]!,
    documents: parts.reduce((sum, { documents }) => sum + documents, 0),
    tokens: join(({ tokens }) => tokens, integers),
    left: join(({ left }) => left, integers),
    wrong: join(({ wrong }) => wrong, floats),
    deep: join(({ deep }) => deep, floats),
  };
}

/** As recorded or as run. */
export async function tallyIn(
  evidence: Evidence,
  first: number,
  end: number,
  score: ScoreName,
  vectors: readonly ThresholdVector[],
): Promise<Tally> {
  const { subject, record, run } = evidence;
  const units = unitsIn(evidence, first, end);
  if (run !== undefined) return { ...(await run(first, end, { score, vectors })), ...units };
  const { lossScale } = judgedBy(subject);
  const parts: Tally[] = [];
  for (let index = first; index < end; index++) {
    parts.push(tallyVectors(tableOf([await record!(index)], score, lossScale), vectors));
  }
  return { ...joinTallies(parts), ...units };
}

function unitsIn(evidence: Evidence, first: number, end: number): { readonly unitStarts?: Int32Array } {
  const documents = evidence.documents.slice(first, end);
  const starts = documents.flatMap(({ unit }, d) => (unit === documents[d - 1]?.unit ? [] : [d]));
  if (evidence.unit === "document" && starts.length === documents.length) return {};
  return { unitStarts: Int32Array.from([...starts, documents.length]) };
}

/** Classes of copies in order, each with its leader first. */
export function classesIn({ documents }: Pick<Evidence, "documents">): EvidenceDocument[][] {
  return groupedBy(documents, ({ leader }) => leader);
}

/** The first document whose counts decide: of the test, or with copies of all, which are read in two ways. */
export function firstCounted({ grid, copied }: Pick<Evidence, "grid" | "copied">): number {
  return copied ? 0 : grid;
}

/** The test's units, a class of copies being one; as rows of documents from the first counted on. */
export function readOnce(evidence: Evidence): Reading {
  const first = firstCounted(evidence);
  const rows = evidence.documents.slice(first).map((document, row) => ({ ...document, row }));
  const tested = rows.filter((document) => document.tested);
  return groupedBy(tested, ({ unit }) => unit).map((unit) =>
    groupedBy(unit, ({ leader }) => leader).map((members) => members.map(({ row }) => row)),
  );
}

/** The units as given, of the test or of all documents. */
export function readAsGiven(evidence: Evidence, of: "test" | "all"): Reading {
  const first = firstCounted(evidence);
  const rows = evidence.documents.slice(first).map(({ key, testedAsGiven }, row) => ({ key, testedAsGiven, row }));
  const read = rows.filter(({ testedAsGiven }) => of === "all" || testedAsGiven);
  read.sort((a, b) => (a.key === b.key ? a.row - b.row : a.key < b.key ? -1 : 1));
  return groupedBy(read, ({ key }) => key).map((unit) => unit.map(({ row }) => [row]));
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

export function recordedEvidence(records: CalibrationRecords, arrangement: Arrangement): Evidence {
  const documents = arrangement.order.map((index) => records.documents[index]!);
  requireRecords(documents, records);
  return {
    subject: records,
    sequenceLength: records.sequenceLength,
    ...arranged(documents, ({ positions }) => positions, arrangement),
    record: (index) => documents[index]!,
  };
}

/** Runs the model when needed. Records of the grid split stay in memory. */
export async function streamedEvidence(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  arrangement: Arrangement,
  { fill, ...options }: RecordDocumentsOptions & RunPoliciesOptions & { readonly fill: FillName },
): Promise<Evidence> {
  const { sequenceLength, subject, ...recorder } = await createRecorder(heads, options);
  const ordered = arrangement.order.map((index) => texts[index]!);
  const memory: (DocumentRecord | undefined)[] = [];
  /** The last one made: the very same tokens follow each other. */
  let last: DocumentRecord | undefined;
  let seen = 0;
  return {
    subject,
    sequenceLength,
    ...arranged(ordered, (text) => judgedTokens(text, sequenceLength), arrangement),
    async record(index) {
      const document = ordered[index]!;
      const known = memory[index] ?? (last?.hash === document.hash ? last : undefined);
      if (known !== undefined) return known;
      await giveTurn(options.signal);
      const made = await recorder.document(document);
      last = made;
      if (index < arrangement.grid) memory[index] = made;
      seen = Math.max(seen, index + 1);
      await options.onDocument?.({ document: seen, documents: ordered.length, positions: made.positions });
      return made;
    },
    ...(!isExactFill(fill) && {
      async run(first, end, { score, vectors }) {
        const thresholds = vectors.map((vector) => vector.map((threshold) => rawThreshold(threshold, score)));
        return tallyRuns(await runHashed(heads, ordered.slice(first, end), { score, fill, thresholds }, options));
      },
    }),
  };
}

function runVectors({ thresholds, score }: PolicyRuns): ThresholdVector[] {
  return thresholds.map((vector) => vector.map((threshold) => orientThreshold(threshold, score)));
}

/** From runs made before; the candidates are those of the runs, or "never exit". */
export function countedEvidence(runs: PolicyRuns, arrangement: Arrangement): Evidence {
  const { order } = arrangement;
  const documents = order.map((index) => runs.documents[index]!);
  const vectors = runVectors(runs);
  const keys = vectors.map((vector) => vector.join());
  return {
    subject: runs.subject,
    sequenceLength: runs.sequenceLength,
    ...arranged(documents, ({ tokens }) => tokens, arrangement),
    given: { score: runs.score, vectors },
    ...(runs.ownText && { ownText: runs.ownText }),
    run(first, end, { vectors: asked }) {
      const tally = tallyRuns(runs, order.slice(first, end));
      const picked = asked.map((vector) => keys.indexOf(vector.join()));
      const missing = asked.find((vector, i) => picked[i] === -1 && vector.some((threshold) => threshold !== Infinity));
      if (missing !== undefined) throw notRun(missing, runs.score);
      if (picked.includes(-1) && judgedBy(runs.subject).reference.kind === "other") throw neverMissing();
      return pickVectors(tally, picked);
    },
  };
}

/**
 * From records of the grid split, in the order of the arrangement, and counts of the candidates proposed from them, for
 * fills that change other tokens: recorded and run elsewhere.
 */
export function ranEvidence(grid: readonly DocumentRecord[], runs: PolicyRuns, arrangement: Arrangement): Evidence {
  const { subject, sequenceLength, run, documents, ...cut } = countedEvidence(runs, arrangement);
  requireRecords(grid, subject);
  const { unit, units, copied, taught } = cut;
  const record = (index: number): DocumentRecord => grid[index]!;
  return { subject, sequenceLength, documents, grid: cut.grid, unit, units, copied, taught, run: run!, record };
}

/** Throws an OptionError unless every record holds what its subject says, at each of its positions. */
function requireRecords(documents: readonly DocumentRecord[], subject: Subject): void {
  const { sampling, reference } = judgedBy(subject);
  const isPlain = isPlainGreedy(sampling);
  const holds = (values: { readonly length: number } | undefined, length: number | undefined): boolean =>
    values?.length === length;
  const odd = documents.find(
    ({ positions, exits, deep }) =>
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

function arranged<One extends Counted>(
  documents: readonly One[],
  tokensOf: (document: One) => number,
  { order, places, grid, unit, taught }: Arrangement,
): ArrangedDocuments {
  const counted = documents.map((document, i) => ({
    ...countedAs(document),
    ...places[i]!,
    tokens: tokensOf(document),
    place: order[i]!,
  }));
  const tested = counted.filter((document) => document.tested);
  const units = new Set(tested.map((document) => document.unit)).size;
  const copied = new Set(counted.map(({ leader }) => leader)).size < counted.length;
  return { documents: counted, grid, unit, units, copied, taught };
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

export function tableOf(documents: readonly DocumentRecord[], score: ScoreName, lossScale = 1): TokenTable {
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
  const table = { documents: documents.length, exits, starts, oriented, agrees };
  const losses = recordedLosses(documents, table, lossScale);
  return losses === undefined ? table : { ...table, losses };
}

/** undefined if they are all 1 - agrees. */
function recordedLosses(
  documents: readonly DocumentRecord[],
  { agrees, starts }: Pick<TokenTable, "agrees" | "starts">,
  lossScale: number,
): TokenLosses | undefined {
  const first = documents[0];
  const own = first?.exits[0]?.losses !== undefined;
  if (first === undefined || (!own && first.deep === undefined)) return undefined;
  const join = (of: (document: DocumentRecord) => Int32Array): Int32Array => {
    const column = new Int32Array(starts[documents.length]!);
    documents.forEach((document, d) => {
      column.set(of(document), starts[d]);
    });
    return column;
  };
  return {
    lossScale,
    exits: own ? first.exits.map((_, exit) => join(({ exits }) => exits[exit]!.losses!)) : lossesIn({ agrees }).exits,
    ...(first.deep && { deep: join(({ deep }) => deep!) }),
  };
}
