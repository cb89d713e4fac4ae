/**
 * From evidence to a certified policy:
 *   split         the first documents of the seeded order are the grid split, all others are the test; no group is cut
 *   plan          the grid split yields the score, the candidate threshold vectors and their order of testing
 *   test          the test documents yield a p-value for each candidate's null hypothesis "its risk exceeds epsilon";
 *                 fixed-sequence testing accepts candidates in order while p <= delta, and ends before the first
 *                 failure
 *   policy        the cheapest accepted candidate; if none is accepted, "never exit", which needs no test against the
 *                 model itself; against another model it is a candidate like any other, and nothing is promised if it
 *                 fails
 *   certificate   every count that these decisions rest on
 * Choices made on the grid split cost no validity, because the test documents have no part in them.
 */
import { OptionError, PolicyError } from "../../errors.js";
import { registerCertified, type Policy } from "../../exits/plan/policy.js";
import type { Certificate } from "../certificate/certificate.js";
import { judgedTokens } from "../record/policy-runs.js";
import { LIMITS } from "../recompute/limits.js";
import { verifyStored } from "../recompute/verify-certificate.js";
import type { Evidence } from "../record/evidence.js";
import { judgedBy, lossOf } from "../record/subject.js";
import { planTest, runTest } from "./fixed-sequence.js";
import { type CalibrationNotes, notesOf, writeCertificate, writePolicy } from "./write-certificate.js";
import type { CertifySettings } from "./settings.js";

export { proposeCandidates } from "./fixed-sequence.js";
export { certifySettings } from "./settings.js";

export interface Certified {
  readonly policy: Policy;
  readonly certificate: Certificate;
  /** No part of the claim. */
  readonly notes: CalibrationNotes;
}

/** Certifies a policy from evidence whose documents are in the seeded order, each with tokens. */
export async function certify(evidence: Evidence, settings: CertifySettings): Promise<Certified> {
  requireLawful(evidence, settings);
  const sequence = await planTest(evidence, settings);
  const result = await runTest(evidence, sequence, settings);
  const parts = { evidence, sequence, result, settings };
  const policy = writePolicy(parts);
  const certificate = await writeCertificate({ ...parts, policy });
  const [reason] = await verifyStored(certificate);
  if (reason !== undefined) {
    throw new PolicyError("certificate-refuted", `calibrate: nobody could open the certificate: ${reason}`, { reason });
  }
  registerCertified(policy, { newTokens: judgedTokens(certificate) });
  return { policy, certificate, notes: await notesOf(parts, certificate) };
}

function requireLawful({ subject, documents }: Evidence, { loss, candidates }: CertifySettings): void {
  lossOf(subject, loss);
  if (candidates === 0 && judgedBy(subject).reference.kind === "same") {
    throw new OptionError(
      "option-conflict",
      "calibrate: candidates 0 certifies another way of storing the model (against); without exits it is the model " +
        "itself",
      { candidates },
    );
  }
  if (documents.length <= LIMITS.documents) return;
  throw new OptionError(
    "documents-many",
    `calibrate: ${documents.length} documents; a certificate holds at most ${LIMITS.documents}, so that anyone can ` +
      "verify it in seconds; give fewer",
    { documents: documents.length },
  );
}
