/** The page's side of the worker. */
export { LibraryClient, LibraryError } from "./client.js";
export { keyValuesOf, type KeyValueSource, type KeyValueSpan } from "./key-values.js";
export type { ExitsIndex } from "./shipped-exits.js";
export {
  type CertificateNotes,
  type CertifiedPoint,
  type Measured,
  type OperatingPoint,
  type OperatingPoints,
  type Point,
  type StoredWay,
} from "./operating-points.js";
export {
  type Answer,
  type DecodingOptions,
  type DeviceWish,
  type LaneResult,
  type Mode,
  modes,
  type Opened,
  type Prediction,
  type RaceStep,
  type RoundSummary,
  type Timing,
  type TokenEvent,
  type Verified,
  type WriteOptions,
  type Written,
} from "./protocol.js";
