/** Work in parts: which part is this process's, writing it, and putting all of them together. */
export { collectParts, commandOf, type PartSet } from "./collect-parts.js";
export type { PartRun } from "./part-folder.js";
export { type Chunked, chunkSize, ownChunks, readShard, type Shard } from "./shard.js";
export { type PartProgress, writePart, type WritePartOptions } from "./write-part.js";
