/** The result of tuning: settings of lossless decoding, as a plain object that JSON can hold. */
import { PolicyError } from "../../errors.js";
import type { UnitCosts } from "../../exits/cost/index.js";
import type { DraftAcceptance, DraftLengthOptions } from "../../exits/draft/index.js";
import { checkPolicy, type Policy } from "../../exits/plan/index.js";
import type { DraftingOutcome } from "./play-drafting.js";

/** Settings of lossless decoding: `generate(heads, prompt, { policy, lossless })`. */
export interface TunedDrafting {
  readonly format: "early-exits/drafting";
  readonly version: 1;
  readonly policy: Policy;
  readonly lossless: Required<Omit<DraftLengthOptions, "acceptance">> & Pick<DraftLengthOptions, "acceptance">;
  /** What was replayed on the recorded texts. */
  readonly expected: DraftingOutcome;
}

/**
 * Reads tuned drafting from parsed JSON. Returns undefined if the JSON is something else, such as a policy. Throws a
 * PolicyError if it is malformed.
 */
export function draftingFrom(json: unknown): TunedDrafting | undefined {
  const drafting = json as Partial<TunedDrafting> | null;
  if (typeof drafting !== "object" || drafting?.format !== "early-exits/drafting") return undefined;
  if (drafting.version !== (1 as number)) {
    throw new PolicyError(
      "policy-version",
      `drafting: version ${JSON.stringify(drafting.version)} is not supported, only 1; update the library`,
      { version: drafting.version },
    );
  }
  checkPolicy(drafting.policy);
  const costs = drafting.lossless?.costs as Partial<UnitCosts> | undefined;
  if (!priced(costs?.block) || !priced(costs?.finalHead) || costs?.heads?.length !== drafting.policy?.exits.length) {
    throw new PolicyError(
      "policy-costs",
      "drafting: lossless.costs must price block and finalHead by rows, and every head; tune again",
    );
  }
  const acceptance = drafting.lossless?.acceptance as Partial<DraftAcceptance> | undefined;
  if (
    acceptance !== undefined &&
    !(acceptance.exits?.length === drafting.policy?.exits.length && Number.isFinite(acceptance.rate))
  ) {
    throw new PolicyError(
      "policy-acceptance",
      "drafting: lossless.acceptance must have a rate, and classes for every exit; tune again",
    );
  }
  return drafting as TunedDrafting;
}

/** Whether a value is a list of costs by rows. */
function priced(points: unknown): boolean {
  if (!Array.isArray(points) || points.length === 0) return false;
  return points.every(
    (point: { rows?: unknown; cost?: unknown } | null) => Number.isInteger(point?.rows) && Number.isFinite(point?.cost),
  );
}
