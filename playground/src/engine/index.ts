/** The page's side of the worker. */
export { LibraryClient, LibraryError } from "./client.js";
export { keyValuesOf, type KeyValueSource, type KeyValueSpan } from "./key-values.js";
export type { ExitsIndex } from "./shipped-exits.js";
export type * from "./operating-points.js";
export * from "./protocol.js";
