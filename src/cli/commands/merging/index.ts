/** The command that makes one result of parts. */
export { mergeCommand } from "./merge.js";
