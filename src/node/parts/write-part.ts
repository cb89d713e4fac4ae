/**
 * Writes the part of one shard, chunk by chunk, and marks it complete. A process that is started again goes on after
 * the last chunk that is there; two processes with the same shard write the same bytes.
 */
import { join } from "node:path";
import { ShardError } from "../../errors.js";
import { libraryVersion } from "../../version.js";
import { fileExists, readBytes, readJson, writeFileAtomic } from "../files.js";
import {
  chunkName,
  type ChunkFile,
  COMPLETE,
  PART,
  type PartDescription,
  type PartMarker,
  partName,
  type PartRun,
  runHash,
  sha256Of,
} from "./part-folder.js";
import { ownChunks, type Shard } from "./shard.js";

/** What is known after every chunk; the first event tells what was there already. */
export interface PartProgress {
  /** Units of this shard that are done. */
  readonly done: number;
  /** Units of this shard. */
  readonly total: number;
}

export interface WritePartOptions {
  readonly onChunk?: (event: PartProgress) => unknown;
}

/**
 * Computes what is missing of a part: `make` is called with the units of one chunk and returns the chunk's bytes, which
 * must not depend on the shard. Returns whether the part was complete before. Throws a ShardError if the
 * folder holds a part of another run under the same name.
 */
export async function writePart(
  folder: string,
  shard: Shard,
  run: PartRun,
  make: (units: readonly number[]) => Promise<Uint8Array>,
  { onChunk }: WritePartOptions = {},
): Promise<boolean> {
  const place = join(folder, partName(run.round, shard));
  const description: PartDescription = {
    format: "early-exits/part",
    version: 1,
    library: libraryVersion,
    shard,
    ...run,
  };
  const hash = runHash(description);
  await requireSame(place, description);
  if (await isComplete(place, hash)) return true;
  await writeFileAtomic(join(place, PART), `${JSON.stringify(description)}\n`);
  const owned = ownChunks(shard, run);
  const total = owned.flat().length;
  const chunks: ChunkFile[] = [];
  let done = 0;
  for (const [c, own] of owned.entries()) {
    const name = chunkName(c);
    const path = join(place, name);
    const kept = (await fileExists(path)) ? await readBytes(path) : undefined;
    const bytes = kept ?? (await make(own));
    if (kept === undefined) await writeFileAtomic(path, bytes);
    chunks.push({ name, bytes: bytes.length, sha256: sha256Of(bytes) });
    done += own.length;
    await onChunk?.({ done, total });
  }
  const marker: PartMarker = { format: "early-exits/part-complete", version: 1, run: hash, chunks };
  await writeFileAtomic(join(place, COMPLETE), `${JSON.stringify(marker)}\n`);
  return false;
}

async function isComplete(place: string, hash: string): Promise<boolean> {
  if (!(await fileExists(join(place, COMPLETE)))) return false;
  const marker = (await readJson(join(place, COMPLETE))) as Partial<PartMarker> | null;
  return marker?.run === hash;
}

/** Throws a ShardError if there is a part of another run. */
async function requireSame(place: string, description: PartDescription): Promise<void> {
  const path = join(place, PART);
  if (!(await fileExists(path))) return;
  const found = JSON.stringify(await readJson(path));
  if (found === JSON.stringify(description)) return;
  throw new ShardError(
    "part-foreign",
    `${place}: holds a part of another run (another model, text, setting or kernel build, or another version); give ` +
      "another folder to --parts, or delete this one",
    { folder: place },
  );
}
