/**
 * Drafting with a look-ahead head (heads/ahead.ts): one token a round, from the states of the position that the full
 * model has just judged and the token that it chose there. Verification stops at the head's input depths to read them.
 *
 * A draft is a second row in the pass that runs anyway. With r what that row adds, and c what the head takes, both in
 * plain tokens, and α(m) the share of drafts with margin m that are accepted:
 *
 *     keep the draft      if  α(m) > 1.25 · r
 *     run the head        if  E[max(0, α(m) - 1.25 · r)] > 2 · c
 *
 * The factors are for what has no price (stops, reading back) or a low one: in int8 on a Zen 4, drafts at r = 0.61 by
 * unit times lost 2 %.
 *
 * α is calibrated on held-out text (`measureDrafts`) for a few levels of the margin, and corrected by what this text
 * accepts. What it has seen fades, so a head that rests is tried again later. The decision looks at the head's
 * distribution alone, never at the token drawn from it, as exact sampling requires.
 */
import type { Request } from "../../model/decode/decoder.js";
import type { Sequence } from "../../model/index.js";
import { Tensor } from "../../tensor/index.js";
import type { Ledger } from "../cost/ledger.js";
import { costOfRows, type UnitCosts } from "../cost/unit-costs.js";
import { aheadInputs } from "../heads/ahead.js";
import type { ExitHead } from "../heads/exit-head.js";
import type { DraftConfidence } from "../heads/heads-description.js";
import type { Candidates } from "../heads/unembedding-preview.js";
import { valuesOf } from "../heads/values-of.js";
import { type DraftChoice, type DraftPlan, MEMORY, PRIOR_DRAFTS, type Watcher } from "./speculate.js";

/** If the head was not measured. */
const UNMEASURED: readonly DraftConfidence[] = [{ margin: 0, acceptance: 0.5 }];

interface AheadCosts extends Pick<UnitCosts, "block" | "finalHead"> {
  /** One evaluation of the head. */
  readonly head: number;
}

export interface AheadPlan extends DraftPlan {
  /** True if a draft with this margin is worth its row. */
  keeps(margin: number): boolean;
}

export function aheadPlan(
  numLayers: number,
  { block, finalHead, head }: AheadCosts,
  levels: readonly DraftConfidence[] = UNMEASURED,
): AheadPlan {
  const plain = numLayers * costOfRows(block, 1) + costOfRows(finalHead, 1);
  const row = 1.25 * ((numLayers * costOfRows(block, 2) + costOfRows(finalHead, 2)) / plain - 1);
  const prior = levels.map(({ acceptance }) => ({
    tested: PRIOR_DRAFTS,
    accepted: PRIOR_DRAFTS * acceptance,
    seen: PRIOR_DRAFTS,
  }));
  const sums = prior.map((level) => ({ ...level }));
  const acceptanceAt = (level: number): number => sums[level]!.accepted / sums[level]!.tested;
  let level: number | undefined; // of this round's draft
  return {
    more(drafts) {
      if (drafts > 0) return false;
      const all = sums.reduce((sum, { seen }) => sum + seen, 0);
      const gain = sums.reduce((sum, { seen }, i) => sum + (seen / all) * Math.max(0, acceptanceAt(i) - row), 0);
      return gain * plain > 2 * head;
    },
    keeps(margin) {
      const above = levels.findIndex((next) => next.margin > margin);
      level = Math.max(0, (above < 0 ? levels.length : above) - 1);
      return acceptanceAt(level) > row;
    },
    learn(depths, accepted) {
      for (const [i, sum] of sums.entries()) {
        for (const name of ["tested", "accepted", "seen"] as const) {
          sum[name] = prior[i]![name] + MEMORY * (sum[name] - prior[i]![name]);
        }
      }
      if (level !== undefined) {
        sums[level]!.seen++;
        sums[level]!.tested += depths.length;
        sums[level]!.accepted += accepted;
      }
      level = undefined;
    },
  };
}

/** State of a sequence at its newest verified position. */
interface Newest {
  readonly position: number;
  /** The token after it. */
  readonly id: number;
  /** [C] by input depth. */
  readonly states: readonly Float32Array[];
}

export class LookAhead implements Watcher {
  readonly head: ExitHead;
  readonly #createPlan: () => AheadPlan;
  readonly #ledger: Ledger | undefined;
  readonly #newest = new WeakMap<Sequence, Newest>();
  readonly #plans = new WeakMap<Sequence, AheadPlan>();

  constructor(head: ExitHead, createPlan: () => AheadPlan, ledger: Ledger | undefined) {
    this.head = head;
    this.#createPlan = createPlan;
    this.#ledger = ledger;
  }

  get depths(): readonly number[] {
    return this.head.shape.inputs!;
  }

  /** False if drafts cost more than they could bring. */
  get pays(): boolean {
    return this.#createPlan().more(0);
  }

  readonly planOf = (sequence: Sequence): AheadPlan => {
    const plan = this.#plans.get(sequence) ?? this.#createPlan();
    this.#plans.set(sequence, plan);
    return plan;
  };

  /** With `likeliest`, the head's first choice, however the text is sampled. */
  readonly propose = async (requests: readonly Request[], likeliest = false): Promise<(DraftChoice | undefined)[]> => {
    const known = requests.filter(({ sequence }) => this.#newestOf(sequence) !== undefined);
    if (known.length === 0) return requests.map(() => undefined);
    const found = await this.#guess(known.map(({ sequence }) => this.#newestOf(sequence)!));
    const drafts = new Map(known.map((request, i) => [request, this.#draftOf(request, found[i]!, likeliest)]));
    return requests.map((request) => drafts.get(request));
  };

  async learn(sequence: Sequence, position: number, id: number): Promise<void> {
    const states: Float32Array[] = [];
    for (const depth of this.depths) states.push(await valuesOf(() => sequence.stoppedAt(position, depth)));
    this.#newest.set(sequence, { position, id, states });
  }

  /** Undefined at the first round of a text: its prompt ran without stops. */
  #newestOf(sequence: Sequence): Newest | undefined {
    const newest = this.#newest.get(sequence);
    const fits = newest?.position === sequence.length - 2 && newest.id === sequence.ids.at(-1);
    return fits ? newest : undefined;
  }

  async #guess(newest: readonly Newest[]): Promise<Candidates[]> {
    const { model } = this.head;
    const width = model.config.hiddenSize;
    const states = this.depths.map((_, k) => {
      const rows = new Float32Array(newest.length * width);
      newest.forEach(({ states }, r) => rows.set(states[k]!, r * width));
      return rows;
    });
    const values = await aheadInputs(
      model,
      states,
      newest.map(({ id }) => id),
    );
    const inputs = Tensor.from(model.device, values, [newest.length, values.length / newest.length]);
    const vectors = await this.head.logits(inputs);
    inputs.dispose();
    this.#ledger?.look(newest.length);
    const found = await this.head.preview!.find(vectors);
    vectors.dispose();
    return found;
  }

  #draftOf({ sequence, sampler }: Request, { ids, logits }: Candidates, likeliest: boolean): DraftChoice | undefined {
    const [best, second] = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
    const margin = logits[best!]! - logits[second!]!;
    if (!this.planOf(sequence).keeps(margin)) return undefined;
    if (likeliest || sampler.greedy) return { id: ids[best!]!, depth: 0 };
    const all = new Float32Array(this.head.model.config.vocabSize).fill(-Infinity);
    for (const [i, id] of ids.entries()) all[id] = logits[i]!;
    const distribution = sampler.distribution(all, sequence.ids);
    return { id: sampler.draw(distribution), depth: 0, distribution };
  }
}
