/** The command line, for scripts that build on it. */
export { embeddedHeads, embeddedModel } from "./demo/index.js";
export { exitCodeOf } from "./exit-code.js";
export { type Io, UsageError } from "./io.js";
export { processIo } from "./process-io.js";
export { createProgram, main } from "./program.js";
export { withProgress } from "./progress.js";
