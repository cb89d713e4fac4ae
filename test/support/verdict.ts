/** Verdicts of certificates, and certificates whose seal is right though they were changed. */
import { verifyCertificate } from "early-exits";
import { sealCertificate } from "../../src/calibrate/certificate/certificate.js";

/** The verdict of the independent check alone. */
export const verdictOf = async (...asked: Parameters<typeof verifyCertificate>) =>
  (await verifyCertificate(...asked)).verdict;

/** The certificate with these changes, and the digest that belongs to them. */
export const resealed = (certificate: object, changes: object = {}) =>
  sealCertificate({ ...certificate, ...changes, digest: undefined } as never);
