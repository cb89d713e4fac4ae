/**
 * The adaptive draft plan goes on while another draft, or the next few together, are worth their cost:
 *
 *     P · P(an exit fires) · α   >   rate · cost of trying
 *
 * P is the probability that all drafts so far are accepted, α that the next one is, and `rate` the tokens per unit of
 * cost that decoding reached lately (Dinkelbach 1967: where the ratio of two expectations is largest, no step gains
 * more than the ratio times its cost). The cost of a draft depends on how many rows the verification will have
 * (draft-plan.ts). Acceptance is counted per exit and per class of the head's own probability, which also gives the
 * prior. The plan uses no clock and no random numbers, so the same run always makes the same decisions.
 */
import { costOfRows, type UnitCosts } from "../cost/index.js";
import { type Draft, draftCost, type DraftPlan, probabilityOf } from "./draft-plan.js";

/** Bounds of the classes of the head's own probability. */
const CLASS_BOUNDS = [0.1, 0.2, 0.4, 0.8];

/** Number of drafts that the prior counts as. */
const PRIOR = 4;

/** Weight of a round relative to the round after it. */
const MEMORY = 0.99;

/** Drafts to look ahead: if kernels take rows in pairs, one more row may be worth it only together with the next. */
const LOOK_AHEAD = 3;

/**
 * Rounds without a draft after which one is tried, so that a plan that gave up can still learn. The pause doubles each
 * time that drafting still does not look worth it, up to the longest one.
 */
const FIRST_PAUSE = 4;
const LONGEST_PAUSE = 64;

/** Makes the adaptive plan of one sequence. */
export function adaptivePlan(numLayers: number, costs: UnitCosts): DraftPlan {
  const plain = numLayers * costOfRows(costs.block, 1) + costOfRows(costs.finalHead, 1);
  const acceptance = acceptanceCounts();
  const allHeads = refusalCost(costs, costs.heads.length);

  // Sums over the rounds in which drafting was tried (tokens and cost: over all rounds), older rounds weighing less.
  // They start as if a few rounds had gone by with one accepted draft each, from half the depth.
  const sums = {
    attempts: 2,
    drafts: 2,
    depth: numLayers,
    evaluated: allHeads,
    tested: 2,
    accepted: 1.6,
    tokens: 0,
    cost: 0,
  };
  let attempts = 0; // in this round
  let idle = 0; // rounds without an attempt
  let pause = FIRST_PAUSE;

  const add = (name: keyof typeof sums, value: number): void => {
    sums[name] = MEMORY * sums[name] + value;
  };

  /** Whether the next draft, or the next few together, can be expected to gain more than they cost. */
  const isWorthTrying = (drafts: readonly Draft[]): boolean => {
    const fires = sums.drafts / sums.attempts;
    const rate = Math.max(1 / plain, sums.cost > 0 ? sums.tokens / sums.cost : 0);
    const meanDepth = sums.depth / sums.drafts;
    const meanHeads = sums.evaluated / sums.drafts;
    let reached = 1; // probability that drafting gets this far
    let alive = drafts.reduce((product, draft) => product * acceptance.of(draft), 1); // and that all is accepted
    let gain = 0;
    let cost = 0;
    for (let n = drafts.length + 1; n <= drafts.length + LOOK_AHEAD; n++) {
      const fired = meanHeads + draftCost(numLayers, costs, meanDepth, n);
      cost += reached * (fires * fired + (1 - fires) * allHeads);
      reached *= fires;
      alive *= fires * (sums.accepted / sums.tested);
      gain += alive;
      if (gain > rate * cost) return true;
    }
    return false;
  };

  /** Whether the pause since the last attempt is over. If so, the next pause is longer. */
  const endsPause = (): boolean => {
    if (idle < pause) return false;
    pause = Math.min(2 * pause, LONGEST_PAUSE);
    return true;
  };

  return {
    more(drafts) {
      let tries = isWorthTrying(drafts);
      if (drafts.length === 0) {
        if (tries) pause = FIRST_PAUSE;
        else tries = endsPause();
      }
      if (tries) attempts++;
      return tries;
    },

    keeps: () => true,

    learn(drafts, accepted) {
      const tested = drafts.slice(0, accepted + 1); // rows after a rejected draft say nothing about later drafts
      acceptance.count(tested, accepted);

      const evaluated = drafts.map((draft) => headsCost(costs, draft));
      const draftsCost = drafts.reduce(
        (sum, { depth }, i) => sum + (evaluated[i]! + draftCost(numLayers, costs, depth, i + 1)),
        0,
      );
      if (attempts > 0) {
        add("attempts", attempts);
        add("drafts", drafts.length);
        add("depth", sumOf(drafts.map(({ depth }) => depth)));
        add("evaluated", sumOf(evaluated));
        add("tested", tested.length);
        add("accepted", accepted);
      }
      add("tokens", accepted + 1);
      add("cost", plain + draftsCost + (attempts - drafts.length) * allHeads);
      idle = attempts > 0 ? 0 : idle + 1;
      attempts = 0;
    },
  };
}

/** Counts that estimate acceptance. */
interface AcceptanceCounts {
  /** The estimated probability that a draft is accepted if those before it are. */
  of(draft: Draft): number;
  /** Counts the drafts of a round that were tested: the first `accepted` of them were accepted. */
  count(tested: readonly Draft[], accepted: number): void;
}

/** How often drafts are accepted, by exit and by class of the head's own probability. */
function acceptanceCounts(): AcceptanceCounts {
  const classes = new Map<number, { tested: number; accepted: number }>();
  const classOf = (draft: Draft): number => {
    const exit = 1 + (draft.exit ?? -1); // 0 for drafts that no exit made
    return (CLASS_BOUNDS.length + 1) * exit + CLASS_BOUNDS.filter((bound) => probabilityOf(draft) >= bound).length;
  };
  return {
    of(draft) {
      const { tested = 0, accepted = 0 } = classes.get(classOf(draft)) ?? {};
      // The prior is the square root of the probability: an argmax is the full model's token more often than its
      // probability says, which it shares with many tokens that lose.
      return (accepted + PRIOR * Math.sqrt(probabilityOf(draft))) / (tested + PRIOR);
    },
    count(tested, accepted) {
      for (const [i, draft] of tested.entries()) {
        const counts = classes.get(classOf(draft)) ?? { tested: 0, accepted: 0 };
        counts.tested++;
        if (i < accepted) counts.accepted++;
        classes.set(classOf(draft), counts);
      }
    },
  };
}

/** Cost of the first `exits` exits if none fires. */
function refusalCost({ heads }: UnitCosts, exits: number): number {
  return sumOf(heads.slice(0, exits));
}

/** Cost of the heads evaluated for a draft: the exits before it that did not fire, and its own. */
function headsCost(costs: UnitCosts, { exit }: Draft): number {
  if (exit === undefined) return 0;
  return refusalCost(costs, exit) + costs.heads[exit]!;
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
