/** Early-exit decoding. */
export { type DecodeListeners, earlyExitDecoder, type ExitChoice, leaveEarly } from "./decode.js";
export { type Drift, type DriftOptions, measureDrift } from "./drift.js";
export type { AtExit, DecodeEvent, DecodeObserver } from "./observe.js";
