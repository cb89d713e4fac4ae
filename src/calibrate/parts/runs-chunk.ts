/** What candidates did on several documents, with what each document counts as, in one file of JSON. */
import type { Counted, DocumentCounts, PolicyRuns, RunCandidates } from "../record/index.js";

/** The candidates that were run, the same in all chunks, and their counts. */
export interface RunsChunk extends RunCandidates {
  readonly documents: readonly RunDocument[];
}

/** A document that was given; copies of others are not run, and have no counts. */
export interface RunDocument extends Counted {
  readonly tokens: number;
  readonly counts: DocumentCounts | null;
}

/** The file's bytes. */
export function serializeRuns(chunk: RunsChunk): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(chunk)}\n`);
}

/** The runs in a file's bytes. */
export function parseRuns(bytes: Uint8Array): RunsChunk {
  return JSON.parse(new TextDecoder().decode(bytes)) as RunsChunk;
}

const NO_COUNTS: DocumentCounts = { left: [], wrong: [], deep: [] };

/** The runs of all documents as `calibrateRuns` takes them; no arrangement asks for the counts of copies. */
export function runsOf(
  { subject, sequenceLength }: Pick<PolicyRuns, "subject" | "sequenceLength">,
  { documents, ...candidates }: RunsChunk,
): PolicyRuns {
  return {
    format: "early-exits/policy-runs",
    version: 1,
    subject,
    ...candidates,
    sequenceLength,
    documents: documents.map((document) => ({ ...document, counts: document.counts ?? NO_COUNTS })),
  };
}
