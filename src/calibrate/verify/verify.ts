/**
 * One verdict on a certificate. The stored arithmetic comes first (../recompute), and bounds what follows; then
 * whatever model, heads, records and text are given. A file alone can only be consistent: counts can be invented, and
 * candidates chosen on the test documents, which only the text reveals.
 */
import { allNames, requireKnown } from "../../known.js";
import type { Certificate } from "../certificate/certificate.js";
import type { VerifyOptions } from "./against-model.js";

/**
 * refuted                  something contradicts the claim
 * arithmetic consistent    what is stored supports the claim; whether it is true was not checked
 * policy supported         these texts support the policy; how it was chosen was not checked (another build of the
 *                          kernels, more documents than it names, or too many candidates to run)
 * counts reproduced        own text: all but the candidates, which were proposed on documents that were not given
 * reproduced               documents, split, candidates, counts and policy came out again
 */
type Verdict = "refuted" | "arithmetic consistent" | "policy supported" | "counts reproduced" | "reproduced";

export interface Verification {
  readonly verdict: Verdict;
  /** Empty unless refuted. */
  readonly reasons: readonly string[];
  /** One sentence, with what it rests on. */
  readonly sentence: string;
}

const optionNames = allNames<VerifyOptions>()(
  "records",
  "model",
  "heads",
  "against",
  "documents",
  "prompts",
  "answerLoss",
  "lossHash",
  "rerun",
  "limit",
  "signal",
  "onDocument",
);

/**
 * Checks a certificate (or parsed JSON) against itself and what is given. Throws only an OptionError for an option that
 * it does not have, and documents or prompts that cannot be judged, the reason of an aborted signal, or an error of the
 * model.
 *
 * @example
 * ```ts
 * import { verifyCertificate } from "early-exits";
 * import { readJson } from "early-exits/node";
 *
 * const json = (await readJson("node_modules/early-exits/models/sotu-12/certificates/95.json")) as object;
 * console.log((await verifyCertificate(json)).verdict); // arithmetic consistent
 * console.log((await verifyCertificate({ ...json, agreement: 0.99 })).verdict); // refuted
 * ```
 */
export async function verifyCertificate(json: unknown, options: VerifyOptions = {}): Promise<Verification> {
  requireKnown("verifyCertificate", options, optionNames);
  const { verifyStored } = await import("../recompute/verify-certificate.js");
  const stored = await verifyStored(json);
  if (stored.length > 0) return refuted(stored);
  const certificate = json as Certificate;
  const { policy, reference, settings } = certificate;
  const { records, model, heads, documents, prompts, against } = options;
  const unknown = reference.kind === "other" && against === undefined && records === undefined;
  const { describeClaim } = await import("../certificate/assumptions.js");
  const claim = describeClaim(certificate, unknown ? "another model's" : undefined);
  if ((records ?? model ?? heads) === undefined) {
    return holds(
      "arithmetic consistent",
      `Arithmetic consistent: the stored counts support the claim that ${claim}; only the model, the heads and the ` +
        "text can show whether they are true.",
    );
  }
  const { checkSubjects } = await import("./against-model.js");
  const reasons = await checkSubjects(certificate, options);
  if (reasons.length > 0) return refuted(reasons);
  const { answers } = settings;
  const isText = heads !== undefined && (answers === undefined ? documents : prompts) !== undefined;
  const { isExactFill } = await import("../../exits/fill/fill.js");
  if (unknown || (!isText && (records === undefined || answers !== undefined || !isExactFill(policy.fill)))) {
    const subjects = heads === undefined ? "this model" : "this model and these heads";
    return holds(
      "arithmetic consistent",
      `Arithmetic consistent, and made for ${subjects}: the stored counts support the claim that ${claim}; only ` +
        `${unknown ? "that model, which was not given (against)," : "the text"} can show whether they are true.`,
    );
  }
  const found =
    answers === undefined
      ? await (await import("./against-text.js")).checkText(certificate, options)
      : await (await import("./against-answers.js")).checkAnswers(certificate, heads!, options);
  if (found.reasons.length > 0) return refuted(found.reasons);
  const text = answers === undefined ? "text" : "prompts, which were answered again";
  const source = isText ? `model, heads and ${text}` : "the records given";
  if (found.unchecked !== undefined) {
    return holds(
      "policy supported",
      `Policy supported: these texts support the policy; how it was chosen was not checked (${found.unchecked}). If ` +
        `it was chosen as it should be, ${claim}.`,
    );
  }
  if (settings.ownText !== undefined) {
    return holds(
      "counts reproduced",
      `Counts reproduced from ${source}: the same prompts, split, counts and policy; whether the candidates come ` +
        `from other documents than those that tested them could not be checked. If so, ${claim}.`,
    );
  }
  return holds(
    "reproduced",
    `Reproduced from ${source}: the same documents, split, candidates, counts and policy` +
      (options.rerun === undefined ? "" : `, which ran anew on ${options.rerun.length} of the documents tested`) +
      `; so, under its assumptions, ${claim}.`,
  );
}

function holds(verdict: Verdict, sentence: string): Verification {
  return { verdict, reasons: [], sentence };
}

function refuted(reasons: readonly string[]): Verification {
  const more = reasons.length === 1 ? "" : ` (and ${reasons.length - 1} more reasons)`;
  return { verdict: "refuted", reasons, sentence: `Refuted: ${reasons[0]}${more}.` };
}
