/**
 * How long to draft. Before every draft of a round a `DraftPlan` is asked whether to try one more; at the round's end
 * it learns how many were accepted. Too few waste a verification, too many waste drafts: at acceptance α, γ drafts
 * yield (1 - α^(γ+1)) / (1 - α) tokens a round. The adaptive plan goes on while another draft is worth its cost. With P
 * = probability that all drafts so far are accepted, it is where
 *     P · P(an exit fires) · α   >   rate · cost of trying,
 * `rate` being the tokens per unit of cost that decoding reached lately (Dinkelbach 1967: where the ratio of two
 * expectations is largest, no step gains more than the ratio times its cost); or where the next few together are. Costs
 * depend on how many rows the verification will have. Acceptance is counted per exit and class of the head's own
 * probability, from which its prior comes. No clock and no chance: the same run plans alike.
 */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import { type DraftAcceptance, gainPlans } from "./draft-gain.js";
import { type Draft, draftCost, type DraftPlan } from "./draft-plan.js";
import { costOfRows, type UnitCosts } from "../cost/index.js";

export interface DraftLengthOptions {
  /** Drafts per round at most; "adaptive" chooses online. @default "adaptive" */
  readonly draftLimit?: number | "adaptive";
  /** Drafting ends where the product of the heads' own probabilities of their drafts is below this. @default 0 */
  readonly minProduct?: number;
  /**
   * For "adaptive", in any one unit: `measureUnitTimes` measures them. @default multiply-adds, a further row costing
   * .28 of the first
   */
  readonly costs?: UnitCosts;
  /**
   * For "adaptive": how often drafts are accepted, by score, as `tuneDrafting` counted it with the same heads and
   * costs. @default learned while writing
   */
  readonly acceptance?: DraftAcceptance;
}

/**
 * A maker of plans, one for each sequence; the exits' depths matter with `acceptance` only. Throws an OptionError where
 * an option is out of range.
 */
export function draftPlans(
  numLayers: number,
  costs: UnitCosts,
  { draftLimit = "adaptive", minProduct = 0, acceptance }: DraftLengthOptions,
  depths: readonly number[] = [],
): () => DraftPlan {
  requireNumber("lossless: minProduct", minProduct, 0, 1);
  const limit =
    draftLimit === "adaptive"
      ? undefined
      : fixedPlan(draftLimit === Infinity ? draftLimit : requireInteger("lossless: draftLimit", draftLimit, 0));
  if (acceptance !== undefined && acceptance.exits.length !== depths.length) {
    throw new OptionError(
      "option-range",
      `lossless: acceptance speaks of ${acceptance.exits.length} exits, there are ${depths.length}; tune ` +
        "drafting for these heads (tuneDrafting)",
      { acceptance: acceptance.exits.length, exits: depths.length },
    );
  }
  const adaptive =
    acceptance === undefined ? () => adaptivePlan(numLayers, costs) : gainPlans(numLayers, depths, costs, acceptance);
  return () => {
    const plan = limit ?? adaptive();
    if (minProduct === 0) return plan;
    return {
      ...plan,
      more: (drafts) =>
        drafts.reduce((product, draft) => product * probabilityOf(draft), 1) >= minProduct && plan.more(drafts),
    };
  };
}

function fixedPlan(limit: number): DraftPlan {
  return { more: (drafts) => drafts.length < limit, keeps: () => true, learn: () => undefined };
}

/**
 * A head's own probability of its most likely token: not of the token drawn, at which the decision to go on need not
 * look.
 */
function probabilityOf({ confidence }: Draft): number {
  return confidence === undefined ? 1 : Math.exp(confidence.top1 - confidence.logSumExp);
}

const CLASSES = [0.1, 0.2, 0.4, 0.8]; // bounds of the classes of probability
const PRIOR = 4; // drafts that the prior counts for
const MEMORY = 0.99; // weight of a round one round later
const AHEAD = 3; // drafts looked ahead: a row more may pay only with the next one, where kernels take rows in pairs
// rounds without a draft after which one is tried, lest a plan that gave up never learns; twice as many each time in
// vain
const PROBE = 4;
const LONGEST_PAUSE = 64;

function adaptivePlan(numLayers: number, costs: UnitCosts): DraftPlan {
  const { block, heads, gates, finalHead } = costs;
  const plain = numLayers * costOfRows(block, 1) + costOfRows(finalHead, 1);
  // An exit that refuses costs its gate, where gates decide, or else its head; one that drafts, its head too.
  const refusals = (exits: number): number => (gates ?? heads).slice(0, exits).reduce((sum, cost) => sum + cost, 0);
  const allHeads = refusals(heads.length);
  const headsOf = ({ exit }: Draft): number =>
    exit === undefined ? 0 : refusals(exit) + (gates?.[exit] ?? 0) + heads[exit]!;
  /** Of draft number n: the blocks below its exit once more, its heads, and one more row in the verification. */
  const costOf = (depth: number, evaluated: number, n: number): number =>
    evaluated + draftCost(numLayers, costs, depth, n);

  const tests = new Map<number, { tested: number; accepted: number }>();
  const classOf = (draft: Draft): number =>
    (CLASSES.length + 1) * (1 + (draft.exit ?? -1)) + CLASSES.filter((bound) => probabilityOf(draft) >= bound).length;
  const acceptance = (draft: Draft): number => {
    const { tested = 0, accepted = 0 } = tests.get(classOf(draft)) ?? {};
    // The prior is a square root: an argmax is the full model's more often than its probability, shared with many
    // losers, says.
    return (accepted + PRIOR * Math.sqrt(probabilityOf(draft))) / (tested + PRIOR);
  };
  // Sums over rounds, older ones weighing less. They begin as if a few rounds had gone with one accepted draft each, at
  // half the depth.
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
  let attempts = 0;
  let idle = 0;
  let pause = PROBE;

  return {
    more(drafts) {
      const fires = sums.drafts / sums.attempts;
      const rate = Math.max(1 / plain, sums.cost > 0 ? sums.tokens / sums.cost : 0);
      let reached = 1;
      let alive = drafts.reduce((product, draft) => product * acceptance(draft), 1);
      let gain = 0;
      let cost = 0;
      let worth = false;
      for (let n = drafts.length + 1; n <= drafts.length + AHEAD && !worth; n++) {
        cost +=
          reached *
          (fires * costOf(sums.depth / sums.drafts, sums.evaluated / sums.drafts, n) + (1 - fires) * allHeads);
        reached *= fires;
        alive *= fires * (sums.accepted / sums.tested);
        gain += alive;
        worth = gain > rate * cost;
      }
      if (drafts.length === 0) {
        if (worth) pause = PROBE;
        else if (idle >= pause) [worth, pause] = [true, Math.min(2 * pause, LONGEST_PAUSE)];
      }
      if (worth) attempts++;
      return worth;
    },

    keeps: () => true,

    learn(drafts, accepted) {
      const tested = Math.min(drafts.length, accepted + 1);
      drafts.slice(0, tested).forEach((draft, i) => {
        const count = tests.get(classOf(draft)) ?? { tested: 0, accepted: 0 };
        tests.set(classOf(draft), { tested: count.tested + 1, accepted: count.accepted + Number(i < accepted) });
      });
      const add = (name: keyof typeof sums, value: number): void => void (sums[name] = MEMORY * sums[name] + value);
      if (attempts > 0) {
        add("attempts", attempts);
        add("drafts", drafts.length);
        add(
          "depth",
          drafts.reduce((sum, { depth }) => sum + depth, 0),
        );
        add(
          "evaluated",
          drafts.reduce((sum, draft) => sum + headsOf(draft), 0),
        );
        add("tested", tested);
        add("accepted", accepted);
      }
      add("tokens", accepted + 1);
      add(
        "cost",
        plain +
          drafts.reduce((sum, draft, i) => sum + costOf(draft.depth, headsOf(draft), i + 1), 0) +
          (attempts - drafts.length) * allHeads,
      );
      idle = attempts > 0 ? 0 : idle + 1;
      attempts = 0;
    },
  };
}
