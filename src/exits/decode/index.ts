/** Early-exit decoding: the lossy decoder, its observers, and drift. */
export { type DecodeListeners, earlyExitDecoder, type ExitChoice, leaveEarly } from "./decode.js";
export { type ExitVisit, leaveAtFirst } from "./leave-at-first.js";
export { type Drift, type DriftOptions, measureDrift } from "./drift.js";
export type { AtExit, DecodeEvent, DecodeObserver } from "./observe.js";
