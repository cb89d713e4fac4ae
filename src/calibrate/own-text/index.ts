/** Certificates about text that policies write themselves. */
export { certifyOwnText, type OwnTextCalibration } from "./certify-own-text.js";
export { type OwnTextOptions, runOwnText } from "./run-own-text.js";
