/** What the commands that generate text share. */
export {
  auditOption,
  type AuditSettings,
  decodingOptions,
  type DecodingSettings,
  exitOptions,
} from "./decoding-options.js";
export { type Decoding, openDecoding } from "./open-decoding.js";
export { openShipped } from "./open-shipped.js";
export { raceExits } from "./race-exits.js";
export { TEXTS_TOGETHER, writeTexts } from "./write-texts.js";
