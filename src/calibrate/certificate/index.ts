/** The certificate as plain JSON, and the recomputation of what is stored in it. */
export {
  assumptionsOf,
  type AssumptionCode,
  type ClaimTerms,
  describeAssumption,
  describeClaim,
} from "./assumptions.js";
export {
  type Certificate,
  type CertificateCandidate,
  type CertificateCounts,
  type CertificateDocument,
  type CertificateGroups,
  type CertificateSettings,
  type CertificateTest,
  checkCertificate,
  sealCertificate,
} from "./certificate.js";
