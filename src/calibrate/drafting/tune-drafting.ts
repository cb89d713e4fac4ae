/**
 * Drafting tuned for time per token: score, thresholds and draft length of lossless decoding that cost least on
 * recorded texts of the full model (play-drafting.ts), at costs measured on this machine. Candidates are drafting by
 * expected gain (tune-gain.ts), for every score, from each exit alone and from all, and one exit that always drafts, at
 * every length (what LayerSkip tunes). No clock decides, so the same recording and costs give the same answer. What it
 * promises is of these texts; judge it on others.
 */
import { PolicyError } from "../../errors.js";
import type { DraftAcceptance, DraftLengthOptions } from "../../exits/draft/index.js";
import type { ExitHeads, ScoreName, Threshold } from "../../exits/heads/index.js";
import { checkPolicy, createPolicy, type Policy } from "../../exits/plan/index.js";
import type { Prompt } from "../../model/index.js";
import { measureUnitTimes, type UnitCosts } from "../../exits/cost/index.js";
import {
  type DraftingOutcome,
  type DraftingRecords,
  draftsOf,
  playPlans,
  recordDrafting,
  type RecordDraftingOptions,
} from "./play-drafting.js";
import { tuneGain } from "./tune-gain.js";

export interface TuneDraftingOptions extends RecordDraftingOptions {
  /** Scores tried. @default all that the heads have */
  readonly scores?: readonly ScoreName[];
  /** In any one unit. @default measured here and now, in milliseconds */
  readonly costs?: UnitCosts;
}

/** Settings of lossless decoding: `generate(heads, prompt, { policy, lossless })`. */
export interface TunedDrafting {
  readonly format: "early-exits/drafting";
  readonly version: 1;
  readonly policy: Policy;
  readonly lossless: Required<Omit<DraftLengthOptions, "acceptance">> & Pick<DraftLengthOptions, "acceptance">;
  /** On the recorded texts. */
  readonly expected: DraftingOutcome;
}

type Length = Omit<DraftLengthOptions, "costs">;

const FIXED_LENGTHS = [1, 2, 3, 4, 5, 6, 8];

/**
 * Tunes drafting on texts that the full model writes after prompts. Throws an OptionError where they give nothing to
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

/** The cheapest settings found on records of these heads. */
export function cheapestDrafting(
  heads: ExitHeads,
  records: DraftingRecords,
  { block, heads: evaluated, gates, finalHead }: UnitCosts,
  scores: readonly ScoreName[] = heads.scores,
): TunedDrafting {
  const costs = { block, heads: evaluated, ...(heads.scores.includes("gate") && { gates }), finalHead };
  const all = [
    ...fixedExits(records, scores[0] ?? "maxProb", costs),
    ...scores.flatMap((score) => byGain(records, score, costs)),
  ];
  const { score, thresholds, length, outcome } = all.reduce((best, one) =>
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

/**
 * Tuned drafting from parsed JSON; undefined where it is something else (a policy). Throws a PolicyError where it is
 * malformed.
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
  const priced = (points: unknown): boolean =>
    Array.isArray(points) &&
    points.length > 0 &&
    points.every(
      (point: { rows?: unknown; cost?: unknown } | null) =>
        Number.isInteger(point?.rows) && Number.isFinite(point?.cost),
    );
  if (!priced(costs?.block) || !priced(costs?.finalHead) || costs?.heads?.length !== drafting.policy?.exits.length) {
    throw new PolicyError(
      "policy-costs",
      "drafting: lossless.costs should price block and finalHead by rows, and every head; tune again",
    );
  }
  const acceptance = drafting.lossless?.acceptance as Partial<DraftAcceptance> | undefined;
  if (
    acceptance !== undefined &&
    !(acceptance.exits?.length === drafting.policy?.exits.length && Number.isFinite(acceptance.rate))
  ) {
    throw new PolicyError(
      "policy-acceptance",
      "drafting: lossless.acceptance should say rate, and classes for every exit; tune again",
    );
  }
  return drafting as TunedDrafting;
}

interface Tuned {
  readonly score: ScoreName;
  readonly thresholds: readonly Threshold[];
  readonly length: Length;
  readonly outcome: DraftingOutcome;
}

/**
 * One exit that always drafts, so many tokens a round or as many as the adaptive plan likes: what LayerSkip tunes, and
 * it.
 */
function fixedExits(records: DraftingRecords, score: ScoreName, costs: UnitCosts): Tuned[] {
  const drafts = draftsOf(records, score);
  const { depths } = records;
  return depths.flatMap((_, chosen) =>
    [...FIXED_LENGTHS, "adaptive" as const].map((draftLimit): Tuned => {
      const thresholds = depths.map((_depth, exit): Threshold => (exit === chosen ? "always" : "never"));
      const exits = depths.map((depth, exit) => ({ depth, threshold: thresholds[exit]! }));
      return {
        score,
        thresholds,
        length: { draftLimit },
        outcome: playPlans(records, drafts, { score, exits }, { draftLimit, costs }),
      };
    }),
  );
}

/** Drafting by expected gain, from each exit alone and from all of them. */
function byGain(records: DraftingRecords, score: ScoreName, costs: UnitCosts): Tuned[] {
  const { depths } = records;
  const alone = depths.map((_, chosen) => depths.map((_depth, exit) => exit === chosen));
  return [...alone, ...(depths.length > 1 ? [depths.map(() => true)] : [])].map((used): Tuned => {
    const { thresholds, acceptance, outcome } = tuneGain(records, score, used, costs);
    return { score, thresholds, length: { acceptance }, outcome };
  });
}
