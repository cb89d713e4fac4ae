/** Folders on disk. A file is opened for every read and closed after it. */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { EarlyExitError } from "../errors.js";
import type { Folder, FolderFile } from "../model/index.js";
import { requireRegular } from "./files.js";

/** Node cannot read more than 2 GiB at once. */
const MAX_READ = 2 ** 30;

/** A folder on disk as `loadFolder` and `loadHeads` take it. */
export function diskFolder(path: string): Folder {
  return {
    path,
    open: (name) => diskFile(join(path, name)),
    names: async () => (await readdir(path, { recursive: true })).map((name) => name.replaceAll("\\", "/")),
  };
}

/** Throws an EarlyExitError `file-missing` if there is none. */
export async function requireFile(folder: Folder, name: string): Promise<FolderFile> {
  const file = await folder.open(name);
  if (file !== undefined) return file;
  const path = join(folder.path, name);
  throw new EarlyExitError("file-missing", `${path}: there is no such file; check the path`, { path });
}

async function diskFile(path: string): Promise<FolderFile | undefined> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return undefined;
  requireRegular(path, stats, Number.MAX_SAFE_INTEGER);
  return { path, size: stats.size, read: (begin, end, room) => readRange(path, begin, end - begin, room) };
}

/** Returns fewer bytes if the file ends before. */
async function readRange(path: string, position: number, length: number, room?: Uint8Array): Promise<Uint8Array> {
  const bytes = room !== undefined && length <= room.length ? room.subarray(0, length) : new Uint8Array(length);
  const file = await open(path);
  try {
    for (let done = 0; done < length;) {
      const piece = Math.min(length - done, MAX_READ);
      const { bytesRead } = await file.read(bytes, done, piece, position + done);
      if (bytesRead === 0) return bytes.subarray(0, done);
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
  return bytes;
}
