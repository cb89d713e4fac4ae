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

export type LookAhead = ReturnType<typeof drafterOf>;

export function drafterOf(
  given: ExitHead | undefined,
  createPlan: () => AheadPlan,
  ledger: Ledger | undefined,
  exits: DraftingExits | undefined,
) {
  const head = createPlan().asks() ? given : undefined; // otherwise it costs more than it could bring
  const depths: readonly number[] = head?.shape.inputs ?? [];
  const newest = new WeakMap<Sequence, Newest>();
  const plans = new WeakMap<Sequence, AheadPlan>();

  const planOf = (sequence: Sequence): AheadPlan => {
    let plan = plans.get(sequence);
    if (plan !== undefined) return plan;
    plan = createPlan();
    if (exits !== undefined) plan = withExits(plan, exits.createPlan());
    plans.set(sequence, plan);
    return plan;
  };

  /**
   * What followed a repetition, if that is worth a row in a round of so many texts. In sampled text, a repetition is as
   * sure as one of half its length in greedy text.
   */
  const repeated = ({ sequence, sampler }: Request, texts: number): Choice | undefined => {
    const plan = planOf(sequence);
    plan.beginRound(sampler.greedy ? texts : 1, sequence.length);
    const { length, next: id } = repetitionIn(sequence.ids);
    return plan.takeRepetition(sampler.greedy ? length : length / 2) ? { id, depth: 0 } : undefined;
  };

  /** Undefined at the first round of a text, whose prompt ran without stops, and after a draft. */
  const newestOf = (sequence: Sequence): Newest | undefined => {
    const last = newest.get(sequence);
    const fits = last?.position === sequence.length - 2 && last.id === sequence.ids.at(-1);
    return fits ? last : undefined;
  };

  const draftOf = ({ sequence, sampler }: Request, found: LargestLogits, greedy: boolean): Choice | undefined => {
    const { id, top1, top2 } = bestOf(found);
    if (!planOf(sequence).takeGuess(top1 - top2)) return undefined;
    if (greedy || sampler.greedy) return { id, depth: 0 };
    const distribution = sampler.distribution(spread(found, sequence.model.config.vocabSize), sequence.ids);
    return { id: sampler.draw(distribution), depth: 0, distribution };
  };

  const guess = async (requests: readonly Request[], greedy: boolean): Promise<Map<Request, Choice>> => {
    const { model } = head!;
    const width = model.config.hiddenSize;
    const known = requests.map(({ sequence }) => newestOf(sequence)!);
    const states = depths.map((_, k) => {
      const rows = new Float32Array(known.length * width);
      known.forEach(({ states }, r) => rows.set(rowOf(states, k, width), r * width));
      return rows;
    });
    const values = await aheadInputs(
      model,
      states,
      known.map(({ id }) => id),
    );
    const inputs = Tensor.from(model.device, values, [known.length, values.length / known.length]);
    const vectors = await head!.logits(inputs).finally(() => inputs.dispose());
    ledger?.look(known.length);
    const found = await head!.preview!.find(vectors).finally(() => vectors.dispose());
    const drafts = new Map<Request, Choice>();
    for (const [r, request] of requests.entries()) {
      const draft = draftOf(request, found[r]!, greedy);
      if (draft !== undefined) drafts.set(request, draft);
    }
    return drafts;
  };

  return {
    depths,
    planOf,

    /** With `greedy`, the head's first choice, however the text is sampled. */
    async propose(
      requests: readonly Request[],
      { greedy = false }: { readonly greedy?: boolean } = {},
    ): Promise<ReadonlyMap<Request, Choice>> {
      const drafts = new Map<Request, Choice>();
      for (const request of requests) {
        const draft = repeated(request, requests.length);
        if (draft !== undefined) drafts.set(request, draft);
      }
      const open = requests.filter((request) => {
        const { sequence } = request;
        const knows = !drafts.has(request) && (exits !== undefined || newestOf(sequence) !== undefined);
        return knows && planOf(sequence).asks();
      });
      if (open.length === 0) return drafts;
      const guesses = await (exits ? exits.draft(open) : guess(open, greedy));
      return new Map([...drafts, ...guesses]);
    },

    async keepStates(sequence: Sequence, position: number, id: number): Promise<void> {
      if (head === undefined) return;
      const states = await valuesOf(() => concatRows(depths.map((depth) => sequence.stoppedAt(position, depth))));
      newest.set(sequence, { position, id, states });
    },
  };
}
