/**
 * From evidence to a certified policy. Import values from here dynamically only: `calibrate` loads this room when
 * somebody certifies, and a page that only generates never downloads it.
 */
export {
  type Certified,
  certifyDefaults,
  type CertifyPolicyOptions,
  certifyPolicy,
  certifySettings,
  certifyVectors,
} from "./certify.js";
