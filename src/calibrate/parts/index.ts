/** Calibration in parts, and the certificate made of them. */
export { type CalibrationJob, type JobDescription, type JobOptions, openCalibrationJob } from "./calibration-job.js";
export { mergeCalibration } from "./merge-calibration.js";
export { parseRecords } from "./record-chunk.js";
export { parseRuns, type RunsChunk } from "./runs-chunk.js";
