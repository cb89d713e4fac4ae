/** Writes the certified policy, and the certificate with every count that the claim about it rests on. */
import type { ScoreName } from "../../exits/heads/index.js";
import type { Policy } from "../../exits/plan/index.js";
import { libraryVersion } from "../../version.js";
import { type Certificate, sealCertificate } from "../certificate/index.js";
import { rawThreshold } from "../procedures/index.js";
import { type Evidence, judgedBy, outcomeOfTally, type Subject } from "../record/index.js";
import { assumptionsOf } from "./assumptions.js";
import { lossesOf } from "./losses.js";
import type { ScoredSequence, Split } from "./plan-sequence.js";
import type { CertifySettings } from "./settings.js";
import { countsOf, type TestResult } from "./test-result.js";

/** The policy with these thresholds, bound to the model, the heads and the terms of its certificate. */
export function writePolicy(
  subject: Subject,
  score: ScoreName,
  { vector, impossible }: Pick<TestResult, "vector" | "impossible">,
  { agreement, claim, fill }: CertifySettings,
): Policy {
  const { modelHash, headsHash, dtype, depths } = subject;
  const { sampling, reference } = judgedBy(subject);
  const thresholds = vector.map((threshold) => rawThreshold(threshold, score));
  return {
    format: "early-exits/policy",
    version: 1,
    score,
    exits: depths.map((depth, exit) => ({ depth, threshold: thresholds[exit]! })),
    fill,
    agreement,
    modelHash,
    headsHash,
    certified: {
      sampling,
      reference,
      claim,
      agreement,
      score,
      thresholds,
      fill,
      dtype,
      ...(impossible && { impossible }),
    },
  };
}

/** What a certificate is written from. */
export interface CertificateParts {
  readonly evidence: Evidence;
  readonly split: Split;
  readonly sequence: ScoredSequence;
  readonly result: TestResult;
  readonly policy: Policy;
  readonly settings: CertifySettings;
}

/** The certificate, sealed with its digest. */
export async function writeCertificate(parts: CertificateParts): Promise<Certificate> {
  const { evidence, split, sequence, result, policy, settings } = parts;
  const { agreement, delta, claim, unit, procedure, fill, seed } = settings;
  const { subject, sequenceLength, documents } = evidence;
  const { score, exitCosts } = sequence;
  const { reference } = judgedBy(subject);
  return sealCertificate({
    format: "early-exits/certificate",
    version: 1,
    libraryVersion,
    claim,
    agreement,
    promise: procedure === "crc" ? "expectation" : "probability",
    delta,
    unit,
    bound: boundOf(settings),
    procedure,
    assumptions: assumptionsOf(settings, sequenceLength),
    policy,
    numLayers: subject.numLayers,
    backend: subject.backend,
    split: { seed, grid: split.grid },
    documents: documents.map(({ hash, tokens }) => ({ hash, tokens })),
    sequenceLength,
    costs: exitCosts,
    costUnit: settings.costs === undefined ? "multiplyAdds" : "milliseconds",
    tests: result.tests,
    accepted: {
      ...countsOf(result.tally, 0, result.vector, { score, fill, other: reference.kind === "other" }),
      losses: [...lossesOf(claim)(result.tally).values],
    },
    measured: outcomeOfTally(result.tally, 0, subject),
    furtherUnits: result.furtherUnits,
  });
}

/** What bounded the risk: tokens are counted exactly, and conformal risk control has no bound of its own to choose. */
function boundOf({ procedure, unit, bound }: CertifySettings): Certificate["bound"] {
  if (procedure === "crc") return "crc";
  return unit === "token" ? "binomial" : bound;
}
