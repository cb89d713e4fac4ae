/**
 * Drafting by expected gain (exits/draft-gain.ts), fitted on recorded greedy texts. For a rate of tokens per unit of
 * cost, an exit's scores fall into classes of equally many tries; how often each agreed, made monotone (pool adjacent
 * violators, Ayer et al. 1955), says from which class on a first draft is worth its cost: the exit's threshold. Exits
 * come shallow to deep, each counted where those before it do not fire. Playing that gives a better rate, and so on
 * (Dinkelbach's iteration): a few rounds suffice.
 */
import { type AcceptanceClass, type DraftAcceptance, draftCost } from "../../exits/draft/index.js";
import { exitFires, scoreAt, type ScoreName, orientScore, type Threshold } from "../../exits/heads/index.js";
import { costOfRows, type UnitCosts } from "../../exits/cost/index.js";
import { type DraftingOutcome, type DraftingRecords, draftsOf, playPlans } from "./play-drafting.js";

export interface TunedGain {
  readonly thresholds: readonly Threshold[];
  readonly acceptance: DraftAcceptance;
  readonly outcome: DraftingOutcome;
}

const CLASSES = 12;
/** A class has at least so many tries, or the counts say little. */
const LEAST = 8;
const ROUNDS = 6;

/** The best of a few rounds, for a score and the exits that may draft. */
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
      const classes =
        used[exit]! && depth < numLayers
          ? classesOf(
              open.map((i) => tries[exit]![i]!),
              tries[exit]!.length,
              score,
            )
          : [];
      const price = rate * draftCost(numLayers, costs, depth, 1);
      const threshold = classes.find(({ accepted }) => accepted > price)?.from ?? "never";
      thresholds.push(threshold);
      exits.push(threshold === "never" ? [] : classes);
      open = open.filter((i) => !exitFires(tries[exit]![i]!.score, threshold, score));
    }
    const acceptance: DraftAcceptance = { score, rate, exits };
    const outcome = playPlans(
      records,
      drafts,
      { score, exits: depths.map((depth, exit) => ({ depth, threshold: thresholds[exit]! })) },
      { acceptance, costs },
    );
    if (best === undefined || outcome.cost < best.outcome.cost) best = { thresholds, acceptance, outcome };
    rate = outcome.tokens / outcome.cost;
  }
  return best!;
}

interface Try {
  readonly score: number;
  readonly agrees: number;
}

/** What an exit said at every position that is followed by a new token. */
function triesOf({ documents, starts }: DraftingRecords, exit: number, score: ScoreName): Try[] {
  return documents.flatMap(({ positions, exits }, d) => {
    const record = exits[exit]!;
    return Array.from({ length: positions - starts[d]! }, (_, i): Try => ({
      score: scoreAt(record, starts[d]! + i, score),
      agrees: record.agrees[starts[d]! + i]!,
    }));
  });
}

/** Classes of `tries`, from the least sure to the surest; their shares are of `total`. */
function classesOf(tries: readonly Try[], total: number, name: ScoreName): AcceptanceClass[] {
  const sorted = tries
    .filter(({ score }) => !Number.isNaN(score))
    .sort((a, b) => orientScore(a.score, name) - orientScore(b.score, name));
  const count = Math.min(CLASSES, Math.floor(sorted.length / LEAST));
  const pools: { first: number; size: number; agreed: number }[] = [];
  for (let c = 0; c < count; c++) {
    const first = Math.floor((c * sorted.length) / count);
    const end = Math.floor(((c + 1) * sorted.length) / count);
    let pool = {
      first,
      size: end - first,
      agreed: sorted.slice(first, end).reduce((sum, { agrees }) => sum + agrees, 0),
    };
    for (
      let before = pools.at(-1);
      before !== undefined && before.agreed * pool.size >= pool.agreed * before.size;
      before = pools.at(-1)
    ) {
      pools.pop();
      pool = { first: before.first, size: before.size + pool.size, agreed: before.agreed + pool.agreed };
    }
    pools.push(pool);
  }
  // One half of a try is added to each side: no class is sure beyond what was seen of it.
  return pools.map(({ first, size, agreed }, i) => ({
    from: i === 0 ? "always" : sorted[first]!.score,
    share: size / total,
    accepted: (agreed + 0.5) / (size + 1),
  }));
}
