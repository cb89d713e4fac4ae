/**
 * What will be tested, decided on the grid split alone: the score, the candidates, and the candidate at which the
 * sequence starts. Candidates are proposed from recorded scores, or given (proposed on other documents). The start is
 * predicted from what the candidates do on the grid split: as recorded, or, with a fill that changes other tokens, as
 * run. Against another model than the one that runs, "never exit" is the first candidate.
 */
import { isExactFill } from "../../exits/fill/index.js";
import type { ScoreName } from "../../exits/heads/index.js";
import {
  type Candidate,
  costsOf,
  type ExitCosts,
  expectedCost,
  type MeanBound,
  nothing,
  planOverall,
  planSelective,
  proposeOverall,
  proposeSelective,
  startSelective,
  type Tally,
  tallyVectors,
  type TestSequence,
  type ThresholdVector,
  type TokenTable,
} from "../procedures/index.js";
import { type Evidence, exitCosts, type GivenCandidates, judgedBy, requireScore, scoresOf } from "../record/index.js";
import { lossesOf } from "./losses.js";
import type { CertifySettings } from "./settings.js";

/** The grid split is the documents [0, grid), the test [grid, grid + test). */
export interface Split {
  readonly grid: number;
  readonly test: number;
  /** Units in the test: documents, or groups of them. */
  readonly units: number;
}

/** A sequence to test, the score of its thresholds, and what exits cost with that score. */
export interface ScoredSequence extends TestSequence {
  readonly score: ScoreName;
  readonly exitCosts: ExitCosts;
  /** How the mean loss will be bounded. */
  readonly bound: MeanBound;
}

/** A candidate, and the mean cost of a token under it on the grid split. */
type PricedVector = Pick<Candidate, "thresholds" | "cost">;

/** A sequence, and all candidates that were proposed, before the start was chosen. */
export interface Proposal {
  readonly sequence: ScoredSequence;
  readonly proposed: readonly PricedVector[];
  /** What the candidates do on the grid split, if it says so. */
  readonly tally?: Tally;
}

/** Plans the test. Throws an OptionError if the score asked for is not recorded. */
export async function planSequence(
  evidence: Evidence,
  split: Split,
  settings: CertifySettings,
): Promise<ScoredSequence> {
  if (evidence.given !== undefined) return planGiven(evidence, evidence.given, split, settings);
  const { sequence, proposed, tally } = await proposeCandidates(evidence, split, settings);
  if (proposed.length === 0) return sequence;
  const { score, exitCosts: costs } = sequence;
  if (isExactFill(settings.fill)) {
    return tally === undefined ? sequence : startBest(tally, proposed, sequence, split, settings);
  }
  const vectors = proposed.map(({ thresholds }) => thresholds);
  const run = await evidence.tally(0, split.grid, score, vectors);
  return startBest(run, proposed, { score, exitCosts: costs }, split, settings);
}

/** Candidates that are given: those that cost at least as much as "never exit", which needs no test, are left out. */
async function planGiven(
  { subject, tally }: Evidence,
  { score, vectors }: GivenCandidates,
  split: Split,
  settings: CertifySettings,
): Promise<ScoredSequence> {
  const costs = costsWith(subject, settings);
  const prices = costsOf(await tally(0, split.grid, score, vectors), costs);
  const worthwhile = vectors
    .map((thresholds, i): PricedVector => ({ thresholds, cost: prices[i]! }))
    .filter(({ thresholds, cost }) => cost < costs.full || (testsNever(subject) && isNever(thresholds)));
  if (worthwhile.length === 0) return { ...nothing, score, exitCosts: costs, bound: boundsOf(settings)[0]! };
  const kept = worthwhile.map(({ thresholds }) => thresholds);
  const run = await tally(0, split.grid, score, kept);
  return startBest(run, worthwhile, { score, exitCosts: costs }, split, settings);
}

/** The bounds to choose from, the preferred one first. */
function boundsOf({ bound, claim, unit, procedure }: CertifySettings): readonly MeanBound[] {
  if (bound !== "best") return [bound];
  if (claim === "anyChange" && unit !== "group") return ["clopperPearson"];
  return procedure === "byExit" || procedure === "crc" || unit === "token" ? ["wsr"] : ["wsr", "hoeffdingBentkus"];
}

/** Where the sequence starts, with the bound under which the grid split predicts the lowest cost. */
function startBest(
  grid: Tally,
  proposed: readonly PricedVector[],
  { score, exitCosts: costs }: Pick<ScoredSequence, "score" | "exitCosts">,
  split: Split,
  settings: CertifySettings,
): ScoredSequence {
  const sequences = boundsOf(settings).map((bound) => ({
    ...startSequence(grid, proposed, split, settings, bound),
    score,
    exitCosts: costs,
    bound,
  }));
  const costOf = (sequence: TestSequence): number => expectedCost(sequence, settings.delta, costs.full);
  return sequences.reduce((best, other) => (costOf(other) < costOf(best) ? other : best));
}

/** About how many tokens of the grid split scores are compared on. */
const COMPARED_TOKENS = 12_000;

/**
 * Proposes candidates of the score asked for. For "best", proposes some of every score from the first documents of the
 * grid split, and keeps the score with the lowest expected cost.
 */
export async function proposeCandidates(
  { subject, documents, table }: Pick<Evidence, "subject" | "documents" | "table">,
  split: Split,
  settings: CertifySettings,
): Promise<Proposal> {
  const { grid } = split;
  const proposeWith = async (score: ScoreName, end: number): Promise<Proposal> => {
    const costs = costsWith(subject, settings);
    return propose(await table(0, end, score), { score, costs, split, settings, never: testsNever(subject) });
  };
  if (settings.score !== "best") {
    requireScore(subject, settings.score);
    return proposeWith(settings.score, grid);
  }
  let compared = 0;
  let tokens = 0;
  while (compared < grid && tokens < COMPARED_TOKENS) {
    tokens += documents[compared]!.tokens;
    compared++;
  }
  const proposals: Proposal[] = [];
  for (const score of scoresOf(subject)) proposals.push(await proposeWith(score, compared));
  const costOf = ({ sequence }: Proposal): number => expectedCost(sequence, settings.delta, sequence.exitCosts.full);
  const best = proposals.reduce((one, other) => (costOf(other) < costOf(one) ? other : one));
  return compared === grid ? best : proposeWith(best.sequence.score, grid);
}

function costsWith(subject: Evidence["subject"], { fill, costs, knownCosts }: CertifySettings): ExitCosts {
  return knownCosts ?? exitCosts(subject, { fill, times: costs });
}

/** Whether "never exit" may fail: another model is the reference. */
function testsNever(subject: Evidence["subject"]): boolean {
  return judgedBy(subject).reference.kind === "other";
}

function isNever(thresholds: ThresholdVector): boolean {
  return thresholds.every((threshold) => threshold === Infinity);
}

interface ProposeOptions {
  readonly score: ScoreName;
  readonly costs: ExitCosts;
  readonly split: Split;
  readonly settings: CertifySettings;
  /** Whether "never exit" is a candidate. */
  readonly never: boolean;
}

function propose(grid: TokenTable, { score, costs, split, settings, never }: ProposeOptions): Proposal {
  const { epsilon, delta, claim, candidates: count } = settings;
  const [bound] = boundsOf(settings) as [MeanBound];
  const scored = { score, exitCosts: costs, bound };
  if (claim === "selective") {
    const candidates = proposeSelective(grid, costs, { epsilon, count });
    const options = { epsilon, delta, units: split.units, unit: tokenOrDocument(settings), bound: selective(bound) };
    const sequence = planSelective(grid, candidates, costs, options);
    const proposed = sequence.vectors.map((thresholds, i) => ({ thresholds, cost: sequence.costs[i]! }));
    return { sequence: { ...sequence, ...scored }, proposed };
  }
  // A document changes as soon as one of its tokens does: its slack is divided by the mean number of tokens.
  const meanTokens = grid.starts[grid.documents]! / grid.documents;
  const slack = claim === "overall" ? epsilon : epsilon / Math.max(1, meanTokens);
  const proposed: readonly PricedVector[] = [
    ...(never ? [{ thresholds: grid.oriented.map(() => Infinity), cost: costs.full }] : []),
    ...(count === 0 ? [] : proposeOverall(grid, costs, { epsilon: slack, count })),
  ];
  const tally = tallyVectors(
    grid,
    proposed.map(({ thresholds }) => thresholds),
  );
  return { sequence: { ...startSequence(tally, proposed, split, settings, bound), ...scored }, proposed, tally };
}

/** Where the sequence starts, from what the candidates do on the grid split. */
function startSequence(
  grid: Tally,
  candidates: readonly PricedVector[],
  { units }: Pick<Split, "units">,
  settings: CertifySettings,
  bound: MeanBound,
): TestSequence {
  const { epsilon, delta, claim } = settings;
  const expected = { epsilon, delta, units };
  if (claim !== "selective") return planOverall(grid, candidates, { ...expected, bound, losses: lossesOf(claim) });
  const vectors = candidates.map(({ thresholds }) => thresholds);
  const costs = candidates.map(({ cost }) => cost);
  return startSelective(grid, vectors, costs, {
    ...expected,
    unit: tokenOrDocument(settings),
    bound: selective(bound),
  });
}

/** How a selective claim counts; a tally says itself which documents make up a group. */
export function tokenOrDocument({ unit }: CertifySettings): "token" | "document" {
  return unit === "token" ? "token" : "document";
}

/** The bound for selective claims, where `certifySettings` refuses "clopperPearson". */
export function selective(bound: MeanBound): Exclude<MeanBound, "clopperPearson"> {
  return bound as Exclude<MeanBound, "clopperPearson">;
}
