/** Exports compared with this library. */
export {
  type Comparison,
  compareExport,
  type CompareOptions,
  type Difference,
  type ExportDecoder,
  type ExportedToken,
  openExported,
} from "./compare.js";
export { middlingPolicy } from "./middling-policy.js";
