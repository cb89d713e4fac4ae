/** Calibration as published, and the released file format. */
export {
  calibratePaper,
  type CalibrationReport,
  type PaperCalibration,
  type PaperCalibrationOptions,
} from "./paper-calibration.js";
export { paperDefaults, paperLevels, type PaperOptions, type PaperStrategy, paperThreshold } from "./paper.js";
export {
  fromReleasedCalibration,
  type ReleasedCalibration,
  type ReleasedOptions,
  type ReleasedStatistics,
  toReleasedCalibration,
} from "./released.js";
