/** Writes the certified policy, and the certificate with every count that the claim about it rests on. */
import { isExactFill } from "../../exits/fill/fill.js";
import type { CertifiedLoss, Policy } from "../../exits/plan/policy.js";
import { errorFreeUnits } from "../../risk/certify-losses.js";
import { effectOfClusters } from "../../risk/exchangeability.js";
import { libraryVersion } from "../../version.js";
import { assumptionsOf } from "../certificate/assumptions.js";
import {
  type Certificate,
  type CertificateCopy,
  type CertificateGroups,
  sealCertificate,
} from "../certificate/certificate.js";
import { lossesOf, readLosses } from "../procedures/tally.js";
import { rawThreshold } from "../procedures/token-table.js";
import { classesIn, type Evidence, type EvidenceDocument, readOnce, tableIn } from "../record/evidence.js";
import { type ExitFeasibility, feasibilityOf } from "../record/feasibility.js";
import { outcomeOfTally } from "../record/outcome.js";
import { judgedBy, lossOf } from "../record/subject.js";
import { type Dependence, dependenceOf, halved } from "./dependence.js";
import { countsOf, expectedCost, type ScoredSequence, type TestResult } from "./fixed-sequence.js";
import type { CertifySettings } from "./settings.js";

interface CertificateParts {
  readonly evidence: Evidence;
  readonly sequence: ScoredSequence;
  readonly result: TestResult;
  readonly settings: CertifySettings;
}

export function writePolicy({
  evidence: { subject, sequenceLength },
  sequence: { score },
  result: { vector, impossible },
  settings: { agreement, fill, loss, population },
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
      length: sequenceLength,
      ...(population !== undefined && { population }),
      ...(impossible && { impossible }),
    },
  };
}

export async function writeCertificate(parts: CertificateParts & { readonly policy: Policy }): Promise<Certificate> {
  const { evidence, sequence, result, policy, settings } = parts;
  const { agreement, delta, fill, seed } = settings;
  const { subject, sequenceLength, documents, ownText, answers, unit, taught } = evidence;
  const classes = classesIn(evidence);
  const tested = readOnce(evidence).flat();
  const trainingKnown = subject.trainingKnown === true;
  const { score, exitCosts: costs } = sequence;
  const { sampling, reference } = judgedBy(subject);
  const loss = lossOf(subject, settings.loss);
  const losses = classLosses(evidence, result, loss);
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
      of: answers !== undefined ? "answers" : ownText !== undefined ? "own-text" : "text-as-given",
      repeated: classes.length < documents.length,
      trainingKnown,
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
      ...(settings.choices > 1 && { choices: settings.choices }),
      gridShare: settings.gridShare,
      ...(ownText && { ownText }),
      ...(answers && { answers }),
    },
    groups: groupsOf(evidence, losses),
    split: { seed, grid: classes.length - tested.length },
    ...(trainingKnown && { taught }),
    documents: classes.map(([leader, ...copies]) => ({
      ...listed(leader!),
      ...(copies.length > 0 && { copies: copies.map(listed).sort(byHash) }),
    })),
    sequenceLength,
    costs,
    costUnit: settings.costs === undefined && settings.knownCosts === undefined ? "multiplyAdds" : "milliseconds",
    test: result.test,
    accepted: { ...countsOf(result.tally, 0, result.vector, terms), losses },
    measured: outcomeOfTally(
      result.tally,
      0,
      subject,
      tested.map(([leader]) => leader!),
    ),
    furtherUnits: result.furtherUnits,
    furtherDocuments: furtherDocumentsOf(evidence, result.furtherUnits, settings),
  });
}

function listed({ hash, tokens, group, answer }: EvidenceDocument): CertificateCopy {
  return { hash, tokens, ...(group !== undefined && { group }), ...(answer !== undefined && { answer }) };
}

function byHash(a: CertificateCopy, b: CertificateCopy): number {
  return `${a.hash} ${a.group}` < `${b.hash} ${b.group}` ? -1 : 1;
}

/** The loss of every class of the test, each the mean over its members. */
function classLosses(evidence: Evidence, { tally }: TestResult, loss: CertifiedLoss): number[] {
  const classes = readOnce(evidence)
    .flat()
    .map((members) => [members]);
  return [...readLosses(lossesOf(tally, loss), classes).values];
}

function groupsOf(evidence: Evidence, losses: readonly number[]): CertificateGroups {
  const leaders = classesIn(evidence).map(([leader]) => leader!);
  const count = new Set(leaders.flatMap(({ group }) => group ?? [])).size;
  const names = leaders.flatMap(({ tested, group }) => (tested ? group! : []));
  const told = count > 0 && evidence.unit !== "group";
  return { count, designEffect: told ? effectOfClusters(halved(losses), names) : null };
}

/** Documents to add, of which a share goes to the grid split. */
function furtherDocumentsOf(
  evidence: Evidence,
  furtherUnits: number | null,
  { gridShare }: CertifySettings,
): number | null {
  if (furtherUnits === null || furtherUnits === 0) return furtherUnits;
  const { units } = evidence;
  const needed = (readOnce(evidence).flat().length * (units + furtherUnits)) / units;
  return Math.max(1, Math.ceil(needed / (1 - gridShare)) - classesIn(evidence).length);
}

// Notes beside a certificate, for people: what was possible, what it costs, and how far documents are from independent.
// No part of the claim.

export interface CalibrationNotes {
  /** Per exit, on the grid split: what no threshold can escape; null for answers, and for given candidates. */
  readonly feasibility: readonly (ExitFeasibility & { readonly depth: number })[] | null;
  /** The fewest documents with which this claim could be certified if no token differed. */
  readonly fewestDocuments: number;
  /** Full cost over expected cost of the policy that the grid split predicts. */
  readonly expectedSpeedup: number;
  /** The same for the certified policy; 1 if it never exits, below 1 if slower than plain. */
  readonly speedup: number;
  /** Milliseconds of a token by measured unit times; null if counted. */
  readonly tokenTimes: { readonly policy: number; readonly plain: number } | null;
  /** Documents given that are copies of others, exactly or nearly. */
  readonly copies: number;
  /** Documents of which only the beginning was judged. */
  readonly cut: number;
  /** Dependence between documents that a permutation test finds; null if it finds none. */
  readonly dependence: Dependence | null;
}

export async function notesOf({ evidence, sequence, result, settings }: CertificateParts): Promise<CalibrationNotes> {
  const { documents, subject, given, answers, grid, units } = evidence;
  const { epsilon, delta, gridShare } = settings;
  const { exitCosts, score } = sequence;
  const told = given === undefined && answers === undefined;
  const feasibility = told ? feasibilityOf(await tableIn(evidence, grid, score), epsilon) : undefined;
  const perUnit = readOnce(evidence).flat().length / units;
  const cost = costOfResult(result, exitCosts.full);
  const timed = settings.costs !== undefined || settings.knownCosts !== undefined;
  return {
    feasibility: feasibility?.map((one, exit) => ({ depth: subject.depths[exit]!, ...one })) ?? null,
    fewestDocuments: Math.ceil((errorFreeUnits(epsilon, delta) * perUnit) / (1 - gridShare)),
    expectedSpeedup: exitCosts.full / expectedCost(sequence, delta, exitCosts.full),
    speedup: exitCosts.full / cost,
    tokenTimes: timed ? { policy: cost, plain: exitCosts.full } : null,
    copies: documents.length - classesIn(evidence).length,
    cut: documents.filter(({ cut }) => cut === true).length,
    dependence: dependenceOf(evidence, classLosses(evidence, result, lossOf(subject, settings.loss))),
  };
}

function costOfResult({ test }: TestResult, full: number): number {
  return test === null || test.chosen === "never" ? full : test.candidates[test.chosen]!.cost;
}
