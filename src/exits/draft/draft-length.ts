/**
 * How long to draft. Too few drafts waste a verification, too many waste drafts: at acceptance α, γ drafts yield
 *     (1 - α^(γ+1)) / (1 - α)
 * tokens a round. The options choose a fixed limit, a plan that adapts while it decodes (adaptive-plan.ts), or one that
 * knows how often drafts are accepted (draft-gain.ts).
 */
import { OptionError, requireInteger, requireNumber } from "../../errors.js";
import type { UnitCosts } from "../cost/index.js";
import { adaptivePlan } from "./adaptive-plan.js";
import { type DraftAcceptance, gainPlans } from "./draft-gain.js";
import { type DraftPlan, probabilityOf } from "./draft-plan.js";

export interface DraftLengthOptions {
  /** Most drafts per round; "adaptive" chooses online. @default "adaptive" */
  readonly draftLimit?: number | "adaptive";
  /** Drafting ends when the product of the heads' own probabilities of their drafts is below this. @default 0 */
  readonly minProduct?: number;
  /**
   * For "adaptive": costs in any one unit, such as `measureUnitTimes` measures. @default multiply-adds, with a further
   * row at 0.28 of the first
   */
  readonly costs?: UnitCosts;
  /**
   * For "adaptive": how often drafts are accepted, by score, as `tuneDrafting` counted with the same heads and costs.
   * @default learned during generation
   */
  readonly acceptance?: DraftAcceptance;
}

/**
 * Returns a function that makes a plan for each sequence. The exits' depths matter only with `acceptance`. Throws an
 * OptionError if an option is out of range.
 */
export function draftPlans(
  numLayers: number,
  costs: UnitCosts,
  options: DraftLengthOptions,
  depths: readonly number[] = [],
): () => DraftPlan {
  const { draftLimit = "adaptive", minProduct = 0, acceptance } = options;
  requireNumber("lossless: minProduct", minProduct, 0, 1);
  if (draftLimit !== "adaptive" && draftLimit !== Infinity) {
    requireInteger("lossless: draftLimit", draftLimit, 0);
  }
  if (acceptance !== undefined && acceptance.exits.length !== depths.length) {
    throw new OptionError(
      "option-range",
      `lossless: acceptance covers ${acceptance.exits.length} exits, there are ${depths.length}; tune drafting for ` +
        "these heads (tuneDrafting)",
      { acceptance: acceptance.exits.length, exits: depths.length },
    );
  }
  const adaptive =
    acceptance === undefined ? () => adaptivePlan(numLayers, costs) : gainPlans(numLayers, depths, costs, acceptance);
  return () => {
    const plan = draftLimit === "adaptive" ? adaptive() : fixedPlan(draftLimit);
    return minProduct === 0 ? plan : withMinProduct(plan, minProduct);
  };
}

function fixedPlan(limit: number): DraftPlan {
  return { more: (drafts) => drafts.length < limit, keeps: () => true, learn: () => undefined };
}

/** The plan, which also stops if the product of the drafts' probabilities is below `minProduct`. */
function withMinProduct(plan: DraftPlan, minProduct: number): DraftPlan {
  return {
    ...plan,
    more(drafts) {
      const probability = drafts.reduce((product, draft) => product * probabilityOf(draft), 1);
      return probability >= minProduct && plan.more(drafts);
    },
  };
}
