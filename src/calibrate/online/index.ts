/** Recalibration while text is generated. */
export { aciBound, type AciOptions, type AciState, createAci, stepAci } from "./aci.js";
export {
  createOnline,
  type OnlineOptions,
  onlineRecalibration,
  type OnlineRecalibration,
  type OnlineState,
  thresholdsOf,
} from "./online-recalibration.js";
