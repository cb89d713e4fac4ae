/**
 * `verifyCertificate`: checks the stored arithmetic (verify-certificate.ts), and then the certificate against whatever
 * model, heads, records or documents are given (verify-reality.ts). Both are loaded only when a program verifies.
 */
import type { Certificate } from "./certificate.js";
import type { Verification } from "./verify-certificate.js";
import type { VerifyOptions } from "./verify-reality.js";

/**
 * Checks a certificate (or parsed JSON that should be one) against itself and against what is given. Throws only the
 * reason of an aborted signal, or an error of the model.
 */
export async function verifyCertificate(certificate: unknown, options: VerifyOptions = {}): Promise<Verification> {
  const { verifyStored } = await import("./verify-certificate.js");
  const stored = await verifyStored(certificate);
  const { records, model, heads } = options;
  if (!stored.valid || (records ?? model ?? heads) === undefined) return stored;
  const { verifyReality } = await import("./verify-reality.js");
  const reasons = await verifyReality(certificate as Certificate, options);
  return { valid: reasons.length === 0, reasons };
}
