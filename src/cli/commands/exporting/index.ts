/** The command that exports. */
export { exportCommand } from "./export.js";
