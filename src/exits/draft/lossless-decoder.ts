/**
 * Lossless decoding: exits or others draft, the blocks above verify (dynamic self-speculative decoding; arXiv
 * 2407.21082v2, corrected). A round at the newest position t:
 *
 *     draft:    propose the token after t, then the one after that, until the plan stops or no exit fires
 *     verify:   run all positions of the round through the blocks that they lack, in one batch; the full model's
 *               logits then say what follows each of them
 *     accept:   keep the drafts before the first one that the full model rejects, and add the full model's own
 *               token: the correction, or the bonus after the last draft. Cut what follows a rejected draft:
 *               tokens, keys, values, states
 *
 * A round yields accepted + 1 tokens, exactly the full model's. At temperature 0 they are the same ids, with
 * bit-identical logits if the device computes k rows as it computes one; sampled tokens have the same distribution
 * (rejection.ts). End-of-text is a token like any other, so a draft of it ends nothing. No draft goes beyond
 * maxNewTokens, which includes the full model's token. Positions are always filled lazily, whatever the policy's fill,
 * because a draft's keys and values must be the full model's. Every accepted position costs exactly L blocks; what is
 * saved is reading the upper blocks' weights once per token.
 */
import { type Choice, type Decoder, logitsNeeded, type Request, type Round } from "../../model/decode/decoder.js";
import { type FinalLogits, finalLogits } from "../../model/decode/final-logits.js";
import { nonFiniteError } from "../../model/decode/non-finite.js";
import { statesOf } from "../../model/advance.js";
import { range } from "../../model/families/family.js";
import { advance, type Model, type Sequence, type Work } from "../../model/index.js";
import type { DecodeListeners } from "../decode/observe.js";
import type { DraftPlan } from "./draft-plan.js";
import { acceptance, residual, residualOfCertain } from "./rejection.js";

/** Guesses tokens that the full model has not chosen yet. */
export interface Drafter {
  /** Says how many guesses in a row are worth judging. */
  planOf(sequence: Sequence): DraftPlan;
  /** A token after the last position of each sequence, or of some. */
  propose(requests: readonly Request[]): Promise<ReadonlyMap<Request, Choice>>;
  /** Depths at which verification stops so that it can read states there, ascending, the last one L. @default none */
  readonly depths?: readonly number[];
  /** Keeps the states at `depths` of the newest position that was verified, where the full model chose token `id`. */
  keepStates?(sequence: Sequence, position: number, id: number): Promise<void>;
}

/** drafts[i] is the token after position start + i. */
interface OpenRound extends Request {
  readonly start: number;
  readonly drafts: Choice[];
  readonly plan: DraftPlan;
  /** How often a draft was asked for. */
  tries: number;
}

/** Accepted drafts of a round, and the full model's token after them. */
interface Verdict {
  readonly accepted: number;
  readonly id: number;
}

/** Yields the full model's tokens. */
export function losslessDecoder(model: Model, drafter: Drafter, listeners: DecodeListeners = {}): Decoder {
  const { ledger: meter, onLogits } = listeners;
  const { numLayers, vocabSize } = model.config;
  let scratch: Float64Array | undefined; // large arrays are slow to allocate
  return {
    meter,
    async next(requests) {
      const rounds = requests.map((request): OpenRound => {
        const { sequence, sampler, room } = request;
        sequence.heldFrom = sequence.length - 1; // drafts from depth L are finished
        const plan = drafter.planOf(sequence);
        return { sequence, sampler, room, start: sequence.heldFrom, drafts: [], plan, tries: 0 };
      });
      await draft(rounds, drafter);
      // All positions of all rounds run to depth L in one batch.
      for (const depth of [...(drafter.depths ?? []), numLayers]) advance(model, workOf(rounds), depth, meter);
      const needed = rounds.flatMap(({ sampler, drafts }) =>
        Array<number | undefined>(drafts.length + 1).fill(logitsNeeded(sampler)),
      );
      const logits = await finalLogits(model, () => statesOf(workOf(rounds)), needed, { meter, onLogits });
      if (logits.nonFinite !== undefined) throw await nonFiniteOf(model, rounds, logits.nonFinite);
      const verdicts = judge(rounds, logits, () => (scratch ??= new Float64Array(vocabSize)));
      for (const [i, { accepted, id }] of verdicts.entries()) {
        const { sequence, start } = rounds[i]!;
        await drafter.keepStates?.(sequence, start + accepted, id);
      }
      return rounds.map((round, i) => close(round, verdicts[i]!, listeners));
    },
  };
}

/** Drafts for all rounds side by side, one token at a time, until each has stopped. */
async function draft(rounds: readonly OpenRound[], drafter: Drafter): Promise<void> {
  let open = rounds.filter(mayDraft);
  while (open.length > 0) {
    const proposals = await drafter.propose(open);
    for (const round of open) {
      round.tries++;
      const proposal = proposals.get(round);
      if (proposal === undefined) continue;
      round.drafts.push(proposal);
      round.sequence.append(proposal.id);
    }
    open = open.filter((round) => proposals.has(round) && mayDraft(round));
  }
}

function mayDraft({ drafts, room, plan }: OpenRound): boolean {
  return drafts.length < room - 1 && plan.more(drafts.length);
}

function workOf(rounds: readonly OpenRound[]): Work[] {
  return rounds.map(({ sequence, start }) => ({ sequence, positions: range(start, sequence.length) }));
}

/** `row` counts in the rounds' logits. */
function nonFiniteOf(model: Model, rounds: readonly OpenRound[], row: number): Promise<Error> {
  const ids = rounds.flatMap(({ sequence, start }) =>
    range(start, sequence.length).map((position) => sequence.ids.slice(0, position + 1)),
  );
  return nonFiniteError(model, ids[row]!, { what: "the logits" });
}

function judge(rounds: readonly OpenRound[], logits: FinalLogits, scratch: () => Float64Array): Verdict[] {
  let first = 0;
  return rounds.map((round) => {
    const from = first;
    first += round.drafts.length + 1;
    return round.sampler.greedy
      ? judgeGreedy(round, (row) => logits.argmax(from + row))
      : judgeSampled(round, (row) => logits.row(from + row), scratch());
  });
}

/** Accepts drafts that equal the argmax; argmaxAt(i) is the one after position start + i. */
function judgeGreedy({ drafts }: OpenRound, argmaxAt: (i: number) => number): Verdict {
  const mismatch = drafts.findIndex(({ id }, i) => id !== argmaxAt(i));
  const accepted = mismatch < 0 ? drafts.length : mismatch;
  return { accepted, id: argmaxAt(accepted) };
}

/** By rejection sampling; rowAt(i) is the full model's logits after position start + i. */
function judgeSampled(
  { sampler, sequence, start, drafts }: OpenRound,
  rowAt: (i: number) => Float32Array,
  scratch: Float64Array,
): Verdict {
  const targetAt = (i: number): Float64Array =>
    sampler.distribution(rowAt(i), sequence.ids.slice(0, start + i + 1), scratch);
  for (const [i, { id, distribution: q }] of drafts.entries()) {
    const p = targetAt(i); // [V]
    if (sampler.chance(q === undefined ? p[id]! : acceptance(p, q, id))) continue;
    return { accepted: i, id: sampler.draw(q === undefined ? residualOfCertain(p, id) : residual(p, q, p)) };
  }
  return { accepted: drafts.length, id: sampler.draw(targetAt(drafts.length)) };
}

/** Cuts what follows the accepted drafts, reports those of exits up to the first rejected one; returns the tokens. */
function close(
  { sequence, start, drafts, plan, tries }: OpenRound,
  { accepted, id }: Verdict,
  { observer, ledger }: DecodeListeners,
): Round {
  sequence.truncate(start + 1 + accepted);
  plan.endRound(
    drafts.map(({ depth }) => depth),
    accepted,
    tries,
  );
  ledger?.drafts(drafts.length, drafts.length - accepted);
  for (const [i, { exit, depth, score = NaN }] of drafts.slice(0, accepted + 1).entries()) {
    if (exit === undefined) continue;
    observer?.observe({ type: "verified", position: start + i, exit, depth, score, agrees: i < accepted });
  }
  observer?.observe({ type: "round", drafted: drafts.length, accepted });
  const own = { id, depth: sequence.model.config.numLayers };
  return { tokens: [...drafts.slice(0, accepted), own], drafted: drafts.length };
}
