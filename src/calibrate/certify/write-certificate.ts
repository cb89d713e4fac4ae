/** Writes the certified policy, and the certificate with every count that the claim about it rests on. */
import { isExactFill } from "../../exits/fill/fill.js";
import type { Policy } from "../../exits/plan/policy.js";
import { errorFreeUnits, meanPValue } from "../../risk/certify-losses.js";
import { effectOfClusters } from "../../risk/exchangeability.js";
import { libraryVersion } from "../../version.js";
import { assumptionsOf } from "../certificate/assumptions.js";
import { type Certificate, type CertificateCopy, sealCertificate } from "../certificate/certificate.js";
import { lossesOf, readLosses } from "../procedures/tally.js";
import { rawVector } from "../procedures/token-table.js";
import {
  classesIn,
  type Evidence,
  type EvidenceDocument,
  firstCounted,
  readOnce,
  tableIn,
} from "../record/evidence.js";
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
  const thresholds = rawVector(vector, score);
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
  // Of every class of the test, the mean over its members.
  const means = readLosses(
    lossesOf(result.tally, loss),
    tested.map((members) => [members]),
  );
  const losses = [...means.values];
  const leaders = classes.map(([leader]) => leader!);
  const groups = new Set(leaders.flatMap(({ group }) => group ?? [])).size;
  const names = leaders.flatMap((leader) => (leader.tested ? leader.group! : []));
  const { furtherUnits: further } = result;
  // A share of all documents goes to the grid split.
  const documentsFor = (units: number) =>
    Math.ceil((tested.length * units) / evidence.units / (1 - settings.gridShare));
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
    groups: {
      count: groups,
      designEffect: groups > 0 && unit !== "group" ? effectOfClusters(halved(losses), names) : null,
    },
    split: { seed, grid: classes.length - tested.length },
    ...(trainingKnown && { taught }),
    documents: classes.map(([leader, ...copies]) => ({
      ...listed(leader!),
      ...(copies.length > 0 && { copies: copies.map(listed).sort(byHash) }),
    })),
    sequenceLength,
    costs,
    costUnit: isTimed(settings) ? "milliseconds" : "multiplyAdds",
    test: result.test,
    accepted: { ...countsOf(evidence, result.tally, 0, result.vector, { score, fill }), losses },
    measured: outcomeOfTally(
      result.tally,
      subject,
      tested.map(([leader]) => leader!),
    ),
    furtherUnits: further,
    furtherDocuments: further && Math.max(1, documentsFor(evidence.units + further) - classes.length),
  });
}

function listed({ hash, tokens, group, answer }: EvidenceDocument): CertificateCopy {
  return { hash, tokens, ...(group !== undefined && { group }), ...(answer !== undefined && { answer }) };
}

function byHash(a: CertificateCopy, b: CertificateCopy): number {
  return `${a.hash} ${a.group}` < `${b.hash} ${b.group}` ? -1 : 1;
}

function isTimed({ costs, knownCosts }: CertifySettings): boolean {
  return (costs ?? knownCosts) !== undefined;
}

// Notes beside a certificate, for people: what was possible, what it costs, and how far documents are from independent.
// No part of the claim.

export interface CalibrationNotes {
  /** Per exit, on the grid split: what no threshold can escape; null for answers, and for given candidates. */
  readonly feasibility: readonly (ExitFeasibility & { readonly depth: number })[] | null;
  /** About the fewest documents with which this claim could be certified if no token differed. */
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

export async function notesOf(
  { evidence, sequence, result: { test, tally }, settings }: CertificateParts,
  { documents: classes, split, accepted }: Certificate,
): Promise<CalibrationNotes> {
  const { documents, subject, given, answers, grid, units } = evidence;
  const { epsilon, delta, gridShare } = settings;
  const { exitCosts, score } = sequence;
  const { full } = exitCosts;
  const told = given === undefined && answers === undefined;
  const feasibility = told ? feasibilityOf(await tableIn(evidence, grid, score), epsilon) : undefined;
  const perUnit = (classes.length - split.grid) / units;
  const { binary, signed = false } = lossesOf(tally, lossOf(subject, settings.loss));
  const terms = { epsilon, delta, signed, binary: binary && units === documents.length - firstCounted(evidence) };
  let fewest = errorFreeUnits(epsilon, delta);
  // Of more, the binomial's number is near enough, and bets on so many take seconds.
  while (fewest < 1e4 && meanPValue(new Float64Array(fewest), terms) > delta) fewest += Math.ceil(fewest / 200);
  const cost = test === null || test.chosen === "never" ? full : test.candidates[test.chosen]!.cost;
  return {
    feasibility: feasibility?.map((one, exit) => ({ depth: subject.depths[exit]!, ...one })) ?? null,
    fewestDocuments: Math.ceil((fewest * perUnit) / (1 - gridShare)),
    expectedSpeedup: full / expectedCost(sequence, delta),
    speedup: full / cost,
    tokenTimes: isTimed(settings) ? { policy: cost, plain: full } : null,
    copies: documents.length - classes.length,
    cut: documents.filter(({ cut }) => cut === true).length,
    dependence: dependenceOf(evidence, accepted.losses),
  };
}
