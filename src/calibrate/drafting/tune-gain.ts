/**
 * Fits drafting by expected gain (exits/draft/draft-gain.ts) on recorded texts. For a rate in tokens per unit of cost:
 *   classes     an exit's scores are divided into classes with about equally many tries; the agreement of each class is
 *               made monotone in the score (pool adjacent violators, Ayer et al. 1955)
 *   threshold   the start of the first class in which a draft is worth its cost: agreement > rate · cost of a draft
 * Exits are fitted from shallow to deep, each on the tries at which no earlier exit fires. Replaying the result gives a
 * better rate, and so on (Dinkelbach's iteration); a few rounds suffice.
 */
import { type AcceptanceClass, type DraftAcceptance, draftCost } from "../../exits/draft/index.js";
import { exitFires, scoreAt, type ScoreName, orientScore, type Threshold } from "../../exits/heads/index.js";
import { costOfRows, type UnitCosts } from "../../exits/cost/index.js";
import { type DraftingOutcome, draftsOf, playPlans } from "./play-drafting.js";
import type { DraftingRecords } from "./record-drafting.js";

export interface TunedGain {
  readonly thresholds: readonly Threshold[];
  readonly acceptance: DraftAcceptance;
  readonly outcome: DraftingOutcome;
}

const CLASSES = 12;
/** The minimum number of tries per class; with fewer, the counts mean little. */
const LEAST_TRIES = 8;
const ROUNDS = 6;

/** Returns the best of a few rounds, for a score and the exits that may draft. */
export function tuneGain(
  records: DraftingRecords,
  score: ScoreName,
  used: readonly boolean[],
  costs: UnitCosts,
): TunedGain {
  const { depths, numLayers } = records;
  const drafts = draftsOf(records, score);
  const tries = depths.map((_, exit) => triesOf(records, exit, score));
  let rate = 1 / (numLayers * costOfRows(costs.block, 1) + costOfRows(costs.finalHead, 1));
  let best: TunedGain | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    let open = tries[0]!.map((_, i) => i);
    const thresholds: Threshold[] = [];
    const exits: AcceptanceClass[][] = [];
    for (const [exit, depth] of depths.entries()) {
      const remaining = open.map((i) => tries[exit]![i]!);
      const classes = used[exit]! && depth < numLayers ? classesOf(remaining, tries[exit]!.length, score) : [];
      const price = rate * draftCost(numLayers, costs, depth, 1);
      const threshold = classes.find(({ accepted }) => accepted > price)?.from ?? "never";
      thresholds.push(threshold);
      exits.push(threshold === "never" ? [] : classes);
      open = open.filter((i) => !exitFires(tries[exit]![i]!.score, threshold, score));
    }
    const acceptance: DraftAcceptance = { score, rate, exits };
    const policy = { score, exits: depths.map((depth, exit) => ({ depth, threshold: thresholds[exit]! })) };
    const outcome = playPlans(records, drafts, policy, { acceptance, costs });
    if (best === undefined || outcome.cost < best.outcome.cost) best = { thresholds, acceptance, outcome };
    rate = outcome.tokens / outcome.cost;
  }
  return best!;
}

interface Try {
  readonly score: number;
  readonly agrees: number;
}

/** Returns an exit's score and agreement at every position that is followed by a new token. */
function triesOf({ documents, starts }: DraftingRecords, exit: number, score: ScoreName): Try[] {
  return documents.flatMap(({ positions, exits }, d) => {
    const record = exits[exit]!;
    return Array.from({ length: positions - starts[d]! }, (_, i): Try => ({
      score: scoreAt(record, starts[d]! + i, score),
      agrees: record.agrees[starts[d]! + i]!,
    }));
  });
}

/** Returns classes of `tries`, from the least to the most confident; their shares are of `total`. */
function classesOf(tries: readonly Try[], total: number, name: ScoreName): AcceptanceClass[] {
  const sorted = tries
    .filter(({ score }) => !Number.isNaN(score))
    .sort((a, b) => orientScore(a.score, name) - orientScore(b.score, name));
  const count = Math.min(CLASSES, Math.floor(sorted.length / LEAST_TRIES));
  const pools: Pool[] = [];
  for (let c = 0; c < count; c++) {
    const first = Math.floor((c * sorted.length) / count);
    const end = Math.floor(((c + 1) * sorted.length) / count);
    const agreed = sorted.slice(first, end).reduce((sum, { agrees }) => sum + agrees, 0);
    let pool: Pool = { first, size: end - first, agreed };
    while (pools.length > 0 && !isBelow(pools.at(-1)!, pool)) {
      const before = pools.pop()!;
      pool = { first: before.first, size: before.size + pool.size, agreed: before.agreed + pool.agreed };
    }
    pools.push(pool);
  }
  // Half a try is added to each outcome, so that no class claims an agreement of 0 or 1.
  return pools.map(({ first, size, agreed }, i) => ({
    from: i === 0 ? "always" : sorted[first]!.score,
    share: size / total,
    accepted: (agreed + 0.5) / (size + 1),
  }));
}

/** Neighbouring tries that form one class. */
interface Pool {
  readonly first: number;
  readonly size: number;
  readonly agreed: number;
}

/** Whether the first pool agrees less often than the second. */
function isBelow(before: Pool, pool: Pool): boolean {
  return before.agreed * pool.size < pool.agreed * before.size;
}
