/** Writes the certified policy, and the certificate with every count that the claim about it rests on. */
import { isExactFill } from "../../exits/fill/index.js";
import type { ScoreName } from "../../exits/heads/index.js";
import type { Policy } from "../../exits/plan/index.js";
import { libraryVersion } from "../../version.js";
import { assumptionsOf, type Certificate, type CertificateGroups, sealCertificate } from "../certificate/index.js";
import { rawThreshold } from "../procedures/index.js";
import { type Evidence, judgedBy, outcomeOfTally, type Subject } from "../record/index.js";
import { designEffectOf } from "./design-effect.js";
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
  const { agreement, delta, claim, unit = "document", procedure, fill, seed } = settings;
  const { subject, sequenceLength, documents, given } = evidence;
  const { score, exitCosts: costs } = sequence;
  const judged = judgedBy(subject);
  const other = judged.reference.kind === "other";
  const losses = [...lossesOf(claim)(withoutUnits(result.tally)).values];
  return sealCertificate({
    format: "early-exits/certificate",
    version: 2,
    libraryVersion,
    claim,
    agreement,
    promise: procedure === "crc" ? "expectation" : "probability",
    delta,
    unit,
    bound: boundOf(sequence, settings),
    procedure,
    assumptions: assumptionsOf({
      unit,
      procedure,
      exactFill: isExactFill(fill),
      given: given !== undefined,
      ownText: evidence.ownText !== undefined,
      repeated: documents.some(({ copies }) => copies > 1),
    }),
    ...judged,
    policy,
    numLayers: subject.numLayers,
    backend: subject.backend,
    kernelBuild: subject.kernelBuild ?? null,
    settings: {
      score: given === undefined ? settings.score : score,
      bound: settings.bound,
      candidates: settings.candidates,
      gridShare: settings.gridShare,
      given: given !== undefined,
      ...(evidence.ownText && { ownText: evidence.ownText }),
    },
    groups: groupsOf(evidence, split, losses, unit),
    split: { seed, grid: split.grid },
    documents: documents.map(({ hash, tokens, group, copies }) => ({
      hash,
      tokens,
      ...(group !== undefined && { group }),
      ...(copies > 1 && { copies }),
    })),
    sequenceLength,
    costs,
    otherCosts: null,
    costUnit: settings.costs === undefined && settings.knownCosts === undefined ? "multiplyAdds" : "milliseconds",
    tests: result.tests,
    accepted: { ...countsOf(result.tally, 0, result.vector, { score, fill, other }), losses },
    measured: outcomeOfTally(result.tally, 0, subject),
    furtherUnits: result.furtherUnits,
    furtherDocuments: furtherDocumentsOf(evidence, split, result.furtherUnits, settings),
  });
}

/** What bounded the risk: tokens are counted exactly, and conformal risk control has no bound of its own to choose. */
function boundOf({ bound }: ScoredSequence, { procedure, unit }: CertifySettings): Certificate["bound"] {
  if (procedure === "crc") return "crc";
  return unit === "token" ? "binomial" : bound;
}

/** Losses are stored document by document. */
function withoutUnits(tally: TestResult["tally"]): TestResult["tally"] {
  const copy: { -readonly [Key in keyof TestResult["tally"]]: TestResult["tally"][Key] } = { ...tally };
  delete copy.unitStarts;
  return copy;
}

function groupsOf(
  { documents }: Evidence,
  { grid }: Split,
  losses: readonly number[],
  unit: Certificate["unit"],
): CertificateGroups {
  const names = documents.map(({ group }) => group);
  const count = new Set(names.filter((group) => group !== undefined)).size;
  const known = count > 0 && unit !== "group";
  return {
    count,
    independence: unit === "group" ? "grouped" : "assumed",
    designEffect: known ? designEffectOf(losses, names.slice(grid) as string[]) : null,
  };
}

/** Documents to add to those given, of which a share goes to the grid split. */
function furtherDocumentsOf(
  { documents }: Evidence,
  { grid, test, units }: Split,
  furtherUnits: number | null,
  { unit, gridShare }: CertifySettings,
): number | null {
  if (furtherUnits === null || furtherUnits === 0) return furtherUnits;
  const tokens = documents.slice(grid).reduce((sum, document) => sum + document.tokens, 0);
  const counted = unit === "token" ? tokens : units;
  const needed = (test * (counted + furtherUnits)) / counted;
  return Math.max(1, Math.ceil(needed / (1 - gridShare)) - documents.length);
}
