/** A store of recorded states in memory. */
import type { CacheStore } from "early-exits/exits";

export function memoryStore(files = new Map<string, Uint8Array>()): CacheStore & { files: Map<string, Uint8Array> } {
  return {
    files,
    read: (name) => Promise.resolve(files.get(name)),
    write: (name, bytes) => Promise.resolve(void files.set(name, bytes)),
  };
}
