/** Exports compared with this library. */
export { compareExport, type ExportDecoder, openExported } from "./compare.js";
export { middlingPolicy } from "./middling-policy.js";
