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
  nothing,
  planOverall,
  planSelective,
  proposeOverall,
  proposeSelective,
  startSelective,
  type Tally,
  tallyVectors,
  type TestSequence,
  type TokenTable,
} from "../procedures/index.js";
import { type Evidence, exitCosts, type GivenCandidates, judgedBy, requireScore, scoresOf } from "../record/index.js";
import { lossesOf } from "./losses.js";
import type { CertifySettings } from "./settings.js";

/** Sizes of the two parts of the documents: the grid split is [0, grid), the test [grid, grid + test). */
export interface Split {
  readonly grid: number;
  readonly test: number;
}

/** A sequence to test, the score of its thresholds, and what exits cost with that score. */
export interface ScoredSequence extends TestSequence {
  readonly score: ScoreName;
  readonly exitCosts: ExitCosts;
}

/** A candidate, and the mean cost of a token under it on the grid split. */
type PricedVector = Pick<Candidate, "thresholds" | "cost">;

/** A sequence, and all candidates that were proposed, before the start was chosen. */
interface Proposal {
  readonly sequence: ScoredSequence;
  readonly proposed: readonly PricedVector[];
}

/** Plans the test. Throws an OptionError if the score asked for is not recorded. */
export async function planSequence(
  evidence: Evidence,
  split: Split,
  settings: CertifySettings,
): Promise<ScoredSequence> {
  if (evidence.given !== undefined) return planGiven(evidence, evidence.given, split, settings);
  const { sequence, proposed } = await proposeCandidates(evidence, split, settings);
  if (isExactFill(settings.fill) || proposed.length === 0) return sequence;
  const vectors = proposed.map(({ thresholds }) => thresholds);
  const run = await evidence.tally(0, split.grid, sequence.score, vectors);
  return { ...sequence, ...startSequence(run, proposed, split, settings) };
}

/** Candidates that are given: those that cost at least as much as "never exit", which needs no test, are left out. */
async function planGiven(
  { subject, tally }: Evidence,
  { score, vectors }: GivenCandidates,
  split: Split,
  settings: CertifySettings,
): Promise<ScoredSequence> {
  const costs = costsWith(score, subject, settings);
  const testsNever = judgedBy(subject).reference.kind === "other";
  const prices = costsOf(await tally(0, split.grid, score, vectors), costs);
  const worthwhile = vectors
    .map((thresholds, i): PricedVector => ({ thresholds, cost: prices[i]! }))
    .filter(({ thresholds, cost }) => cost < costs.full || (testsNever && thresholds.every((one) => one === Infinity)));
  if (worthwhile.length === 0) return { ...nothing, score, exitCosts: costs };
  const kept = worthwhile.map(({ thresholds }) => thresholds);
  const run = await tally(0, split.grid, score, kept);
  return { ...startSequence(run, worthwhile, split, settings), score, exitCosts: costs };
}

/** About how many tokens of the grid split scores are compared on. */
const COMPARED_TOKENS = 12_000;

/**
 * Proposes candidates of the score asked for. For "best", proposes some of every score from the first documents of the
 * grid split, and keeps the score with the lowest expected cost.
 */
async function proposeCandidates(
  { subject, documents, table }: Evidence,
  { grid, test }: Split,
  settings: CertifySettings,
): Promise<Proposal> {
  const testsNever = judgedBy(subject).reference.kind === "other";
  const proposeWith = async (score: ScoreName, end: number): Promise<Proposal> => {
    const costs = costsWith(score, subject, settings);
    return propose(await table(0, end, score), score, costs, test, { ...settings, testsNever });
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

function costsWith(score: ScoreName, subject: Evidence["subject"], { fill, costs }: CertifySettings): ExitCosts {
  return exitCosts(subject, { fill, score, times: costs });
}

function propose(
  grid: TokenTable,
  score: ScoreName,
  costs: ExitCosts,
  test: number,
  settings: CertifySettings & { readonly testsNever: boolean },
): Proposal {
  const { epsilon, delta, claim, unit, candidates: count, testsNever, exits } = settings;
  if (claim === "selective") {
    const candidates = proposeSelective(grid, costs, { epsilon, count });
    const sequence = planSelective(grid, candidates, costs, { epsilon, delta, documents: test, unit });
    const proposed = sequence.vectors.map((thresholds, i) => ({ thresholds, cost: sequence.costs[i]! }));
    return { sequence: { ...sequence, score, exitCosts: costs }, proposed };
  }
  // A document changes as soon as one of its tokens does: its slack is divided by the mean number of tokens.
  const meanTokens = grid.starts[grid.documents]! / grid.documents;
  const slack = claim === "overall" ? epsilon : epsilon / Math.max(1, meanTokens);
  const proposed: readonly PricedVector[] = [
    ...(testsNever ? [{ thresholds: grid.oriented.map(() => Infinity), cost: costs.full }] : []),
    ...(exits ? proposeOverall(grid, costs, { epsilon: slack, count }) : []),
  ];
  const vectors = proposed.map(({ thresholds }) => thresholds);
  const sequence = startSequence(tallyVectors(grid, vectors), proposed, { test }, settings);
  return { sequence: { ...sequence, score, exitCosts: costs }, proposed };
}

/** Where the sequence starts, from what the candidates do on the grid split. */
function startSequence(
  grid: Tally,
  candidates: readonly PricedVector[],
  { test }: Pick<Split, "test">,
  { epsilon, delta, claim, unit, bound }: CertifySettings,
): TestSequence {
  const expected = { epsilon, delta, documents: test };
  if (claim !== "selective") return planOverall(grid, candidates, { ...expected, bound, losses: lossesOf(claim) });
  const vectors = candidates.map(({ thresholds }) => thresholds);
  const costs = candidates.map(({ cost }) => cost);
  return startSelective(grid, vectors, costs, { ...expected, unit });
}
