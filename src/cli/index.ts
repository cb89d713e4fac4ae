/** The command line, for scripts that build on it. */
export { compareWays, type Comparison, type Way, type WayResult } from "./compare-ways.js";
export { exitCodeOf } from "./exit-code.js";
export { type Io, UsageError } from "./io.js";
export { processIo } from "./process-io.js";
export { createProgram } from "./program.js";
