/**
 * Who drafts. Where the end of the text occurred before (repetition.ts), what followed there is drafted, up to three
 * tokens. Elsewhere exits do (speculate.ts), or a look-ahead head (heads/ahead.ts), if there is one: it guesses a token
 * from the states of the position that the full model has just judged and the token that it chose there; verification
 * stops at its input depths to read them.
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
import type { Request } from "../../model/decode/decoder.js";
import { rowOf } from "../../model/decode/final-logits.js";
import type { Sequence } from "../../model/index.js";
import { Tensor } from "../../tensor/index.js";
import { concatRows } from "../../tensor/ops/select.js";
import type { Ledger } from "../cost/ledger.js";
import { costOfRows, type UnitCosts } from "../cost/unit-costs.js";
import { aheadInputs } from "../heads/ahead.js";
import type { ExitHead } from "../heads/exit-head.js";
import type { DraftConfidence } from "../heads/heads-description.js";
import { bestOf, type Candidates } from "../heads/unembedding-preview.js";
import { valuesOf } from "../heads/values-of.js";
import { repetitionIn } from "./repetition.js";
import { type DraftChoice, type Drafter, type DraftPlan, MEMORY, PRIOR_DRAFTS, type Watcher } from "./speculate.js";

/** If the head was not measured. */
const UNMEASURED: readonly DraftConfidence[] = [{ margin: 0, acceptance: 0.5 }];

/** Of repetitions, by length in place of a margin: nearly those of greedy answers (bench/reports/ahead-zen-5.md). */
const REPETITIONS: readonly DraftConfidence[] = [2, 3, 4, 6, 9].map((n) => ({ margin: n, acceptance: 1 - 0.75 ** n }));

/** Tokens after which what was seen fades at once: doing so for each token would take 2 % of a small model's. */
const FADING = 16;

/** Of a round: more rows than four have no measured price. */
const MOST_DRAFTS = 3;

interface AheadCosts extends Pick<UnitCosts, "block" | "finalHead"> {
  /** One evaluation of the head. */
  readonly head: number;
}

export interface AheadPlan extends DraftPlan {
  /** Begins a round of so many texts, of which this one has `length` tokens. */
  begin(texts: number, length: number): void;
  /** True if the head should guess. */
  looks(): boolean;
  /** True if its guess with this margin is worth a row. */
  keeps(margin: number): boolean;
  /** True if what followed a repetition of so many tokens is worth one more row. */
  repeats(length: number): boolean;
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
    begin(count, length) {
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
    looks() {
      if (levels.length === 0) return false;
      const own = sums.slice(0, levels.length);
      const all = own.reduce((sum, { seen }) => sum + seen, 0);
      const price = priceOf(texts);
      const gain = own.reduce((sum, { seen }, i) => sum + (seen / all) * Math.max(0, acceptanceAt(i) - price), 0);
      return gain * passOf(1) > 2 * head;
    },
    keeps(margin) {
      const level = levelOf(margin, levels);
      chosen = [level];
      chance = acceptanceAt(level);
      return chance > priceOf(texts);
    },
    repeats(length) {
      if (length < REPETITIONS[0]!.margin) return false;
      const level = levels.length + levelOf(length, REPETITIONS);
      const all = chance * acceptanceAt(level);
      if (all <= priceOf(texts + chosen.length)) return false;
      chosen.push(level);
      chance = all;
      return true;
    },
    learn(depths, accepted) {
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

/** State of a sequence at its newest verified position. */
interface Newest {
  readonly position: number;
  /** The token after it. */
  readonly id: number;
  /** [input depths, C]. */
  readonly states: Float32Array;
}

/** Exits that draft where nothing is repeated. */
export interface DraftingExits {
  readonly draft: Drafter;
  readonly createPlan: () => DraftPlan;
}

/**
 * Both plans of a text. The draft of an exit takes the blocks below it, which a repetition does not, so a round that
 * begins with a repetition asks no exit; and one in which exits were asked is theirs.
 */
function withExits(repetitions: AheadPlan, exits: DraftPlan): AheadPlan {
  let asked = false;
  let drafted = 0;
  return {
    ...repetitions,
    more(drafts) {
      drafted = drafts;
      return drafts === 0 || (asked ? exits : repetitions).more(drafts);
    },
    repeats: (length) => !asked && repetitions.repeats(length),
    looks: () => (asked ||= drafted === 0 && exits.more(0)),
    learn(depths, accepted) {
      exits.learn(asked ? depths : [], asked ? accepted : 0);
      repetitions.learn(asked ? [] : depths, asked ? 0 : accepted);
      asked = false;
    },
  };
}

export class LookAhead implements Watcher {
  readonly #head: ExitHead | undefined;
  readonly #createPlan: () => AheadPlan;
  readonly #exits: DraftingExits | undefined;
  readonly #ledger: Ledger | undefined;
  readonly #newest = new WeakMap<Sequence, Newest>();
  readonly #plans = new WeakMap<Sequence, AheadPlan>();

  constructor(
    head: ExitHead | undefined,
    createPlan: () => AheadPlan,
    ledger: Ledger | undefined,
    exits: DraftingExits | undefined,
  ) {
    if (createPlan().looks()) this.#head = head; // otherwise it costs more than it could bring
    this.#exits = exits;
    this.#createPlan = createPlan;
    this.#ledger = ledger;
  }

  get depths(): readonly number[] {
    return this.#head?.shape.inputs ?? [];
  }

  readonly planOf = (sequence: Sequence): AheadPlan => {
    let plan = this.#plans.get(sequence);
    if (plan !== undefined) return plan;
    plan = this.#createPlan();
    if (this.#exits !== undefined) plan = withExits(plan, this.#exits.createPlan());
    this.#plans.set(sequence, plan);
    return plan;
  };

  /** With `likeliest`, the head's first choice, however the text is sampled. */
  readonly propose = async (requests: readonly Request[], likeliest = false): Promise<(DraftChoice | undefined)[]> => {
    const drafts = requests.map((request) => this.repeated(request, requests.length));
    const open = requests.filter(({ sequence }, i) => {
      const knows = drafts[i] === undefined && (this.#exits !== undefined || this.#newestOf(sequence) !== undefined);
      return knows && this.planOf(sequence).looks();
    });
    if (open.length === 0) return drafts;
    const found = (await (this.#exits ? this.#exits.draft(open) : this.#guess(open, likeliest))).values();
    return requests.map((request, i) => drafts[i] ?? (open.includes(request) ? found.next().value : undefined));
  };

  async learn(sequence: Sequence, position: number, id: number): Promise<void> {
    if (this.#head === undefined) return;
    const states = await valuesOf(() => concatRows(this.depths.map((depth) => sequence.stoppedAt(position, depth))));
    this.#newest.set(sequence, { position, id, states });
  }

  /** Undefined at the first round of a text, whose prompt ran without stops, and after a draft. */
  #newestOf(sequence: Sequence): Newest | undefined {
    const newest = this.#newest.get(sequence);
    const fits = newest?.position === sequence.length - 2 && newest.id === sequence.ids.at(-1);
    return fits ? newest : undefined;
  }

  /**
   * What followed a repetition, if that is worth a row in a round of so many texts. In sampled text, a repetition is as
   * sure as one of half its length in greedy text.
   */
  repeated({ sequence, sampler }: Request, texts: number): DraftChoice | undefined {
    const plan = this.planOf(sequence);
    plan.begin(sampler.greedy ? texts : 1, sequence.length);
    const { length, next: id } = repetitionIn(sequence.ids);
    return plan.repeats(sampler.greedy ? length : length / 2) ? { id, depth: 0 } : undefined;
  }

  async #guess(requests: readonly Request[], likeliest: boolean): Promise<(DraftChoice | undefined)[]> {
    const head = this.#head!;
    const { model } = head;
    const width = model.config.hiddenSize;
    const newest = requests.map(({ sequence }) => this.#newestOf(sequence)!);
    const states = this.depths.map((_, k) => {
      const rows = new Float32Array(newest.length * width);
      newest.forEach(({ states }, r) => rows.set(rowOf(states, k, width), r * width));
      return rows;
    });
    const values = await aheadInputs(
      model,
      states,
      newest.map(({ id }) => id),
    );
    const inputs = Tensor.from(model.device, values, [newest.length, values.length / newest.length]);
    const vectors = await head.logits(inputs);
    inputs.dispose();
    this.#ledger?.look(newest.length);
    const found = await head.preview!.find(vectors);
    vectors.dispose();
    return requests.map((request, r) => this.#draftOf(request, found[r]!, likeliest));
  }

  #draftOf({ sequence, sampler }: Request, found: Candidates, likeliest: boolean): DraftChoice | undefined {
    const { id, top1, top2 } = bestOf(found);
    if (!this.planOf(sequence).keeps(top1 - top2)) return undefined;
    if (likeliest || sampler.greedy) return { id, depth: 0 };
    const all = new Float32Array(sequence.model.config.vocabSize).fill(-Infinity);
    for (const [i, id] of found.ids.entries()) all[id] = found.logits[i]!;
    const distribution = sampler.distribution(all, sequence.ids);
    return { id: sampler.draw(distribution), depth: 0, distribution };
  }
}
