/** A Blob as a file: it reads only what is asked for, because blobs may be on disk. */
import type { FolderFile } from "../model/index.js";

export function blobFile(path: string, blob: Blob): FolderFile {
  return {
    path,
    size: blob.size,
    read: async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer()),
  };
}
