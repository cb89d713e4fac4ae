/** The page's side of the worker. */
export { LibraryClient, LibraryError } from "./client.js";
export {
  leavesNowhere,
  type Measured,
  type OperatingPoint,
  type OperatingPoints,
  type Point,
} from "./operating-points.js";
export {
  type Answer,
  type DecodingOptions,
  type DeviceWish,
  type Mode,
  modes,
  type Opened,
  type Prediction,
  type RoundSummary,
  type Timing,
  type TokenEvent,
  type WriteOptions,
  type Written,
} from "./protocol.js";
