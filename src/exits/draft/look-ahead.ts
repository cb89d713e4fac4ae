/**
 * Drafting at depth L. Where the end of the text occurred before (repetition.ts), what followed there is drafted, up to
 * three tokens. Elsewhere a look-ahead head (heads/ahead.ts), if there is one, guesses a token from the states of the
 * position that the full model has just judged and the token that it chose there; verification stops at its input
 * depths to read them.
 *
 * A draft is one more row in the pass that runs anyway. With r what that row adds and c what the head takes, both in
 * plain tokens, and α the share of drafts like it that are accepted, by the margin of the head's guess or by the length
 * of the repetition (of further drafts, the product),
 *
 *     keep the draft      if  α > 1.05 · r
 *     run the head        if  E[max(0, α - 1.05 · r)] > 2 · c
 *
 * The factors are for what has no price: stops and reading back take about as long as the head's multiply-adds.
 *
 * α is that of held-out text at first (of a head: `measureDrafts`), and corrected by what this text accepts. What it
 * has seen fades, so a head that rests is tried again later. Whether a guess becomes a draft is decided by the head's
 * distribution alone, never by the token drawn from it, as exact sampling requires. Of several texts, where a row adds
 * more in relation to a token, little is drafted.
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
import { type DraftChoice, type DraftPlan, MEMORY, PRIOR_DRAFTS, type Watcher } from "./speculate.js";

/** If the head was not measured. */
const UNMEASURED: readonly DraftConfidence[] = [{ margin: 0, acceptance: 0.5 }];

/** Of repetitions, by their length in place of a margin; nearly SmolLM2's shares (bench/reports/ahead-zen-5.md). */
const REPETITIONS: readonly DraftConfidence[] = [2, 3, 4, 6, 9].map((n) => ({ margin: n, acceptance: 1 - 0.7 ** n }));

/** Of a round: more rows than four have no measured price. */
const MOST_DRAFTS = 3;

interface AheadCosts extends Pick<UnitCosts, "block" | "finalHead"> {
  /** One evaluation of the head. */
  readonly head: number;
}

export interface AheadPlan extends DraftPlan {
  /** True if the head should guess, in a round of so many texts. */
  looks(texts: number): boolean;
  /** True if its guess with this margin is worth a row. */
  keeps(margin: number, texts: number): boolean;
  /** True if what followed a repetition of so many tokens is worth one more row. */
  repeats(length: number, texts: number): boolean;
}

export function aheadPlan(
  numLayers: number,
  { block, finalHead, head }: AheadCosts,
  levels: readonly DraftConfidence[] = UNMEASURED,
): AheadPlan {
  const passOf = (rows: number): number => numLayers * costOfRows(block, rows) + costOfRows(finalHead, rows);
  /** 1.05 · r of a draft beside so many rows, in tokens of a round of so many texts. */
  const priceOf = (rows: number, texts: number): number =>
    (1.05 * texts * (passOf(rows + 1) - passOf(rows))) / passOf(texts);
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
    looks(texts) {
      const own = sums.slice(0, levels.length);
      const all = own.reduce((sum, { seen }) => sum + seen, 0);
      const price = priceOf(texts, texts);
      const gain = own.reduce((sum, { seen }, i) => sum + (seen / all) * Math.max(0, acceptanceAt(i) - price), 0);
      return gain * passOf(1) > 2 * head;
    },
    keeps(margin, texts) {
      const level = levelOf(margin, levels);
      chosen = [level];
      chance = acceptanceAt(level);
      return chance > priceOf(texts, texts);
    },
    repeats(length, texts) {
      const level = levels.length + levelOf(length, REPETITIONS);
      const all = chance * acceptanceAt(level);
      if (length < REPETITIONS[0]!.margin || all <= priceOf(texts + chosen.length, texts)) return false;
      chosen.push(level);
      chance = all;
      return true;
    },
    learn(depths, accepted) {
      for (const [i, sum] of sums.entries()) {
        for (const name of ["tested", "accepted", "seen"] as const) {
          sum[name] = prior[i]![name] + MEMORY * (sum[name] - prior[i]![name]);
        }
      }
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

export class LookAhead implements Watcher {
  readonly #head: ExitHead | undefined;
  readonly #createPlan: () => AheadPlan;
  readonly #ledger: Ledger | undefined;
  readonly #newest = new WeakMap<Sequence, Newest>();
  readonly #plans = new WeakMap<Sequence, AheadPlan>();

  constructor(head: ExitHead | undefined, createPlan: () => AheadPlan, ledger: Ledger | undefined) {
    this.#head = head;
    this.#createPlan = createPlan;
    this.#ledger = ledger;
  }

  get depths(): readonly number[] {
    return this.#head?.shape.inputs ?? [];
  }

  /** False without a head, or if it costs more than it could bring. */
  get pays(): boolean {
    return this.#createPlan().looks(1);
  }

  readonly planOf = (sequence: Sequence): AheadPlan => {
    const plan = this.#plans.get(sequence) ?? this.#createPlan();
    this.#plans.set(sequence, plan);
    return plan;
  };

  /** With `likeliest`, the head's first choice, however the text is sampled. */
  readonly propose = async (requests: readonly Request[], likeliest = false): Promise<(DraftChoice | undefined)[]> => {
    const texts = requests.length;
    const drafts = requests.map((request) => this.#repeated(request, texts));
    const known = requests.flatMap(({ sequence }, i) => {
      const newest = drafts[i] === undefined ? this.#newestOf(sequence) : undefined;
      return newest !== undefined && this.planOf(sequence).looks(texts) ? [{ i, newest }] : [];
    });
    if (known.length === 0) return drafts;
    const found = await this.#guess(known.map(({ newest }) => newest));
    for (const [k, { i }] of known.entries()) drafts[i] = this.#draftOf(requests[i]!, found[k]!, texts, likeliest);
    return drafts;
  };

  async learn(sequence: Sequence, position: number, id: number): Promise<void> {
    const states = await valuesOf(() => concatRows(this.depths.map((depth) => sequence.stoppedAt(position, depth))));
    this.#newest.set(sequence, { position, id, states });
  }

  /** Undefined at the first round of a text, whose prompt ran without stops, and after a draft. */
  #newestOf(sequence: Sequence): Newest | undefined {
    const newest = this.#newest.get(sequence);
    const fits = newest?.position === sequence.length - 2 && newest.id === sequence.ids.at(-1);
    return fits ? newest : undefined;
  }

  #repeated({ sequence }: Request, texts: number): DraftChoice | undefined {
    const { length, next: id } = repetitionIn(sequence.ids);
    return this.planOf(sequence).repeats(length, texts) ? { id, depth: 0 } : undefined;
  }

  async #guess(newest: readonly Newest[]): Promise<Candidates[]> {
    const head = this.#head!;
    const { model } = head;
    const width = model.config.hiddenSize;
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
    return found;
  }

  #draftOf(
    { sequence, sampler }: Request,
    found: Candidates,
    texts: number,
    likeliest: boolean,
  ): DraftChoice | undefined {
    const { id, top1, top2 } = bestOf(found);
    if (!this.planOf(sequence).keeps(top1 - top2, texts)) return undefined;
    if (likeliest || sampler.greedy) return { id, depth: 0 };
    const all = new Float32Array(sequence.model.config.vocabSize).fill(-Infinity);
    for (const [i, id] of found.ids.entries()) all[id] = found.logits[i]!;
    const distribution = sampler.distribution(all, sequence.ids);
    return { id: sampler.draw(distribution), depth: 0, distribution };
  }
}
