/**
 * Tunes drafting for time per token: the score, thresholds and draft length of lossless decoding that cost least when
 * replayed on recorded texts of the full model (play-drafting.ts), with unit costs measured on this machine.
 * Candidates, for every draft length:
 *   expected gain   for every score, from each exit alone and from all exits together (tune-gain.ts)
 *   fixed exit      one exit that always drafts (what LayerSkip tunes)
 * No clock takes part in the choice, so the same recording and costs give the same answer. The expected cost refers to
 * these texts; evaluate it on others.
 */
import type { DraftLengthOptions } from "../../exits/draft/index.js";
import type { ExitHeads, ScoreName, Threshold } from "../../exits/heads/index.js";
import { createPolicy } from "../../exits/plan/index.js";
import type { Prompt } from "../../model/index.js";
import { measureUnitTimes, type UnitCosts } from "../../exits/cost/index.js";
import { type DraftingOutcome, draftsOf, playPlans } from "./play-drafting.js";
import { type DraftingRecords, recordDrafting, type RecordDraftingOptions } from "./record-drafting.js";
import { tuneGain } from "./tune-gain.js";
import type { TunedDrafting } from "./tuned-drafting.js";

export interface TuneDraftingOptions extends RecordDraftingOptions {
  /** Scores to try. @default all scores of the heads */
  readonly scores?: readonly ScoreName[];
  /** Unit costs, in any one unit. @default measured now, in milliseconds */
  readonly costs?: UnitCosts;
}

const FIXED_LENGTHS = [1, 2, 3, 4, 5, 6, 8];

/**
 * Tunes drafting on texts that the full model generates after prompts. Throws an OptionError if they leave nothing to
 * draft.
 */
export async function tuneDrafting(
  heads: ExitHeads,
  prompts: readonly Prompt[],
  { scores, costs, ...options }: TuneDraftingOptions = {},
): Promise<TunedDrafting> {
  const records = await recordDrafting(heads, prompts, options);
  return cheapestDrafting(heads, records, costs ?? (await measureUnitTimes(heads)), scores);
}

/** Returns the cheapest settings found on a recording of these heads. */
export function cheapestDrafting(
  heads: ExitHeads,
  records: DraftingRecords,
  { block, heads: evaluated, finalHead }: UnitCosts,
  scores: readonly ScoreName[] = heads.scores,
): TunedDrafting {
  const costs = { block, heads: evaluated, finalHead };
  const tried = [
    ...fixedExits(records, scores[0] ?? "maxProb", costs),
    ...scores.flatMap((score) => byGain(records, score, costs)),
  ];
  const { score, thresholds, length, outcome } = tried.reduce((best, one) =>
    one.outcome.cost < best.outcome.cost ? one : best,
  );
  const { modelHash, headsHash } = records;
  const pays = outcome.cost < outcome.plainCost;
  return {
    format: "early-exits/drafting",
    version: 1,
    expected: outcome,
    policy: { ...createPolicy(heads, thresholds, { score }), modelHash, headsHash },
    lossless: {
      draftLimit: pays ? (length.draftLimit ?? "adaptive") : 0,
      minProduct: 0,
      costs,
      ...(length.acceptance && { acceptance: length.acceptance }),
    },
  };
}

/** A setting that was tried. */
interface Tried {
  readonly score: ScoreName;
  readonly thresholds: readonly Threshold[];
  readonly length: Omit<DraftLengthOptions, "costs">;
  readonly outcome: DraftingOutcome;
}

/** One exit that always drafts, with each fixed draft length (what LayerSkip tunes) and the adaptive one. */
function fixedExits(records: DraftingRecords, score: ScoreName, costs: UnitCosts): Tried[] {
  const drafts = draftsOf(records, score);
  const { depths } = records;
  return depths.flatMap((_, chosen) =>
    [...FIXED_LENGTHS, "adaptive" as const].map((draftLimit): Tried => {
      const thresholds = depths.map((_depth, exit): Threshold => (exit === chosen ? "always" : "never"));
      const exits = depths.map((depth, exit) => ({ depth, threshold: thresholds[exit]! }));
      const outcome = playPlans(records, drafts, { score, exits }, { draftLimit, costs });
      return { score, thresholds, length: { draftLimit }, outcome };
    }),
  );
}

/** Drafting by expected gain, from each exit alone and from all of them. */
function byGain(records: DraftingRecords, score: ScoreName, costs: UnitCosts): Tried[] {
  const { depths } = records;
  const alone = depths.map((_, chosen) => depths.map((_depth, exit) => exit === chosen));
  const together = depths.length > 1 ? [depths.map(() => true)] : [];
  return [...alone, ...together].map((used): Tried => {
    const { thresholds, acceptance, outcome } = tuneGain(records, score, used, costs);
    return { score, thresholds, length: { acceptance }, outcome };
  });
}
