/**
 * Drafting tuned for time per token: score, thresholds and draft length of lossless decoding that cost least on recorded greedy texts of
 * the full model (play-drafting.ts), at costs measured on this machine. No clock decides, so the same recording and costs give the same
 * answer. Thresholds are found one exit at a time, over quantiles of its scores, until none changes, from several beginnings, one exit that
 * always drafts among them (what LayerSkip tunes): not the global optimum, a good point. What it promises is of these texts; judge it on
 * others.
 */
import { PolicyError } from "../errors.js";
import type { DraftLengthOptions } from "../exits/draft-length.js";
import type { ExitHeads } from "../exits/heads.js";
import { checkPolicy, createPolicy, type Policy } from "../exits/policy.js";
import type { ScoreName, Threshold } from "../exits/score.js";
import type { UnitCosts } from "../exits/unit-costs.js";
import { measureUnitTimes } from "../exits/unit-times.js";
import { type DraftingOutcome, type DraftingRecords, draftsOf, playPlans, recordDrafting, type RecordDraftingOptions } from "./play-drafting.js";
import { flatten } from "./record.js";

export interface TuneDraftingOptions extends RecordDraftingOptions {
  /** Scores tried: the first with every way to end a draft, the others with the best of these. @default all that the heads have, from maxProb on */
  readonly scores?: readonly ScoreName[];
  /** In any one unit. @default measured here and now, in milliseconds */
  readonly costs?: UnitCosts;
}

/** Settings of lossless decoding: `generate(heads, prompt, { policy, lossless })`. */
export interface TunedDrafting {
  readonly format: "early-exits/drafting";
  readonly version: 1;
  readonly policy: Policy;
  readonly lossless: Required<DraftLengthOptions>;
  /** On the recorded texts. */
  readonly expected: DraftingOutcome;
}

type Length = Omit<DraftLengthOptions, "costs">;

/** Ways to end a draft. The adaptive one learns on, so another must beat it by more than chance would let it on other texts. */
const LENGTHS: readonly Length[] = [
  { draftLimit: "adaptive" }, ...[1, 2, 3, 4, 5, 6, 8].map((draftLimit) => ({ draftLimit })), ...[0.15, 0.25, 0.35, 0.5, 0.65, 0.8].map((minProduct) => ({ draftLimit: 8, minProduct })),
];
const WORTH_A_CHANGE = 0.99;
const QUANTILES = 12;
const PASSES = 4;

/** Tunes drafting on texts that the full model writes after prompts. Throws an OptionError where they give nothing to draft. */
export async function tuneDrafting(heads: ExitHeads, prompts: readonly (string | readonly number[])[], { scores, costs, ...options }: TuneDraftingOptions = {}): Promise<TunedDrafting> {
  const records = await recordDrafting(heads, prompts, options);
  return cheapestDrafting(heads, records, costs ?? (await measureUnitTimes(heads)), scores);
}

/** The cheapest settings found on records of these heads. */
export function cheapestDrafting(heads: ExitHeads, records: DraftingRecords, { block, heads: evaluated, gates, finalHead }: UnitCosts, scores: readonly ScoreName[] = ["maxProb", ...heads.scores.filter((name) => name !== "maxProb")]): TunedDrafting {
  const costs = { block, heads: evaluated, ...(heads.scores.includes("gate") && { gates }), finalHead };
  const tune = createSearch(records, costs);
  const [first, ...others] = scores;
  const cheaper = (best: Tuned, one: Tuned): Tuned => (one.outcome.cost < WORTH_A_CHANGE * best.outcome.cost ? one : best);
  const byLength = LENGTHS.map((length) => tune(first ?? "maxProb", length));
  const ended = byLength.slice(1).reduce((best, one) => (one.outcome.cost < best.outcome.cost ? one : best), byLength[1]!);
  const { score, thresholds, length, outcome } = others.reduce((best, name) => cheaper(best, tune(name, best.length)), cheaper(byLength[0]!, ended));
  const { modelHash, headsHash } = records;
  const pays = outcome.cost < outcome.plainCost;
  return {
    format: "early-exits/drafting", version: 1, expected: outcome,
    policy: { ...createPolicy(heads, thresholds, { score }), modelHash, headsHash },
    lossless: { draftLimit: pays ? (length.draftLimit ?? "adaptive") : 0, minProduct: length.minProduct ?? 0, costs },
  };
}

/** Tuned drafting from parsed JSON; undefined where it is something else (a policy). Throws a PolicyError where it is malformed. */
export function draftingFrom(json: unknown): TunedDrafting | undefined {
  const drafting = json as Partial<TunedDrafting> | null;
  if (typeof drafting !== "object" || drafting?.format !== "early-exits/drafting") return undefined;
  if (drafting.version !== (1 as number)) throw new PolicyError("policy-version", `drafting: version ${JSON.stringify(drafting.version)} is not supported, only 1; update the library`, { version: drafting.version });
  checkPolicy(drafting.policy);
  const costs = drafting.lossless?.costs as Partial<UnitCosts> | undefined;
  const priced = (points: unknown): boolean => Array.isArray(points) && points.length > 0 && points.every((point: { rows?: unknown; cost?: unknown } | null) => Number.isInteger(point?.rows) && Number.isFinite(point?.cost));
  if (!priced(costs?.block) || !priced(costs?.finalHead) || costs?.heads?.length !== drafting.policy?.exits.length) throw new PolicyError("policy-costs", "drafting: lossless.costs should price block and finalHead by rows, and every head; tune again");
  return drafting as TunedDrafting;
}

interface Tuned {
  readonly score: ScoreName;
  readonly thresholds: readonly Threshold[];
  readonly length: Length;
  readonly outcome: DraftingOutcome;
}

/** A search over thresholds, for a score and a way to end drafts. */
function createSearch(records: DraftingRecords, costs: UnitCosts): (score: ScoreName, length: Length) => Tuned {
  const drafts = draftsOf(records);
  const { depths } = records;
  return (score, length) => {
    const grids = depths.map((_, exit): readonly Threshold[] => ["never", "always", ...quantiles(flatten(records, exit, score).scores)]);
    const play = (thresholds: readonly Threshold[]): Tuned => {
      const exits = depths.map((depth, exit) => ({ depth, threshold: thresholds[exit]! }));
      return { score, thresholds, length, outcome: playPlans(records, drafts, { score, exits }, { ...length, costs }) };
    };
    const descend = (thresholds: readonly Threshold[]): Tuned => {
      let chosen = play(thresholds);
      for (let pass = 0, changed = true; changed && pass < PASSES; pass++) {
        changed = false;
        for (const [exit, grid] of grids.entries()) {
          for (const threshold of grid) {
            const tried = play(chosen.thresholds.map((old, i) => (i === exit ? threshold : old)));
            if (tried.outcome.cost < chosen.outcome.cost) [chosen, changed] = [tried, true];
          }
        }
      }
      return chosen;
    };
    const beginnings = [grids.map((grid) => grid[2 + (QUANTILES >> 1)]!), ...depths.map((_, exit) => depths.map((_depth, i): Threshold => (i === exit ? "always" : "never")))];
    return beginnings.map(descend).reduce((best, one) => (one.outcome.cost < best.outcome.cost ? one : best));
  };
}

function quantiles(scores: Float64Array): number[] {
  const sorted = scores.toSorted();
  return Array.from({ length: QUANTILES }, (_, i) => sorted[Math.floor(((i + 0.5) * sorted.length) / QUANTILES)]!);
}
