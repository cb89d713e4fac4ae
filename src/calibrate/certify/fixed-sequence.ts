/**
 * The test of a fixed sequence.
 *   plan   on the grid split alone: the score, the candidates, and where the sequence starts. Candidates are proposed
 *          from recorded scores, or given (proposed on other documents). The start is predicted from what they do on
 *          the grid split: as recorded, or, with a fill that changes other tokens, as run. Against another model than
 *          the one that runs, "never exit" comes first. For claims about answers, the full model's answers are the
 *          text, and the sequence starts at the strictest candidate
 *   run    on all test documents: which candidates are accepted, and which is chosen. The model sees each test document
 *          once, whatever the outcome; candidates that answer run one after another, up to the first failure. If
 *          documents hold copies, a candidate's p-value is the larger of two: classes of copies as units (a copy is no
 *          new evidence), and documents as given (copies are draws); each is valid where it is the right reading
 *          (record/split.ts). And the mean over all documents given, those of the grid split included, must be at
 *          most ε
 */
import { isExactFill } from "../../exits/fill/fill.js";
import type { ScoreName } from "../../exits/heads/score.js";
import { certifyLosses, columnOf, type LossMatrix, meanPValue, meansOf, repeatTo } from "../../risk/certify-losses.js";
import { fixedSequence } from "../../risk/multiple-tests.js";
import type { CertificateCandidate, CertificateCounts, CertificateTest } from "../certificate/certificate.js";
import { proposeVectors } from "../procedures/propose.js";
import { costsOf, type ExitCosts, lossesOf, readLosses, type Reading, type Tally } from "../procedures/tally.js";
import { rawVector, tallyVectors, type ThresholdVector } from "../procedures/token-table.js";
import {
  type Evidence,
  firstCounted,
  type GivenCandidates,
  readAsGiven,
  readFirst,
  readOnce,
  tableIn,
  tallyIn,
} from "../record/evidence.js";
import { pickVectors, type RunCandidates } from "../record/policy-runs.js";
import { judgedBy, lossOf, requireScore, scoresOf, subjectCosts } from "../record/subject.js";
import type { CertifySettings } from "./settings.js";

/** The cheapest of accepted candidates, the first of equals. */
export function cheapest(costs: readonly number[]): number | "never" {
  return costs.length === 0 ? "never" : costs.indexOf(Math.min(...costs));
}

export interface Candidates {
  readonly vectors: readonly ThresholdVector[];
  readonly costs: readonly number[];
}

/** Candidates in the order of testing; none if nothing is worth a test. */
interface TestSequence extends Candidates {
  /** Per vector, the p-value predicted from the grid split. */
  readonly predicted: readonly number[];
}

interface PlanOptions {
  readonly epsilon: number;
  readonly delta: number;
  /** Units in the test. */
  readonly units: number;
  /** True if documents hold copies, of which the grid split may show none. @default false */
  readonly copied?: boolean;
}

/**
 * Plans the sequence from strict to lax candidates and their losses on the grid split. It starts at the strictest
 * candidate predicted to pass with a margin: p <= δ/10 on the grid documents repeated up to the size of the test. A
 * stricter one, with few tokens leaving, would fail for lack of data and end the sequence at once. If none is so safe,
 * it starts at the one predicted to come closest. With copies it starts at the strictest: they can be harder than all
 * that the grid split shows.
 */
export function planSequence(
  { vectors, costs }: Candidates,
  grid: LossMatrix,
  { epsilon, delta, units, copied = false }: PlanOptions,
): TestSequence {
  const predicted = vectors.map((_, candidate) =>
    meanPValue(repeatTo(columnOf(grid, candidate), units), { epsilon, delta, binary: grid.binary }),
  );
  const safe = predicted.findIndex((p) => p <= delta / 10);
  const start = copied ? 0 : safe >= 0 ? safe : predicted.indexOf(Math.min(...predicted));
  return { vectors: vectors.slice(start), costs: costs.slice(start), predicted: predicted.slice(start) };
}

export interface ScoredSequence extends TestSequence {
  readonly score: ScoreName;
  readonly exitCosts: ExitCosts;
}

/**
 * The expected cost of a token: that of the cheapest candidate before the first predicted failure; of all blocks if
 * none is predicted to pass.
 */
export function expectedCost({ costs, predicted, exitCosts }: ScoredSequence, delta: number): number {
  return Math.min(exitCosts.full, ...costs.slice(0, fixedSequence(predicted, delta).length));
}

interface Proposal {
  readonly candidates: Candidates;
  /** Predicted from the records. */
  readonly sequence: ScoredSequence;
}

/** Plans the test. Throws an OptionError if the score asked for is not recorded. */
export async function planTest(evidence: Evidence, settings: CertifySettings): Promise<ScoredSequence> {
  const { given, grid, run, answers } = evidence;
  if (given !== undefined) return planGiven(evidence, given, settings);
  const { candidates, sequence } = await propose(evidence, settings);
  if (candidates.vectors.length === 0 || run === undefined || answers !== undefined) return sequence;
  const ran = await tallyIn(evidence, [0, grid], sequence.score, candidates.vectors);
  return { ...sequence, ...planBy(ran, candidates, evidence, settings) };
}

/** Plans the sequence by what the candidates do on the first documents, which the tally counts. */
function planBy(tally: Tally, candidates: Candidates, evidence: Evidence, settings: CertifySettings): TestSequence {
  const { subject, units, copied } = evidence;
  const losses = lossesOf(tally, lossOf(subject, settings.loss));
  const read = readUnits(evidence, losses, readFirst(evidence, tally.documents));
  return planSequence(candidates, read, { ...settings, units, copied });
}

/** Losses of documents as losses of units, 0 or 1 by definition only where documents are the units. */
function readUnits({ unit }: Evidence, losses: LossMatrix, reading: Reading): LossMatrix {
  return readLosses({ ...losses, binary: losses.binary && unit === "document" }, reading);
}

/**
 * Proposes candidates from the grid split. With a fill that changes other tokens they have to run before the sequence
 * can be planned.
 */
export async function proposeCandidates(evidence: Evidence, settings: CertifySettings): Promise<RunCandidates> {
  const {
    candidates,
    sequence: { score },
  } = await propose(evidence, settings);
  const thresholds = candidates.vectors.map((vector) => rawVector(vector, score));
  return { score, fill: settings.fill, thresholds };
}

/** Tokens of the grid split, roughly, on which scores are compared. */
const COMPARED_TOKENS = 12_000;

/**
 * Proposes candidates of the score asked for. For "best", tries every score on the first documents, and keeps the one
 * with the lowest expected cost.
 */
async function propose(evidence: Evidence, settings: CertifySettings): Promise<Proposal> {
  const { subject, documents, grid } = evidence;
  if (settings.score !== "best") {
    requireScore(subject, settings.score);
    return proposeWith(evidence, settings.score, grid, settings);
  }
  let compared = 0;
  let tokens = 0;
  while (compared < grid && tokens < COMPARED_TOKENS) {
    tokens += documents[compared]!.tokens;
    compared++;
  }
  const proposals: Proposal[] = [];
  for (const score of scoresOf(subject)) proposals.push(await proposeWith(evidence, score, compared, settings));
  const costOf = ({ sequence }: Proposal) => expectedCost(sequence, settings.delta);
  const best = proposals.reduce((one, other) => (costOf(other) < costOf(one) ? other : one));
  return compared === grid ? best : proposeWith(evidence, best.sequence.score, grid, settings);
}

/** Proposes candidates of a score from the first documents, and predicts their test from the records. */
async function proposeWith(
  evidence: Evidence,
  score: ScoreName,
  end: number,
  settings: CertifySettings,
): Promise<Proposal> {
  const { subject, answers } = evidence;
  const copied = evidence.copied || answers !== undefined; // most candidates are strict, and the strictest is first
  const exitCosts = costsWith(evidence, settings);
  const table = await tableIn(evidence, end, score);
  // One changed token changes a document: its slack is divided by the mean number of tokens. An answer that changes
  // usually has several such tokens, so twice as many may be tried there.
  const meanTokens = table.starts[table.documents]! / table.documents;
  const perToken = settings.epsilon / Math.max(1, meanTokens);
  const slack = Math.min(0.5, Math.max(2 * perToken, settings.loss === "changed" ? 0 : ANSWER_SLACK));
  const asked: CertifySettings = answers === undefined ? settings : { ...settings, loss: "token", epsilon: slack };
  const epsilon = lossOf(subject, asked.loss) === "anyChange" ? perToken : asked.epsilon;
  const vectors = [
    ...(testsNever(evidence) ? [table.oriented.map(() => Infinity)] : []),
    ...(asked.candidates === 0 ? [] : proposeVectors(table, exitCosts, { epsilon, count: asked.candidates, copied })),
  ];
  const scored = { score, exitCosts };
  if (vectors.length === 0) return { candidates: nothing, sequence: { ...nothing, ...scored } };
  const tally = tallyVectors(table, vectors);
  const candidates = { vectors, costs: costsOf(tally, exitCosts) };
  return { candidates, sequence: { ...planBy(tally, candidates, { ...evidence, copied }, asked), ...scored } };
}

/** Answers keep most of their worth if they keep 99 % of their tokens, and little if 95 %; more in short ones. */
const ANSWER_SLACK = 0.05;

/** Drops those of the given candidates that cost at least as much as "never exit", which needs no test. */
async function planGiven(
  evidence: Evidence,
  { score, vectors }: GivenCandidates,
  settings: CertifySettings,
): Promise<ScoredSequence> {
  const exitCosts = costsWith(evidence, settings);
  const tally = await tallyIn(evidence, [0, evidence.grid], score, vectors);
  const costs = costsOf(tally, exitCosts);
  const isNever = (vector: ThresholdVector) => vector.every((threshold) => threshold === Infinity);
  const kept = [...vectors.keys()].filter(
    (i) => costs[i]! < exitCosts.full || (testsNever(evidence) && isNever(vectors[i]!)),
  );
  const candidates = { vectors: kept.map((i) => vectors[i]!), costs: kept.map((i) => costs[i]!) };
  const planned = kept.length === 0 ? nothing : planBy(pickVectors(tally, kept), candidates, evidence, settings);
  return { ...planned, score, exitCosts };
}

const nothing: TestSequence = { vectors: [], costs: [], predicted: [] };

function costsWith({ subject }: Evidence, { fill, costs, knownCosts }: CertifySettings): ExitCosts {
  return knownCosts ?? subjectCosts(subject, fill, costs);
}

/** "never exit" may fail if another model is the reference. */
function testsNever({ subject }: Evidence): boolean {
  return judgedBy(subject).reference.kind === "other";
}

export interface TestResult {
  /** null if there was no candidate. */
  readonly test: CertificateTest | null;
  /** The cheapest accepted vector, or "never exit". */
  readonly vector: ThresholdVector;
  /** Nothing was accepted, and another model is the reference, so that "never exit" is no fallback. */
  readonly impossible: boolean;
  /** Its counts on all test documents. */
  readonly tally: Tally;
  /**
   * 0 if a vector that exits was accepted; otherwise about how many more units are needed, null if no number would do.
   */
  readonly furtherUnits: number | null;
}

export async function runTest(
  evidence: Evidence,
  sequence: ScoredSequence,
  settings: CertifySettings,
): Promise<TestResult> {
  const { vectors, costs, score } = sequence;
  const { subject, documents, copied } = evidence;
  const { epsilon, delta, fill } = settings;
  const loss = lossOf(subject, settings.loss);
  const never = subject.depths.map(() => Infinity);
  const other = testsNever(evidence);
  const tallyOf = (list: readonly ThresholdVector[]) =>
    tallyIn(evidence, [firstCounted(evidence), documents.length], score, list);
  // Against another model, "never exit" must run too.
  const all = other ? await tallyOf([...vectors, never]) : undefined;
  const unchanged = all ? pickVectors(all, [vectors.length]) : neverTally(evidence, never);
  const nothing = { vector: never, impossible: other, tally: unchanged };
  if (vectors.length === 0) return { ...nothing, test: null, furtherUnits: null };
  const decide = (tally: Tally) => {
    const losses = lossesOf(tally, loss);
    const read = (reading: Reading) => readUnits(evidence, losses, reading);
    const others = copied ? [read(readAsGiven(evidence, "test"))] : [];
    return { tally, read, ...certifyLosses(read(readOnce(evidence)), { epsilon, delta }, ...others) };
  };
  let ran = evidence.answers === undefined ? vectors.length : 1;
  let decision = decide(all ? pickVectors(all, [...vectors.keys()]) : await tallyOf(vectors.slice(0, ran)));
  while (ran < vectors.length && decision.accepted === ran) decision = decide(await tallyOf(vectors.slice(0, ++ran)));
  const { tally, read, accepted, risks, pValues } = decision;
  const given = copied ? meansOf(read(readAsGiven(evidence, "all"))) : [];
  const fair = [...vectors.keys()].slice(0, accepted).filter((candidate) => !(given[candidate]! > epsilon));
  const place = cheapest(fair.map((candidate) => costs[candidate]!));
  const chosen = place === "never" ? place : fair[place]!;
  const candidates = vectors.slice(0, accepted + 1).map((vector, i): CertificateCandidate => ({
    ...countsOf(evidence, tally, i, vector, { score, fill }),
    cost: costs[i]!,
    risk: risks[i]!,
    pValue: pValues[i]!,
  }));
  const test = { candidates, planned: vectors.length, accepted, chosen };
  if (chosen === "never") return { ...nothing, test, furtherUnits: accepted > 0 ? null : decision.furtherUnits };
  return { test, vector: vectors[chosen]!, impossible: false, tally: pickVectors(tally, [chosen]), furtherUnits: 0 };
}

/** Compared with the model itself, "never exit" changes nothing. */
function neverTally(evidence: Evidence, never: ThresholdVector): Tally {
  const documents = evidence.documents.slice(firstCounted(evidence));
  const full = documents.map(({ answer = "" }) => answer);
  const tokens = documents.map((document) => document.tokens);
  const size = documents.length * never.length;
  return {
    documents: documents.length,
    candidates: 1,
    exits: never.length,
    tokens: Int32Array.from(tokens),
    left: new Int32Array(size),
    wrong: new Float64Array(size),
    deep: new Float64Array(documents.length),
    active: new Uint8Array(never.length),
    ...(evidence.answers && { answers: { full, hashes: full, written: tokens, losses: tokens.map(() => 0) } }),
  };
}

export function countsOf(
  evidence: Evidence,
  tally: Tally,
  candidate: number,
  vector: ThresholdVector,
  { score, fill }: Pick<RunCandidates, "score" | "fill">,
): CertificateCounts {
  const { left, wrong, deep, answers, written } = pickVectors(tally, [candidate]);
  const isExact = isExactFill(fill) && !testsNever(evidence);
  const counts = {
    thresholds: rawVector(vector, score),
    left: [...left],
    wrong: answers ? [] : [...wrong],
    deep: answers !== undefined || isExact ? [] : [...deep],
  };
  if (answers === undefined) return { ...counts, ...(written && { written: [...written] }) };
  const { losses, hashes } = answers;
  return { ...counts, answers: { losses, written: answers.written, hashes } };
}
