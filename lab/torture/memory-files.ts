/** Folders in memory, for attacks by the thousand. */
import type { Folder, FolderFile } from "early-exits/model";

export type Files = Readonly<Record<string, Uint8Array>>;

export const encodeJson = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));

/** A folder of these files. */
export function memoryFolder(files: Files): Folder {
  return {
    path: "hostile",
    open: (name) => Promise.resolve(Object.hasOwn(files, name) ? memoryFile(name, files[name]!) : undefined),
  };
}

/** A file of these bytes. */
function memoryFile(path: string, bytes: Uint8Array): FolderFile {
  return { path, size: bytes.length, read: (begin, end) => Promise.resolve(bytes.slice(begin, end)) };
}
