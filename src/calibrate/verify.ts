/**
 * `verifyCertificate`: the stored arithmetic (verify-certificate.ts), then, with what is given, reality
 * (verify-reality.ts). Both are loaded by those who verify.
 */
import type { Document } from "../exits/documents.js";
import type { ExitHeads } from "../exits/heads.js";
import type { Model } from "../model/model.js";
import type { Certificate } from "./certificate.js";
import type { CalibrationRecords } from "./record.js";
import type { Verification } from "./verify-certificate.js";

export interface VerifyOptions {
  readonly records?: CalibrationRecords;
  readonly model?: Model;
  /** The heads; their model is checked too. */
  readonly heads?: ExitHeads;
  /**
   * The calibration documents, in any order. Needs heads: the policy is run on those of the test, one after another.
   */
  readonly documents?: readonly Document[];
  readonly signal?: AbortSignal;
  /** Called after every document that was run; a promise is waited for. */
  readonly onDocument?: (event: { readonly document: number; readonly documents: number }) => unknown;
}

/**
 * Checks a certificate (or parsed JSON that should be one) against itself and against what is given. Throws only the
 * signal's reason, or what the model throws.
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
