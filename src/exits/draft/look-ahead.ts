/**
 * Who drafts. Where the end of the text occurred before (repetition.ts), what followed there is drafted, up to three
 * tokens. Elsewhere exits do, or a look-ahead head (heads/ahead.ts), if there is one: it guesses a token from the
 * states of the position that the full model has just judged and the token that it chose there; verification stops at
 * its input depths to read them. Which guesses become drafts is planned in ahead-plan.ts.
 */
import type { Choice, Request } from "../../model/decode/decoder.js";
import { rowOf, spread } from "../../model/decode/final-logits.js";
import type { Sequence } from "../../model/index.js";
import type { LargestLogits } from "../../model/screened-unembedding.js";
import { Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { concatRows } from "../../tensor/ops/select.js";
import type { Ledger } from "../cost/ledger.js";
import { aheadInputs } from "../heads/ahead.js";
import type { ExitHead } from "../heads/exit-head.js";
import { bestOf } from "../heads/unembedding-preview.js";
import { type AheadPlan, withExits } from "./ahead-plan.js";
import type { DraftPlan } from "./draft-plan.js";
import type { Drafter } from "./lossless-decoder.js";
import { repetitionIn } from "./repetition.js";

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
  readonly draft: Drafter["propose"];
  readonly createPlan: () => DraftPlan;
}

export class LookAhead implements Drafter {
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
    if (createPlan().asks()) this.#head = head; // otherwise it costs more than it could bring
    this.#exits = exits;
    this.#createPlan = createPlan;
    this.#ledger = ledger;
  }

  get depths(): readonly number[] {
    return this.#head?.shape.inputs ?? [];
  }

  planOf(sequence: Sequence): AheadPlan {
    let plan = this.#plans.get(sequence);
    if (plan !== undefined) return plan;
    plan = this.#createPlan();
    if (this.#exits !== undefined) plan = withExits(plan, this.#exits.createPlan());
    this.#plans.set(sequence, plan);
    return plan;
  }

  /** With `greedy`, the head's first choice, however the text is sampled. */
  async propose(
    requests: readonly Request[],
    { greedy = false }: { readonly greedy?: boolean } = {},
  ): Promise<ReadonlyMap<Request, Choice>> {
    const drafts = new Map<Request, Choice>();
    for (const request of requests) {
      const repeated = this.#repeated(request, requests.length);
      if (repeated !== undefined) drafts.set(request, repeated);
    }
    const open = requests.filter((request) => {
      const { sequence } = request;
      const knows = !drafts.has(request) && (this.#exits !== undefined || this.#newestOf(sequence) !== undefined);
      return knows && this.planOf(sequence).asks();
    });
    if (open.length === 0) return drafts;
    const guesses = await (this.#exits ? this.#exits.draft(open) : this.#guess(open, greedy));
    return new Map([...drafts, ...guesses]);
  }

  async keepStates(sequence: Sequence, position: number, id: number): Promise<void> {
    if (this.#head === undefined) return;
    const states = await valuesOf(() => concatRows(this.depths.map((depth) => sequence.stoppedAt(position, depth))));
    this.#newest.set(sequence, { position, id, states });
  }

  /**
   * What followed a repetition, if that is worth a row in a round of so many texts. In sampled text, a repetition is as
   * sure as one of half its length in greedy text.
   */
  #repeated({ sequence, sampler }: Request, texts: number): Choice | undefined {
    const plan = this.planOf(sequence);
    plan.beginRound(sampler.greedy ? texts : 1, sequence.length);
    const { length, next: id } = repetitionIn(sequence.ids);
    return plan.takeRepetition(sampler.greedy ? length : length / 2) ? { id, depth: 0 } : undefined;
  }

  /** Undefined at the first round of a text, whose prompt ran without stops, and after a draft. */
  #newestOf(sequence: Sequence): Newest | undefined {
    const newest = this.#newest.get(sequence);
    const fits = newest?.position === sequence.length - 2 && newest.id === sequence.ids.at(-1);
    return fits ? newest : undefined;
  }

  async #guess(requests: readonly Request[], greedy: boolean): Promise<Map<Request, Choice>> {
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
    const vectors = await head.logits(inputs).finally(() => inputs.dispose());
    this.#ledger?.look(newest.length);
    const found = await head.preview!.find(vectors).finally(() => vectors.dispose());
    const drafts = new Map<Request, Choice>();
    for (const [r, request] of requests.entries()) {
      const draft = this.#draftOf(request, found[r]!, greedy);
      if (draft !== undefined) drafts.set(request, draft);
    }
    return drafts;
  }

  #draftOf({ sequence, sampler }: Request, found: LargestLogits, greedy: boolean): Choice | undefined {
    const { id, top1, top2 } = bestOf(found);
    if (!this.planOf(sequence).takeGuess(top1 - top2)) return undefined;
    if (greedy || sampler.greedy) return { id, depth: 0 };
    const distribution = sampler.distribution(spread(found, sequence.model.config.vocabSize), sequence.ids);
    return { id: sampler.draw(distribution), depth: 0, distribution };
  }
}
