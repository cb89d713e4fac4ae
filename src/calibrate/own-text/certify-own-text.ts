/**
 * A policy for generated text: candidates are proposed on text as given, then each writes its own text after held-out
 * prompts, which are split and tested like documents.
 *   text as given  ->  score, candidates          prompts  ->  each candidate's own text  ->  counts  ->  certificate
 */
import { OptionError } from "../../errors.js";
import { exactFill } from "../../exits/fill/index.js";
import type { ExitHeads } from "../../exits/heads/index.js";
import type { Certified, CertifyPolicyOptions } from "../certify/index.js";
import { proposeOverall, rawThreshold } from "../procedures/index.js";
import {
  arrange,
  type CalibrationDocument,
  countedEvidence,
  exitCosts,
  recordDocuments,
  type RecordDocumentsOptions,
  recordedEvidence,
  tableOf,
} from "../record/index.js";
import { type OwnTextOptions, runOwnText } from "./run-own-text.js";

/** Own text in the options of `calibrate`. */
export interface OwnTextCalibration extends Pick<OwnTextOptions, "maxNewTokens" | "batchSize" | "seed"> {
  /** Beginnings that the policies continue: held out, of the kind that is met in use. */
  readonly prompts: readonly CalibrationDocument[];
}

/** Certifies on own text. `documents`, as given, only propose the candidates. */
export async function certifyOwnText(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  { prompts, ...writing }: OwnTextCalibration,
  options: CertifyPolicyOptions & RecordDocumentsOptions & Pick<OwnTextOptions, "onRun">,
): Promise<Certified> {
  const { certify, certifySettings } = await import("../certify/index.js");
  const settings = certifySettings({ fill: exactFill(heads.model.config), ...options });
  const { claim, fill, epsilon, candidates: count } = settings;
  if (claim !== "overall") {
    throw new OptionError(
      "option-conflict",
      `calibrate: ownText certifies the loss of all tokens that a policy writes, claim "overall", not "${claim}"`,
      { claim },
    );
  }
  const records = await recordDocuments(heads, documents, options);
  const given = await certify(recordedEvidence(records, await arrange(records.documents, settings)), settings);
  const { score } = given.policy;
  const other = records.reference?.kind === "other";
  const table = tableOf(records.documents, score, given.certificate.lossScale);
  const proposed =
    count === 0 ? [] : proposeOverall(table, exitCosts(records, { fill, times: settings.costs }), { epsilon, count });
  const vectors = proposed.map(({ thresholds }) => thresholds.map((threshold) => rawThreshold(threshold, score)));
  const thresholds = [...(other ? [heads.depths.map(() => "never" as const)] : []), ...vectors];
  if (thresholds.length === 0) return given; // never exit: whatever it writes is the full model's
  const { sampling, against, signal, onRun } = options;
  const judged = {
    ...(sampling && { sampling }),
    ...(against && { against }),
    ...(signal && { signal }),
    ...(onRun && { onRun }),
  };
  const runs = await runOwnText(heads, prompts, { score, fill, thresholds }, { ...writing, ...judged });
  const own = certifySettings({ ...options, fill, score });
  return certify(countedEvidence(runs, await arrange(runs.documents, own)), own);
}
