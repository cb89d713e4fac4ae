/**
 * Which guesses become drafts, beside the full model's own rows.
 *
 * A repetition or a guess is one more row in the pass that runs anyway. With r what that row adds and c what the head
 * takes, both in plain tokens, and α the share of drafts like it that are accepted, by the margin of the head's guess
 * or by the length of the repetition (of further drafts, the product),
 *
 *     keep the draft      if  α > 1.05 · r
 *     run the head        if  E[max(0, α - 1.05 · r)] > 2 · c
 *
 * The factors are for what has no price: stops and reading back take about as long as the head's multiply-adds.
 *
 * α is that of held-out text at first (of a head: `measureDrafts`), and corrected by what this text accepts. What it
 * has seen fades, so a head that rests is tried again later. Whether a guess becomes a draft is decided by the head's
 * distribution alone, never by the token drawn from it, as exact sampling requires. Of several texts, where a row adds
 * more in relation to a token, little is drafted; for a sampled one that does not count, as it would change which
 * random numbers the text takes.
 */
import { costOfRows, type UnitCosts } from "../cost/unit-costs.js";
import type { DraftConfidence } from "../heads/heads-description.js";
import { type DraftPlan, MEMORY, PRIOR_DRAFTS } from "./draft-plan.js";

/** If the head was not measured. */
const UNMEASURED: readonly DraftConfidence[] = [{ margin: 0, acceptance: 0.5 }];

/** Acceptance of repetitions, by length: nearly that of greedy answers (bench/reports/ahead-zen-5.md). */
const REPETITIONS: readonly DraftConfidence[] = [2, 3, 4, 6, 9].map((n) => ({ margin: n, acceptance: 1 - 0.75 ** n }));

/** Tokens after which what was seen fades at once: doing so for each token would take 2 % of a small model's. */
const FADING = 16;

/** Drafts of a round: more rows than four have no measured price. */
const MOST_DRAFTS = 3;

interface AheadCosts extends Pick<UnitCosts, "block" | "finalHead"> {
  /** One evaluation of the head. */
  readonly head: number;
}

export interface AheadPlan extends DraftPlan {
  /** Begins a round of so many texts, of which this one has `length` tokens. */
  beginRound(texts: number, length: number): void;
  /** True if the head, or exits in its place, should be asked. */
  asks(): boolean;
  /** Takes note of the head's guess with this margin; true if it is worth a row. */
  takeGuess(margin: number): boolean;
  /** Takes what followed a repetition of so many tokens, if it is worth one more row; true if so. */
  takeRepetition(length: number): boolean;
}

export function aheadPlan(
  numLayers: number,
  { block, finalHead, head }: AheadCosts,
  levels: readonly DraftConfidence[] = UNMEASURED,
): AheadPlan {
  const passOf = (rows: number): number => numLayers * costOfRows(block, rows) + costOfRows(finalHead, rows);
  let texts = 1;
  let faded = 0;
  /** 1.05 · r of a draft beside so many rows, in tokens of a round. */
  const priceOf = (rows: number): number => (1.05 * texts * (passOf(rows + 1) - passOf(rows))) / passOf(texts);
  const prior = [...levels, ...REPETITIONS].map(({ acceptance }) => ({
    tested: PRIOR_DRAFTS,
    accepted: PRIOR_DRAFTS * acceptance,
    seen: PRIOR_DRAFTS,
  }));
  const sums = prior.map((level) => ({ ...level }));
  const acceptanceAt = (level: number): number => sums[level]!.accepted / sums[level]!.tested;
  let chosen: number[] = []; // levels of this round's drafts, or of the guess that became none
  let chance = 1; // that the model accepts all of them
  return {
    more: (drafts) => drafts < MOST_DRAFTS,
    beginRound(count, length) {
      texts = count;
      if (length < faded + FADING) return;
      const share = MEMORY ** (length - faded);
      faded = length;
      for (const [i, sum] of sums.entries()) {
        for (const name of ["tested", "accepted", "seen"] as const) {
          sum[name] = prior[i]![name] + share * (sum[name] - prior[i]![name]);
        }
      }
    },
    asks() {
      if (levels.length === 0) return false;
      const own = sums.slice(0, levels.length);
      const all = own.reduce((sum, { seen }) => sum + seen, 0);
      const price = priceOf(texts);
      const gain = own.reduce((sum, { seen }, i) => sum + (seen / all) * Math.max(0, acceptanceAt(i) - price), 0);
      return gain * passOf(1) > 2 * head;
    },
    takeGuess(margin) {
      const level = levelOf(margin, levels);
      chosen = [level];
      chance = acceptanceAt(level);
      return chance > priceOf(texts);
    },
    takeRepetition(length) {
      if (length < REPETITIONS[0]!.margin) return false;
      const level = levels.length + levelOf(length, REPETITIONS);
      const all = chance * acceptanceAt(level);
      if (all <= priceOf(texts + chosen.length)) return false;
      chosen.push(level);
      chance = all;
      return true;
    },
    endRound(depths, accepted) {
      for (const [i, level] of chosen.slice(0, accepted + 1).entries()) {
        const sum = sums[level]!;
        sum.seen++;
        sum.tested += Number(i < depths.length);
        sum.accepted += Number(i < accepted);
      }
      chosen = [];
      chance = 1;
    },
  };
}

function levelOf(margin: number, levels: readonly DraftConfidence[]): number {
  const above = levels.findIndex((next) => next.margin > margin);
  return Math.max(0, (above < 0 ? levels.length : above) - 1);
}

/**
 * Both plans of a text. The draft of an exit takes the blocks below it, which a repetition does not, so a round that
 * begins with a repetition asks no exit; and one in which exits were asked is theirs.
 */
export function withExits(repetitions: AheadPlan, exits: DraftPlan): AheadPlan {
  let drafter: "repetitions" | "exits" | undefined; // of this round
  return {
    ...repetitions,
    more: (drafts) => drafts === 0 || (drafter === "exits" ? exits : repetitions).more(drafts),
    takeRepetition(length) {
      if (drafter === "exits" || !repetitions.takeRepetition(length)) return false;
      drafter = "repetitions";
      return true;
    },
    asks() {
      if (drafter === undefined && exits.more(0)) drafter = "exits";
      return drafter === "exits";
    },
    endRound(depths, accepted, tries) {
      const [drafting, resting] = drafter === "exits" ? [exits, repetitions] : [repetitions, exits];
      drafting.endRound(depths, accepted, tries);
      resting.endRound([], 0);
      drafter = undefined;
    },
  };
}
