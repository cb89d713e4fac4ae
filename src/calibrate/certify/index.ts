/**
 * From evidence to a certified policy. The library imports values from here dynamically only: `calibrate` loads this
 * room when a program certifies, so a page that only generates never downloads it.
 */
export { type Certified, certify } from "./certify.js";
export type { CalibrationNotes, Dependence } from "./notes.js";
export { planTest, proposeCandidates } from "./plan-test.js";
export { certifyDefaults, type CertifyPolicyOptions, certifySettings, type CertifySettings } from "./settings.js";
