/** Benchmarks of lossless decoding. */
export { cheapestFixedExit, type FixedExit } from "./layer-skip.js";
export { losslessDefaults, type LosslessPartName, losslessReport } from "./lossless-report.js";
export { beginnings, openHeads, PROMPT_TOKENS, readParts } from "./texts.js";
