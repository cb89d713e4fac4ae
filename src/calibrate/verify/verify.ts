/**
 * One verdict on a certificate. The stored arithmetic comes first (../recompute), and bounds what follows; then
 * whatever model, heads, records and text are given. A file alone can only be consistent: counts can be invented, and
 * candidates chosen on the test documents, which only the text reveals.
 */
import type { Certificate } from "../certificate/certificate.js";
import type { VerifyOptions } from "./against-model.js";

/**
 * refuted                  something contradicts the claim
 * arithmetic consistent    what is stored supports the claim; whether it is true was not checked
 * agreement confirmed      another build of the kernels: bits may differ, but the policy keeps the agreement here too
 * counts reproduced        own text: all but the candidates, which were proposed on documents that were not given
 * reproduced               documents, split, candidates, counts and policy came out again
 */
type Verdict = "refuted" | "arithmetic consistent" | "agreement confirmed" | "counts reproduced" | "reproduced";

export interface Verification {
  readonly verdict: Verdict;
  /** Empty unless refuted. */
  readonly reasons: readonly string[];
  /** One sentence, with what it rests on. */
  readonly sentence: string;
}

/**
 * Checks a certificate (or parsed JSON) against itself and what is given. Throws only the reason of an aborted signal,
 * or an error of the model.
 */
export async function verifyCertificate(json: unknown, options: VerifyOptions = {}): Promise<Verification> {
  const { verifyStored } = await import("../recompute/verify-certificate.js");
  const stored = await verifyStored(json);
  if (stored.length > 0) return refuted(stored);
  const certificate = json as Certificate;
  const { records, model, heads, documents } = options;
  const claim = await claimOf(certificate);
  if ((records ?? model ?? heads) === undefined) {
    return holds(
      "arithmetic consistent",
      `Arithmetic consistent: the stored counts support the claim that ${claim}; whether they are true, only the ` +
        "model, the heads and the text can show.",
    );
  }
  const { checkSubjects } = await import("./against-model.js");
  const reasons = await checkSubjects(certificate, options);
  if (reasons.length > 0) return refuted(reasons);
  if (records === undefined && (heads === undefined || documents === undefined)) {
    const subjects = heads === undefined ? "this model" : "this model and these heads";
    return holds(
      "arithmetic consistent",
      `Arithmetic consistent, and made for ${subjects}: the stored counts support the claim that ${claim}; whether ` +
        "they are true, only the text can show.",
    );
  }
  const { reference } = certificate;
  if (reference.kind === "other" && records === undefined && options.against === undefined) {
    return holds(
      "arithmetic consistent",
      "Arithmetic consistent, and made for this model and these heads: the stored counts support the claim that " +
        `${claim}; whether they are true, only the ${reference.dtype} model can show, which was not given (against).`,
    );
  }
  const { checkText } = await import("./against-text.js");
  const found = await checkText(certificate, options);
  if (found.reasons.length > 0) return refuted(found.reasons);
  const source = heads !== undefined && documents !== undefined ? "model, heads and text" : "the records given";
  if (!found.sameBuild) {
    return holds(
      "agreement confirmed",
      "Agreement confirmed: the kernels here are another build, so bits may differ and candidates were not compared, " +
        `but from ${source} the policy keeps what is claimed, that ${claim}.`,
    );
  }
  if (certificate.settings.ownText !== undefined) {
    return holds(
      "counts reproduced",
      `Counts reproduced from ${source}: the same prompts, split, counts and policy; whether the candidates come ` +
        `from other documents than those that tested them could not be checked. If so, ${claim}.`,
    );
  }
  return holds(
    "reproduced",
    `Reproduced from ${source}: the same documents, split, candidates, counts and policy; so, under its assumptions, ` +
      `${claim}.`,
  );
}

function holds(verdict: Verdict, sentence: string): Verification {
  return { verdict, reasons: [], sentence };
}

function refuted(reasons: readonly string[]): Verification {
  const more = reasons.length === 1 ? "" : ` (and ${reasons.length - 1} more reasons)`;
  return { verdict: "refuted", reasons, sentence: `Refuted: ${reasons[0]}${more}.` };
}

async function claimOf(certificate: Certificate): Promise<string> {
  const { describeClaim } = await import("../certificate/assumptions.js");
  return describeClaim(certificate);
}
