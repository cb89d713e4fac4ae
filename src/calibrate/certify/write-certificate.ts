/** Writes the certified policy, and the certificate with every count that the claim about it rests on. */
import { isExactFill } from "../../exits/fill/fill.js";
import type { Policy } from "../../exits/plan/policy.js";
import { libraryVersion } from "../../version.js";
import { assumptionsOf } from "../certificate/assumptions.js";
import { type Certificate, type CertificateGroups, sealCertificate } from "../certificate/certificate.js";
import { byDocument, lossesOf } from "../procedures/tally.js";
import { rawThreshold } from "../procedures/token-table.js";
import type { Evidence } from "../record/evidence.js";
import { judgedBy, lossOf } from "../record/subject.js";
import { outcomeOfTally } from "../record/outcome.js";
import { designEffectOf } from "./design-effect.js";
import { countsOf, type ScoredSequence, type TestResult } from "./fixed-sequence.js";
import type { CertifySettings } from "./settings.js";

export interface CertificateParts {
  readonly evidence: Evidence;
  readonly sequence: ScoredSequence;
  readonly result: TestResult;
  readonly settings: CertifySettings;
}

export function writePolicy({
  evidence: { subject },
  sequence: { score },
  result: { vector, impossible },
  settings: { agreement, fill, loss },
}: CertificateParts): Policy {
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
      loss: lossOf(subject, loss),
      agreement,
      score,
      thresholds,
      fill,
      dtype,
      ...(impossible && { impossible }),
    },
  };
}

export async function writeCertificate(parts: CertificateParts & { readonly policy: Policy }): Promise<Certificate> {
  const { evidence, sequence, result, policy, settings } = parts;
  const { agreement, delta, fill, seed } = settings;
  const { subject, sequenceLength, documents, ownText, unit } = evidence;
  const { score, exitCosts: costs } = sequence;
  const { sampling, reference } = judgedBy(subject);
  const loss = lossOf(subject, settings.loss);
  const losses = [...lossesOf(byDocument(result.tally), loss).values];
  const terms = { score, fill, other: reference.kind === "other" };
  return sealCertificate({
    format: "early-exits/certificate",
    version: 3,
    libraryVersion,
    loss,
    agreement,
    delta,
    unit,
    assumptions: assumptionsOf({
      unit,
      exactFill: isExactFill(fill),
      ownText: ownText !== undefined,
      repeated: documents.some(({ copies }) => copies > 1),
    }),
    sampling,
    reference,
    policy,
    numLayers: subject.numLayers,
    backend: subject.backend,
    kernelBuild: subject.kernelBuild ?? null,
    settings: {
      score: ownText === undefined ? settings.score : score,
      candidates: settings.candidates,
      gridShare: settings.gridShare,
      ...(ownText && { ownText }),
    },
    groups: groupsOf(evidence, losses),
    split: { seed, grid: evidence.grid },
    documents: documents.map(({ hash, tokens, group, copies }) => ({
      hash,
      tokens,
      ...(group !== undefined && { group }),
      ...(copies > 1 && { copies }),
    })),
    sequenceLength,
    costs,
    costUnit: settings.costs === undefined && settings.knownCosts === undefined ? "multiplyAdds" : "milliseconds",
    test: result.test,
    accepted: { ...countsOf(result.tally, 0, result.vector, terms), losses },
    measured: outcomeOfTally(result.tally, 0, subject),
    furtherUnits: result.furtherUnits,
    furtherDocuments: furtherDocumentsOf(evidence, result.furtherUnits, settings),
  });
}

function groupsOf({ documents, grid, unit }: Evidence, losses: readonly number[]): CertificateGroups {
  const names = documents.map(({ group }) => group);
  const count = new Set(names.filter((group) => group !== undefined)).size;
  const told = count > 0 && unit !== "group";
  return { count, designEffect: told ? designEffectOf(losses, names.slice(grid) as string[]) : null };
}

/** Documents to add, of which a share goes to the grid split. */
function furtherDocumentsOf(
  { documents, grid, units }: Evidence,
  furtherUnits: number | null,
  { gridShare }: CertifySettings,
): number | null {
  if (furtherUnits === null || furtherUnits === 0) return furtherUnits;
  const needed = ((documents.length - grid) * (units + furtherUnits)) / units;
  return Math.max(1, Math.ceil(needed / (1 - gridShare)) - documents.length);
}
