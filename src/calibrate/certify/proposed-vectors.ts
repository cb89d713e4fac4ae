/**
 * The candidates that a fill which changes other tokens has to be run with: all that the grid split proposes. Where the
 * sequence of tests starts is decided after that, from what they do on the grid split.
 */
import type { Evidence, GivenCandidates } from "../record/index.js";
import { splitOf } from "./certify.js";
import { proposeCandidates } from "./plan-sequence.js";
import type { CertifySettings } from "./settings.js";

/** Proposes candidates from records of the grid split. Throws an OptionError if the score asked for is not recorded. */
export async function proposedVectors(evidence: Evidence, asked: CertifySettings): Promise<GivenCandidates> {
  const settings: CertifySettings = { ...asked, unit: asked.unit === "token" ? "token" : evidence.unit };
  const { sequence, proposed } = await proposeCandidates(evidence, splitOf(evidence), settings);
  return { score: sequence.score, vectors: proposed.map(({ thresholds }) => thresholds) };
}
