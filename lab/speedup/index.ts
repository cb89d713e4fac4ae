/** Speed and agreement of early exits on one model. */
export { speedupDefaults, speedupReport } from "./speedup-report.js";
