/** Recalibration and an alarm while text is generated. */
export {
  aciBound,
  type AciOptions,
  type AciState,
  type AlarmOptions,
  type AlarmState,
  createAci,
  createAlarm,
  createOnline,
  onlineRecalibration,
  type OnlineRecalibration,
  type OnlineState,
  stepAci,
  stepAlarm,
  thresholdsOf,
} from "./online.js";
