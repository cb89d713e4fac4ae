/** Recalibration and an alarm while text is generated. */
export { aciBound, type AciOptions, type AciState, createAci, stepAci } from "./aci.js";
export { type AlarmOptions, type AlarmState, createAlarm, stepAlarm } from "./alarm.js";
export {
  createOnline,
  type OnlineOptions,
  onlineRecalibration,
  type OnlineRecalibration,
  type OnlineState,
  thresholdsOf,
} from "./online-recalibration.js";
