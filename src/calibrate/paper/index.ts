/** Calibration as published, and the file format of the released code. */
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
export {
  fromReleasedCalibration,
  type ReleasedCalibration,
  type ReleasedOptions,
  type ReleasedStatistics,
  toReleasedCalibration,
} from "./released-calibration.js";
