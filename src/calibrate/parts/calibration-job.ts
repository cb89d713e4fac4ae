/**
 * A calibration, or a recording alone, that several processes share. Each of them reads all of the text, because copies
 * and groups are found in all of it, and runs the model on its own documents:
 *   records   exact fills and recordings: every document
 *             fills that change other tokens: the documents of the grid split, in their seeded order
 *   runs      fills that change other tokens: what the candidates, which the records propose, do on every document
 * So such fills take two rounds. The result is a function of the description, the records and the runs.
 */
import { exactFill, isExactFill, requireFillFor } from "../../exits/fill/index.js";
import type { ExitHeads } from "../../exits/heads/index.js";
import { sha256 } from "../../model/index.js";
import { giveTurn } from "../../turns.js";
import { type CertifyPolicyOptions, type CertifySettings, certifySettings, proposedVectors } from "../certify/index.js";
import type { PaperCalibrationOptions } from "../paper/index.js";
import { rawThreshold } from "../procedures/index.js";
import {
  arrange,
  type Arrangement,
  type CalibrationDocument,
  countedAs,
  createRecorder,
  type DocumentRecord,
  type HashedDocument,
  judgedDocuments,
  judgedTokens,
  ranEvidence,
  type Recorder,
  type RecordDocumentsOptions,
  type RunCandidates,
  runHashed,
  type Subject,
} from "../record/index.js";
import { serializeRecords } from "./record-chunk.js";
import { type RunDocument, runsOf, serializeRuns } from "./runs-chunk.js";

/** How records become a policy. */
export type JobOptions = CertifyPolicyOptions | PaperJobOptions;

type PaperJobOptions = PaperCalibrationOptions & { readonly procedure: "paper" };

/** What the result is a function of, beside records and runs: plain JSON, the same in every process. */
export interface JobDescription {
  readonly subject: Subject;
  readonly sequenceLength: number;
  /** How many documents there are, and the SHA-256 of their hashes and groups. */
  readonly documents: { readonly count: number; readonly hash: string };
  readonly options: JobOptions;
}

export interface CalibrationJob {
  readonly description: JobDescription;
  /** Number of documents to record. */
  readonly units: number;
  /** Records some of them: the bytes for `parseRecords`. */
  readonly record: (units: readonly number[]) => Promise<Uint8Array>;
  /** The second round; undefined if records show what candidates do. */
  readonly second: SecondRound | undefined;
}

export interface SecondRound {
  /** Number of documents to run candidates on. */
  readonly units: number;
  /** The candidates that all records together propose. */
  readonly propose: (records: readonly DocumentRecord[]) => Promise<RunCandidates>;
  /** Runs them on some of the documents: the bytes for `parseRuns`. */
  readonly run: (units: readonly number[], candidates: RunCandidates) => Promise<Uint8Array>;
}

type RecordingOptions = Omit<RecordDocumentsOptions, "store" | "onDocument">;

/**
 * Opens a calibration. Throws an OptionError as `calibrate` and `recordDocuments` do, before any work.
 */
export async function openCalibrationJob(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  given: JobOptions,
  recording: RecordingOptions = {},
): Promise<CalibrationJob> {
  const certified = !("procedure" in given);
  const options = certified ? { fill: exactFill(heads.model.config), ...given } : given;
  const settings = "procedure" in options ? undefined : certifySettings(options);
  if (settings !== undefined) requireFillFor(heads, settings.fill);
  const recorder = await createRecorder(heads, recording);
  const { subject, sequenceLength } = recorder;
  const texts = await judgedDocuments(heads, documents, sequenceLength);
  const count = texts.length;
  const description = { subject, sequenceLength, documents: { count, hash: await hashOf(texts) }, options };
  const arrangement = settings && (await arrange(texts, settings));
  if (settings === undefined || arrangement === undefined || isExactFill(settings.fill)) {
    return { description, units: count, record: recordingOf(recorder, texts, recording), second: undefined };
  }
  const grid = arrangement.order.slice(0, arrangement.grid).map((index) => texts[index]!);
  return {
    description,
    units: grid.length,
    record: recordingOf(recorder, grid, recording),
    second: secondRound(heads, texts, { arrangement, settings, description, recording }),
  };
}

/** Records documents by their number. */
function recordingOf(
  recorder: Recorder,
  texts: readonly HashedDocument[],
  { signal }: RecordingOptions,
): CalibrationJob["record"] {
  return async (units) => {
    const records: DocumentRecord[] = [];
    for (const unit of units) {
      await giveTurn(signal);
      records.push(await recorder.document(texts[unit]!));
    }
    return serializeRecords(records);
  };
}

interface SecondRoundOptions {
  readonly arrangement: Arrangement;
  readonly settings: CertifySettings;
  readonly description: JobDescription;
  readonly recording: RecordingOptions;
}

function secondRound(
  heads: ExitHeads,
  texts: readonly HashedDocument[],
  { arrangement, settings, description, recording }: SecondRoundOptions,
): SecondRound {
  const { sequenceLength } = description;
  const { fill } = settings;
  const distinct = new Set(arrangement.order);
  const uncounted = (text: HashedDocument): RunDocument => ({
    ...countedAs(text),
    tokens: judgedTokens(text, sequenceLength),
    counts: null,
  });
  return {
    units: texts.length,
    async propose(records) {
      const none = runsOf(description, { score: "margin", fill, thresholds: [], documents: texts.map(uncounted) });
      const { score, vectors } = await proposedVectors(ranEvidence(records, none, arrangement), settings);
      return {
        score,
        fill,
        thresholds: vectors.map((vector) => vector.map((threshold) => rawThreshold(threshold, score))),
      };
    },
    async run(units, candidates) {
      const documents = new Map(units.map((unit) => [unit, uncounted(texts[unit]!)]));
      const run = candidates.thresholds.length === 0 ? [] : units.filter((unit) => distinct.has(unit));
      if (run.length > 0) {
        const asked = run.map((unit) => texts[unit]!);
        const runs = await runHashed(heads, asked, candidates, { ...recording, sequenceLength });
        for (const [i, unit] of run.entries()) documents.set(unit, runs.documents[i]!);
      }
      return serializeRuns({ ...candidates, documents: [...documents.values()] });
    },
  };
}

function hashOf(texts: readonly HashedDocument[]): Promise<string> {
  return sha256(new TextEncoder().encode(JSON.stringify(texts.map(({ hash, group }) => [hash, group]))));
}
