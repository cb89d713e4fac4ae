/** Parts of `calibrate`: records of documents and, for fills that change other tokens, runs. */
import {
  type CalibrationJob,
  type JobDescription,
  parseRecords,
  parseRuns,
  type RunsChunk,
} from "../../calibrate/parts/index.js";
import type { DocumentRecord } from "../../calibrate/record/index.js";
import { ShardError } from "../../errors.js";
import { collectParts, type PartSet } from "../../node/parts/index.js";
import { type Io, note } from "../io.js";
import { type PartPlace, writeRound } from "./shard-options.js";

/** Most documents in a chunk of records. */
const RECORDS = 8;
/** Most documents in a chunk of runs, which are run together. */
const RUNS = 16;

/** What a part of records says it was made of. */
export interface RecordedMade {
  readonly description: JobDescription;
}

/** Writes a shard's part: one round, or as much of two as the other shards' parts permit. */
export async function writeCalibrationPart(
  io: Io,
  place: PartPlace,
  { description, units, record, second }: CalibrationJob,
): Promise<void> {
  const command = "calibrate";
  const made: RecordedMade = { description };
  await writeRound(io, place, { command, round: "records", units, chunk: RECORDS, made }, record);
  if (second === undefined) return;
  const records = await collectParts(place.folder, "records").catch((error: unknown) => {
    if (error instanceof ShardError && error.code === "parts-missing") return undefined;
    throw error;
  });
  if (records === undefined) {
    note(io, "other shards are not done with this round; once they are, run the same command again for the second one");
    return;
  }
  const candidates = await second.propose(await readRecords(records, description));
  const run = { command, round: "runs", units: second.units, chunk: RUNS, made: { ...made, candidates } };
  await writeRound(io, place, run, (own) => second.run(own, candidates));
}

/** All records, in the order of their units. */
export async function readRecords(parts: PartSet, { subject }: JobDescription): Promise<DocumentRecord[]> {
  const records = new Array<DocumentRecord>(parts.run.units);
  for await (const { units, bytes } of parts.chunks()) {
    const parsed = parseRecords(bytes, subject.depths.length);
    for (const [i, unit] of units.entries()) records[unit] = parsed[i]!;
  }
  return records;
}

/** All runs, in the order of their units. */
export async function readRuns(parts: PartSet): Promise<RunsChunk> {
  const documents = new Array<RunsChunk["documents"][number]>(parts.run.units);
  let candidates: Omit<RunsChunk, "documents"> | undefined;
  for await (const { units, bytes } of parts.chunks()) {
    const { documents: own, ...common } = parseRuns(bytes);
    candidates ??= common;
    for (const [i, unit] of units.entries()) documents[unit] = own[i]!;
  }
  return { ...candidates!, documents };
}
