/** The result of tuning: settings of lossless decoding, as a plain object that JSON can hold. */
import { PolicyError } from "../../errors.js";
import type { UnitCosts } from "../../exits/cost/index.js";
import type { AcceptanceClass, DraftAcceptance, DraftLengthOptions } from "../../exits/draft/index.js";
import { type ScoreName, scoreNames } from "../../exits/heads/index.js";
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
  if (!priced(costs?.block) || !priced(costs?.finalHead) || !isPricedPerExit(costs, drafting.policy)) {
    throw new PolicyError(
      "policy-costs",
      "drafting: lossless.costs must price block and finalHead by rows, and every head; tune again",
    );
  }
  const { draftLimit, minProduct } = drafting.lossless as Partial<DraftLengthOptions>;
  const limited = draftLimit === "adaptive" || (Number.isSafeInteger(draftLimit) && (draftLimit as number) >= 0);
  if (!limited || !isShare(minProduct)) {
    throw new PolicyError(
      "policy-drafts",
      `drafting: lossless.draftLimit is ${JSON.stringify(draftLimit)} and minProduct ${JSON.stringify(minProduct)}; ` +
        'expected "adaptive" or a count, and a share of 1; tune again',
    );
  }
  const acceptance = drafting.lossless?.acceptance as Partial<DraftAcceptance> | undefined;
  if (
    acceptance !== undefined &&
    !(acceptance.exits?.length === drafting.policy?.exits.length && isAcceptance(acceptance))
  ) {
    throw new PolicyError(
      "policy-acceptance",
      "drafting: lossless.acceptance must have a rate, and classes for every exit; tune again",
    );
  }
  return drafting as TunedDrafting;
}

/** Whether a value is a list of costs by rows, ascending by rows. */
function priced(points: unknown): boolean {
  if (!Array.isArray(points) || points.length === 0) return false;
  let before = 0;
  return points.every((point: { rows?: unknown; cost?: unknown } | null) => {
    const rows = Number.isSafeInteger(point?.rows) ? (point!.rows as number) : 0;
    const ascends = rows > before;
    before = rows;
    return ascends && isCost(point?.cost);
  });
}

/** Whether every exit's head has a cost. */
function isPricedPerExit({ heads }: Partial<UnitCosts> = {}, policy: Policy | undefined): boolean {
  return Array.isArray(heads) && heads.length === policy?.exits.length && heads.every(isCost);
}

function isAcceptance({ score, rate, exits }: Partial<DraftAcceptance>): boolean {
  const isClass = (one: Partial<AcceptanceClass> | null): boolean =>
    isThreshold(one?.from) && isShare(one?.share) && isShare(one?.accepted);
  const legal = scoreNames.includes(score as ScoreName) && isCost(rate) && Array.isArray(exits);
  return legal && exits.every((classes: unknown) => Array.isArray(classes) && classes.every(isClass));
}

const isCost = (value: unknown): boolean => typeof value === "number" && Number.isFinite(value) && value >= 0;
const isShare = (value: unknown): boolean => typeof value === "number" && value >= 0 && value <= 1;
const isThreshold = (value: unknown): boolean => value === "always" || value === "never" || Number.isFinite(value);
