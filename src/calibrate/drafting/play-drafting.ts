/**
 * Replays lossless decoding under given thresholds and draft lengths on a recording (record-drafting.ts). At every
 * position of a text the recorded heads show which drafts would be made, which of them accepted, and how many rows
 * would run in which forward pass; unit costs price them:
 *   cost = Σ passes (block(rows) per block) + Σ heads evaluated + Σ rounds finalHead(rows)
 * Exact with one exception: after a wrong draft, decoding continues along a text that was not recorded, and the outputs
 * at the same positions of the right text take its place. (Drafts made there are rejected either way.) For sampled
 * texts acceptance is random (sampled-agreement.ts), and so is the replay.
 */
import { type Draft, type DraftLengthOptions, type DraftPlan, draftPlans } from "../../exits/draft/index.js";
import { confidenceAt, exitFires, scoreAt, type ScoreName } from "../../exits/heads/index.js";
import type { Policy } from "../../exits/plan/index.js";
import { costOfRows, type UnitCosts } from "../../exits/cost/index.js";
import type { DraftingRecords } from "./record-drafting.js";

/** What lossless decoding would do on the recorded texts. */
export interface DraftingOutcome {
  readonly tokens: number;
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
  /** Cost of all tokens, in the unit of the unit costs. */
  readonly cost: number;
  /** Cost of the same tokens by plain decoding. */
  readonly plainCost: number;
}

export interface PlayDraftingOptions extends Omit<DraftLengthOptions, "costs"> {
  readonly costs: UnitCosts;
}

/**
 * Replays lossless decoding of the recorded texts, one after another. Throws an OptionError if an option is out of
 * range.
 */
export function playDrafting(
  records: DraftingRecords,
  policy: Pick<Policy, "score" | "exits">,
  options: PlayDraftingOptions,
): DraftingOutcome {
  return playPlans(records, draftsOf(records, policy.score), policy, options);
}

type RecordedDraft = Draft & { readonly score: number };

/** [documents][exits][positions] the draft that the exit's head would make there. */
export type RecordedDrafts = readonly (readonly (readonly RecordedDraft[])[])[];

/** Returns the drafts of a recording, with their scores by name. */
export function draftsOf({ documents, depths }: DraftingRecords, name: ScoreName): RecordedDrafts {
  return documents.map(({ positions, exits }) =>
    exits.map((record, exit) =>
      Array.from({ length: positions }, (_, s): RecordedDraft => {
        const confidence = confidenceAt(record.stats, s);
        return { id: confidence.argmax, depth: depths[exit]!, exit, score: scoreAt(record, s, name), confidence };
      }),
    ),
  );
}

/** `playDrafting` with drafts from `draftsOf`, by the policy's score: saves time if many policies are replayed. */
export function playPlans(
  { documents, starts, depths, numLayers }: DraftingRecords,
  drafts: RecordedDrafts,
  { score, exits }: Pick<Policy, "score" | "exits">,
  { costs, ...length }: PlayDraftingOptions,
): DraftingOutcome {
  const used = (cost: number, exit: number): number =>
    exits[exit]!.threshold === "never" || exits[exit]!.depth >= numLayers ? 0 : cost;
  const createPlan = draftPlans(numLayers, { ...costs, heads: costs.heads.map(used) }, length, depths);
  const totals: Totals = { tokens: 0, rounds: 0, drafted: 0, accepted: 0, cost: 0 };
  for (const [d, document] of documents.entries()) {
    const drafting = exits.flatMap(({ depth, threshold }, exit): UsedExit[] => {
      if (threshold === "never" || depth >= numLayers) return [];
      const all = drafts[d]![exit]!;
      const draft = (s: number): Draft | undefined => (exitFires(all[s]!.score, threshold, score) ? all[s] : undefined);
      return [{ depth, cost: costs.heads[exit]!, draft, agrees: document.exits[exit]!.agrees }];
    });
    const text: PlayedText = {
      start: starts[d]!,
      end: document.positions,
      numLayers,
      costs,
      used: drafting,
      plan: createPlan(),
    };
    playText(text, totals);
  }
  return {
    ...totals,
    plainCost: totals.tokens * (numLayers * costOfRows(costs.block, 1) + costOfRows(costs.finalHead, 1)),
  };
}

interface UsedExit {
  readonly depth: number;
  /** Cost of every evaluation. */
  readonly cost: number;
  /** The draft after position s; undefined if the exit does not fire. */
  readonly draft: (s: number) => Draft | undefined;
  readonly agrees: Uint8Array;
}

interface PlayedText {
  readonly start: number;
  /** Number of positions; the text ends with the token after the last one. */
  readonly end: number;
  readonly numLayers: number;
  readonly costs: UnitCosts;
  readonly used: readonly UsedExit[];
  readonly plan: DraftPlan;
}

type Totals = { -readonly [Key in Exclude<keyof DraftingOutcome, "plainCost">]: number };

/** Replays the rounds of one text, as exits/draft runs them. */
function playText({ start, end, numLayers, costs, used, plan }: PlayedText, totals: Totals): void {
  let cost = 0;
  /** Brings all positions of the round to a depth; `reached` holds the number of blocks that each has run. */
  const advance = (reached: number[], depth: number): void => {
    for (let layer = Math.min(...reached); layer < depth; layer++) {
      let rows = 0;
      for (const blocks of reached) {
        if (blocks <= layer) rows++;
      }
      cost += costOfRows(costs.block, rows);
    }
    for (let i = 0; i < reached.length; i++) reached[i] = Math.max(reached[i]!, depth);
  };
  for (let t = start; t < end;) {
    const drafts: Draft[] = [];
    const right: boolean[] = [];
    const reached = [0];
    const room = end - t;
    while (drafts.length < room - 1 && plan.more(drafts)) {
      const s = t + drafts.length;
      let made: Draft | undefined;
      let agreed = false;
      for (const { depth, cost: evaluation, draft, agrees } of used) {
        advance(reached, depth);
        cost += evaluation;
        made = draft(s);
        if (made === undefined) continue;
        agreed = agrees[s] === 1;
        break;
      }
      if (made === undefined || !plan.keeps(drafts, made)) break;
      drafts.push(made);
      right.push(agreed);
      reached.push(0);
    }
    advance(reached, numLayers);
    cost += costOfRows(costs.finalHead, reached.length);
    const wrong = right.indexOf(false);
    const accepted = wrong < 0 ? drafts.length : wrong;
    plan.learn(drafts, accepted);
    t += accepted + 1;
    totals.rounds++;
    totals.drafted += drafts.length;
    totals.accepted += accepted;
    totals.tokens += accepted + 1;
  }
  totals.cost += cost;
}
