/** The certificate as plain JSON, and its independent verification. */
export {
  type Certificate,
  type CertificateCandidate,
  type CertificateCounts,
  type CertificateTest,
  type CertifiedProcedure,
  checkCertificate,
  type Claim,
  sealCertificate,
  type Unit,
} from "./certificate.js";
export type { Verification } from "./verify-certificate.js";
export type { VerifyOptions } from "./verify-reality.js";
export { verifyCertificate } from "./verify.js";
