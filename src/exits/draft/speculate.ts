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
 * (`acceptance`). End-of-text is a token like any other, so a draft of it ends nothing. No draft goes beyond
 * maxNewTokens, which includes the full model's token. Positions are always filled lazily, whatever the policy's fill,
 * because a draft's keys and values must be the full model's. Every accepted position costs exactly L blocks; what is
 * saved is reading the upper blocks' weights once per token.
 */
import { type Choice, type Decoder, logitsNeeded, type Request, type Round } from "../../model/decode/decoder.js";
import { type FinalLogits, finalLogits } from "../../model/decode/final-logits.js";
import { nonFiniteError } from "../../model/decode/non-finite.js";
import { range } from "../../model/families/family.js";
import { advance, type Model, type Sequence, type Work } from "../../model/index.js";
import type { Tensor } from "../../tensor/index.js";
import { concatRows } from "../../tensor/ops/select.js";
import { costOfRows, type UnitCosts } from "../cost/unit-costs.js";
import type { DecodeListeners } from "../decode/observe.js";

// The length of drafts. If a share α of drafts is accepted, a round of n drafts yields E(n) = 1 + α + … + αⁿ tokens in
// the time T(n) = T(0) + c(1) + … + c(n), where T(0) is that of a plain token and c(n) what draft number n adds. One
// more draft is tried if it brings a tenth more tokens per time than the round has without it: costs leave out what
// happens in between (reading back, choosing, judging).
//
//     α^(n+1) / c(n+1)  >  1.1 · E(n) / T(n)
//
// A draft from an exit at depth d of L costs the heads that were evaluated for it, the blocks below the exit for the
// next position, and one more row in the blocks above and in the final head when the round is verified. With b(k) the
// cost of a block and u(k) that of the final head for k rows together,
//
//     c(n) = heads + d·b(1) + (L - d)·(b(n+1) - b(n)) + u(n+1) - u(n)
//
// α, d and heads are means of what was seen in this text, where no exit's firing counts as heads without a draft. They
// start from a prior and drift back to it, so drafting that did not pay is tried again now and then; where it could not
// pay even at the prior, nothing is ever drafted. No clock takes part, so a run repeats exactly, and no drafted token,
// as exact sampling requires.

export interface DraftPlan {
  /** True if one more draft after these `drafts` is expected to gain. */
  more(drafts: number): boolean;
  /** Ends a round: the depths of its drafts, of which the first `accepted` were. */
  learn(depths: readonly number[], accepted: number): void;
}

interface DraftingExit {
  readonly depth: number;
  readonly head: number;
}

/** Prior acceptance, and the number of drafts that it counts as. */
const PRIOR_ACCEPTANCE = 0.8;
export const PRIOR_DRAFTS = 8;

/** A round's weight relative to the next one's. */
export const MEMORY = 0.99;

/** The gain that a draft must promise. */
const MARGIN = 1.1;

/** Plans one sequence. Costs are in any one unit; `exits` ascend by depth. */
export function draftPlan(
  numLayers: number,
  exits: readonly DraftingExit[],
  { block, finalHead }: Pick<UnitCosts, "block" | "finalHead">,
): DraftPlan {
  const plain = numLayers * costOfRows(block, 1) + costOfRows(finalHead, 1);
  // Sums over rounds. Drafts after a rejected one are not tested.
  const prior = {
    tested: PRIOR_DRAFTS,
    accepted: PRIOR_DRAFTS * PRIOR_ACCEPTANCE,
    drafts: 2,
    depth: numLayers,
    heads: 0,
  };
  let seen = prior;
  let tries = 0; // in this round

  /** c(n) */
  const costOf = (n: number): number => {
    const depth = seen.depth / seen.drafts;
    return (
      seen.heads / seen.drafts +
      depth * costOfRows(block, 1) +
      (numLayers - depth) * (costOfRows(block, n + 1) - costOfRows(block, n)) +
      costOfRows(finalHead, n + 1) -
      costOfRows(finalHead, n)
    );
  };
  /** Cost of the heads on the way to this depth. */
  const headsTo = (depth: number): number =>
    exits.reduce((sum, exit) => (exit.depth <= depth ? sum + exit.head : sum), 0);

  return {
    more(drafts) {
      const acceptance = seen.accepted / seen.tested;
      let tokens = 1;
      let time = plain;
      for (let n = 1; n <= drafts; n++) {
        tokens += acceptance ** n;
        time += costOf(n);
      }
      const gains = acceptance ** (drafts + 1) * time > MARGIN * tokens * costOf(drafts + 1);
      if (gains) tries++;
      return gains;
    },

    learn(depths, accepted) {
      const misses = tries - depths.length;
      const add = (name: keyof typeof prior, value: number): number =>
        prior[name] + MEMORY * (seen[name] - prior[name]) + value;
      seen = {
        tested: add("tested", Math.min(accepted + 1, depths.length)),
        accepted: add("accepted", accepted),
        drafts: add("drafts", depths.length),
        depth: add("depth", sumOf(depths)),
        heads: add("heads", sumOf(depths.map(headsTo)) + misses * headsTo(numLayers)),
      };
      tries = 0;
    },
  };
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** A token that the full model has not chosen yet. */
export interface DraftChoice extends Choice {
  /** The distribution drawn from, after the processors; absent if no other token was possible. */
  readonly distribution?: Float64Array | undefined;
}

/** Proposes the token after every sequence's last position; undefined for none. */
export type Drafter = (requests: readonly Request[]) => Promise<readonly (DraftChoice | undefined)[]>;

/** A drafter that reads states of the newest position that was verified. */
export interface Watcher {
  /** Depths at which verification stops for it, ascending, the last one L. */
  readonly depths: readonly number[];
  /** The newest position that was verified, whose states at all depths are kept, and the token chosen there. */
  learn(sequence: Sequence, position: number, id: number): Promise<void>;
}

/** drafts[i] is the token after position start + i. */
interface OpenRound extends Request {
  readonly start: number;
  readonly drafts: DraftChoice[];
  readonly plan: DraftPlan;
}

/** Accepted drafts of a round, and the full model's token after them. */
interface Verdict {
  readonly accepted: number;
  readonly id: number;
}

/** Yields the full model's tokens. `createPlan` is called once per sequence. */
export function losslessDecoder(
  model: Model,
  propose: Drafter,
  createPlan: (sequence: Sequence) => DraftPlan,
  listeners: DecodeListeners = {},
  watcher?: Watcher,
): Decoder {
  const { ledger: meter, onLogits } = listeners;
  const { numLayers, vocabSize } = model.config;
  const plans = new WeakMap<Sequence, DraftPlan>();
  let scratch: Float64Array | undefined; // large arrays are slow to allocate
  const planOf = (sequence: Sequence): DraftPlan => {
    const plan = plans.get(sequence) ?? createPlan(sequence);
    plans.set(sequence, plan);
    return plan;
  };

  return {
    meter,
    async next(requests) {
      const rounds = requests.map((request): OpenRound => {
        const { sequence, sampler, room } = request;
        sequence.heldFrom = sequence.length - 1; // drafts from depth L are finished
        return { sequence, sampler, room, start: sequence.heldFrom, drafts: [], plan: planOf(sequence) };
      });
      await draft(rounds, propose);
      // All positions of all rounds run to depth L in one batch.
      for (const depth of [...(watcher?.depths ?? []), numLayers]) advance(model, workOf(rounds), depth, meter);
      const needed = rounds.flatMap(({ sampler, drafts }) =>
        Array<number | undefined>(drafts.length + 1).fill(logitsNeeded(sampler)),
      );
      const logits = await finalLogits(model, () => statesOf(rounds), needed, { meter, onLogits });
      if (logits.nonFinite !== undefined) throw await nonFiniteOf(model, rounds, logits.nonFinite);
      const verdicts = judge(rounds, logits, () => (scratch ??= new Float64Array(vocabSize)));
      for (const [i, { accepted, id }] of verdicts.entries()) {
        const { sequence, start } = rounds[i]!;
        await watcher?.learn(sequence, start + accepted, id);
      }
      return rounds.map((round, i) => close(round, verdicts[i]!, listeners));
    },
  };
}

/** Drafts for all rounds side by side, one token at a time, until each has stopped. */
async function draft(rounds: readonly OpenRound[], propose: Drafter): Promise<void> {
  let open = rounds.filter(mayDraft);
  while (open.length > 0) {
    const proposals = await propose(open);
    const going: OpenRound[] = [];
    for (const [i, round] of open.entries()) {
      const proposal = proposals[i];
      if (proposal === undefined) continue;
      round.drafts.push(proposal);
      round.sequence.append(proposal.id);
      if (mayDraft(round)) going.push(round);
    }
    open = going;
  }
}

function mayDraft({ drafts, room, plan }: OpenRound): boolean {
  return drafts.length < room - 1 && plan.more(drafts.length);
}

function workOf(rounds: readonly OpenRound[]): Work[] {
  return rounds.map(({ sequence, start }) => ({ sequence, positions: range(start, sequence.length) }));
}

/** [Σ (drafts + 1), C] */
function statesOf(rounds: readonly OpenRound[]): Tensor {
  const ofRounds = rounds.map(({ sequence, start }) => sequence.hidden(start, sequence.length)); // [drafts + 1, C]
  return ofRounds.length === 1 ? ofRounds[0]! : concatRows(ofRounds);
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

// Rejection sampling: exact samples from p, by way of a cheaper q (Leviathan et al. 2023; Chen et al. 2023). A draft
// x ~ q is accepted with probability min(1, p(x)/q(x)); a rejected one is replaced by a draw from the residual
// (p - q)+ / Σ(p - q)+, where (·)+ is max(0, ·). Then
//   P(x) = min(p(x), q(x)) + (1 - Σ min(p, q)) · (p(x) - q(x))+ / Σ(p - q)+ = p(x)
// This is exact only if the decision to draft did not depend on x.

export function acceptance(p: Float64Array, q: Float64Array, x: number): number {
  return Math.min(1, p[x]! / q[x]!);
}

/** Written to `into`, which may be p. */
export function residual(
  p: Float64Array,
  q: Float64Array,
  into: Float64Array = new Float64Array(p.length),
): Float64Array {
  let total = 0;
  for (let i = 0; i < p.length; i++) total += Math.max(0, p[i]! - q[i]!);
  if (total === 0) return p; // p = q up to rounding: only rounding can have rejected the draft
  for (let i = 0; i < p.length; i++) into[i] = Math.max(0, p[i]! - q[i]!) / total;
  return into;
}

/** The same if x was certain, in place. */
function without(p: Float64Array, x: number): Float64Array {
  p[x] = 0;
  const total = p.reduce((sum, share) => sum + share, 0);
  for (let i = 0; i < p.length; i++) p[i]! /= total;
  return p;
}

/** Rejection sampling; rowAt(i) is the full model's logits after position start + i. */
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
    return { accepted: i, id: sampler.draw(q === undefined ? without(p, id) : residual(p, q, p)) };
  }
  return { accepted: drafts.length, id: sampler.draw(targetAt(drafts.length)) };
}

/** Cuts what follows the accepted drafts, reports those of exits up to the first rejected one; returns the tokens. */
function close(
  { sequence, start, drafts, plan }: OpenRound,
  { accepted, id }: Verdict,
  { observer, ledger }: DecodeListeners,
): Round {
  sequence.truncate(start + 1 + accepted);
  plan.learn(
    drafts.map(({ depth }) => depth),
    accepted,
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
