/** Calibration as published. */
export {
  calibratePaper,
  type CalibrationReport,
  type PaperCalibration,
  type PaperCalibrationOptions,
} from "./calibrate-paper.js";
export {
  paperDefaults,
  paperLevels,
  type PaperOptions,
  type PaperStrategy,
  paperThreshold,
} from "./paper-threshold.js";
