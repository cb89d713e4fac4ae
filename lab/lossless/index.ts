/** Benchmarks of lossless decoding. */
export { cheapestFixedExit, type FixedExit } from "./layer-skip.js";
export { replayDrafts } from "./replay.js";
export { simulateOracle } from "./simulation.js";
export { beginnings, compareLosslessWays, openHeads, PROMPT_TOKENS, readParts, type WaysOptions } from "./ways.js";
