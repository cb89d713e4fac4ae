/**
 * The parts in a folder, checked before anything is made of them: of one run, each shard once, complete, undamaged. The
 * folders of parts may have any names: part.json says what they are.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError, ShardError } from "../../errors.js";
import { fileExists, readBytes, readJson } from "../files.js";
import {
  type ChunkFile,
  chunkName,
  COMPLETE,
  PART,
  type PartDescription,
  type PartMarker,
  type PartRun,
  runHash,
  sha256Of,
} from "./part-folder.js";
import { ownChunks } from "./shard.js";

/** All parts of one round. */
export interface PartSet {
  readonly run: PartRun;
  /** Number of shards. */
  readonly of: number;
  /** The chunks with their units, shard by shard. Throws a ShardError if a chunk is not what its marker says. */
  chunks(): AsyncIterable<{ readonly units: readonly number[]; readonly bytes: Uint8Array }>;
}

interface FoundPart {
  readonly place: string;
  readonly description: PartDescription;
}

/** The command that made the parts in a folder. Throws a ShardError if there are none, or of several commands. */
export async function commandOf(folder: string): Promise<string> {
  const [first, ...others] = await findParts(folder);
  if (first === undefined) {
    throw new ShardError("parts-none", `${folder}: holds no parts; give the folder that was given to --parts`, {
      folder,
    });
  }
  const odd = others.find(({ description }) => description.command !== first.description.command);
  if (odd !== undefined) throw foreign(first, odd);
  return first.description.command;
}

/**
 * The parts of a round. Throws a ShardError if parts are missing, there twice, damaged, or of different runs; all of
 * that but damaged chunks is seen before a chunk is read.
 */
export async function collectParts(folder: string, round: string): Promise<PartSet> {
  const parts = (await findParts(folder)).filter(({ description }) => description.round === round);
  if (parts.length > 0) return partSet(folder, parts);
  throw new ShardError(
    "parts-missing",
    `${folder}: the parts of the round "${round}" are missing; run the same command for every shard once more`,
    { folder, round },
  );
}

async function findParts(folder: string): Promise<FoundPart[]> {
  const names = await readdir(folder).catch((): string[] => []);
  const found: FoundPart[] = [];
  for (const name of names.sort()) {
    const place = join(folder, name);
    if (await fileExists(join(place, PART))) found.push({ place, description: await readDescription(place) });
  }
  return found;
}

async function partSet(folder: string, parts: readonly FoundPart[]): Promise<PartSet> {
  const first = parts[0]!;
  const { command, round, units: total, chunk, made, shard } = first.description;
  const run: PartRun = { command, round, units: total, chunk, made };
  const hash = runHash(first.description);
  const byShard = new Map<number, FoundPart>();
  for (const part of parts) {
    const { description } = part;
    if (runHash(description) !== hash) throw foreign(first, part);
    const twin = byShard.get(description.shard.index);
    if (twin !== undefined) throw twice(twin, part);
    byShard.set(description.shard.index, part);
  }
  const markers = new Map<number, PartMarker>();
  for (const [index, { place }] of byShard) {
    const marker = await readMarker(place);
    if (marker?.run === hash) markers.set(index, marker);
  }
  const missing = Array.from({ length: shard.of }, (_, index) => index).filter((index) => !markers.has(index));
  if (missing.length > 0) throw incomplete(folder, run.round, shard.of, missing);
  return {
    run,
    of: shard.of,
    async *chunks() {
      for (let index = 0; index < shard.of; index++) {
        const { place } = byShard.get(index)!;
        const { chunks } = markers.get(index)!;
        const units = ownChunks({ index, of: shard.of }, run);
        requireChunks(place, chunks, units.length);
        for (const [c, own] of units.entries()) yield { units: own, bytes: await readChunk(place, chunks[c]!) };
      }
    },
  };
}

function requireChunks(place: string, chunks: readonly ChunkFile[], expected: number): void {
  if (chunks.length === expected && chunks.every(({ name }, c) => name === chunkName(c))) return;
  throw damaged(place, `complete.json lists ${chunks.length} chunks, and this shard has ${expected}`);
}

async function readChunk(place: string, { name, bytes, sha256 }: ChunkFile): Promise<Uint8Array> {
  const path = join(place, name);
  if (!(await fileExists(path))) throw damaged(place, `${name} is missing`);
  const data = await readBytes(path);
  if (data.length === bytes && sha256Of(data) === sha256) return data;
  throw damaged(place, `${name} has other bytes than when it was completed`);
}

async function readDescription(place: string): Promise<PartDescription> {
  const json = (await parsed(place, PART)) as Partial<PartDescription> | null;
  const count = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  const legal =
    json?.format === "early-exits/part" &&
    json.version === 1 &&
    typeof json.library === "string" &&
    typeof json.command === "string" &&
    typeof json.round === "string" &&
    count(json.units) &&
    count(json.chunk) &&
    json.chunk !== 0 &&
    count(json.shard?.index) &&
    count(json.shard?.of) &&
    json.shard!.index < json.shard!.of;
  if (legal) return json as PartDescription;
  throw damaged(place, `${PART} is of another format or version`);
}

/** undefined if the part is not complete. */
async function readMarker(place: string): Promise<PartMarker | undefined> {
  if (!(await fileExists(join(place, COMPLETE)))) return undefined;
  const json = (await parsed(place, COMPLETE)) as Partial<PartMarker> | null;
  const legal =
    json?.format === "early-exits/part-complete" &&
    json.version === 1 &&
    Array.isArray(json.chunks) &&
    json.chunks.every((chunk: Partial<ChunkFile> | null) => typeof chunk?.name === "string");
  if (legal) return json as PartMarker;
  throw damaged(place, `${COMPLETE} is of another format or version`);
}

async function parsed(place: string, name: string): Promise<unknown> {
  try {
    return await readJson(join(place, name));
  } catch (error) {
    if (!(error instanceof EarlyExitError)) throw error;
    throw damaged(place, `${name} is not valid JSON`);
  }
}

function damaged(place: string, found: string): ShardError {
  return new ShardError("part-damaged", `${place}: ${found}; delete this part and run its shard again`, {
    folder: place,
  });
}

function incomplete(folder: string, round: string, of: number, missing: readonly number[]): ShardError {
  const listed = missing.slice(0, 20).join(", ");
  const more = missing.length > 20 ? ` and ${missing.length - 20} more` : "";
  return new ShardError(
    "parts-missing",
    `${folder}: of the ${of} parts of the round "${round}", ${missing.length} are missing or not complete: shards ` +
      `${listed}${more}; run these again`,
    { folder, round, of, missing },
  );
}

function twice(one: FoundPart, other: FoundPart): ShardError {
  const { index, of } = one.description.shard;
  return new ShardError(
    "part-twice",
    `${one.place} and ${other.place}: both are the part of shard ${index} of ${of}; keep one of them`,
    { folders: [one.place, other.place], index, of },
  );
}

function foreign(one: FoundPart, other: FoundPart): ShardError {
  const names = differences(one.description, other.description);
  return new ShardError(
    "part-foreign",
    `${one.place} and ${other.place}: parts of different runs, which differ in ${names.join(", ")}; keep those ` +
      "of one run in the folder",
    { folders: [one.place, other.place], differences: names },
  );
}

/** The names of what differs, such as "made.subject.kernelBuild". */
function differences(
  { shard: one, ...first }: PartDescription,
  { shard: other, ...second }: PartDescription,
): string[] {
  return [...(one.of === other.of ? [] : ["the number of shards"]), ...differing(first, second)];
}

function differing(one: unknown, other: unknown, path = ""): string[] {
  if (JSON.stringify(one) === JSON.stringify(other)) return [];
  if (!isObject(one) || !isObject(other)) return [path];
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...keys].flatMap((key) => differing(one[key], other[key], path === "" ? key : `${path}.${key}`));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
