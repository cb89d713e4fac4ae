/**
 * Lossless decoding: exits draft, the blocks above verify (dynamic self-speculative decoding; arXiv 2407.21082v2,
 * corrected).
 *
 *     draft:    a token after the newest position t, and after that one, until the plan says enough or no exit fires at t
 *     verify:   all positions of the round run the blocks they lack, in one batch; the full model now says what follows each of them
 *     accept:   the drafts before the first that is not the full model's, and then the full model's token: the correction, or after the
 *               last draft the bonus. What came after a rejected draft is cut: tokens, keys, values, states
 *
 * A round gives accepted + 1 tokens, exactly the full model's: at temperature 0 the same ids, and the same bits behind
 * them where the device computes k rows as it computes one; when sampling the same distribution (rejection.ts).
 * End-of-text is a token like any other: a draft of it ends nothing. Nothing is drafted that maxNewTokens could not
 * take, the full model's token included. Positions are filled lazily whatever the policy says: a draft's keys and
 * values must be the full model's. Every accepted position costs exactly L blocks; what is saved is reading the upper
 * blocks' weights once per token.
 */
import { advance, type Model, type Sequence } from "../../model/index.js";
import { type Decoder, type Request, type Round, rowOf } from "../../model/decode/index.js";
import { argmax, concatRows } from "../../tensor/ops/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import type { DecodeListeners, DecodeObserver, ExitChoice } from "../decode/index.js";
import type { Draft, DraftPlan } from "./draft-plan.js";
import { acceptance, residual } from "./rejection.js";

/** Proposes the token after the last position of every sequence; undefined where it has none to propose. */
export type Drafter = (requests: readonly Request[]) => Promise<readonly (ProposedDraft | undefined)[]>;

/** A draft with what it was drawn from; without `distribution` it was certain. */
export type ProposedDraft = Draft & Pick<Partial<ExitChoice>, "distribution">;

/** A round under way: drafts[i] is the token after position start + i. */
interface OpenRound extends Request {
  readonly start: number;
  readonly drafts: ProposedDraft[];
  readonly plan: DraftPlan;
}

/** A decoder of the full model's tokens. `createPlan` is called once for every sequence. */
export function losslessDecoder(
  model: Model,
  propose: Drafter,
  createPlan: () => DraftPlan,
  { observer, ledger, onLogits }: DecodeListeners = {},
): Decoder {
  const { numLayers } = model.config;
  const plans = new WeakMap<Sequence, DraftPlan>();
  const planOf = (sequence: Sequence): DraftPlan => {
    const plan = plans.get(sequence) ?? createPlan();
    plans.set(sequence, plan);
    return plan;
  };

  return {
    meter: ledger,
    async next(requests) {
      const rounds: OpenRound[] = requests.map(({ sequence, sampler, room }) => ({
        sequence,
        sampler,
        room,
        start: sequence.length - 1,
        drafts: [],
        plan: planOf(sequence),
      }));
      await draft(rounds, propose);
      advance(
        model,
        rounds.map(({ sequence, start }) => ({ sequence, positions: positionsFrom(start, sequence.length) })),
        numLayers,
        ledger,
      );
      const logits = scope(() => model.unembed(statesOf(rounds))); // [Σ drafts + 1, V]
      ledger?.unembed(rounds.reduce((rows, { drafts }) => rows + drafts.length + 1, 0));
      onLogits?.(logits);
      const judged = await judge(rounds, logits);
      logits.dispose();
      return judged.map(({ accepted, id }, i) => {
        const { sequence, start, drafts, plan } = rounds[i]!;
        sequence.truncate(start + 1 + accepted);
        plan.learn(drafts, accepted);
        ledger?.drafts(drafts.length, drafts.length - accepted);
        report(observer, start, drafts, accepted);
        return {
          tokens: [...drafts.slice(0, accepted), { id, depth: numLayers }],
          drafted: drafts.length,
        } satisfies Round;
      });
    },
  };
}

/** Proposes what the first drafter proposes and, where that has nothing, what the second does. */
export function firstOf(first: Drafter, second: Drafter): Drafter {
  return async (requests) => {
    const proposed = await first(requests);
    const others = (await second(requests.filter((_, i) => proposed[i] === undefined))).values();
    return proposed.map((token) => token ?? others.next().value);
  };
}

/** Drafts for all rounds side by side, one token each at a time, until none goes on. */
async function draft(rounds: readonly OpenRound[], propose: Drafter): Promise<void> {
  let open = rounds.filter(goesOn);
  while (open.length > 0) {
    const proposed = await propose(open);
    const going: OpenRound[] = [];
    for (const [i, round] of open.entries()) {
      const { sequence, drafts, plan } = round;
      const token = proposed[i];
      // No exit fired, or only one at depth L, where the full model itself is: the position is on its way to depth L,
      // or there.
      if (token === undefined || token.depth === sequence.model.config.numLayers || !plan.keeps(drafts, token)) {
        continue;
      }
      drafts.push(token);
      sequence.append(token.id);
      if (goesOn(round)) going.push(round);
    }
    open = going;
  }
}

function goesOn({ drafts, room, plan }: OpenRound): boolean {
  return drafts.length < room - 1 && plan.more(drafts);
}

/** How many drafts of each round the full model accepts, and its own token after them. */
async function judge(rounds: readonly OpenRound[], logits: Tensor): Promise<{ accepted: number; id: number }[]> {
  let row = 0;
  if (rounds.every(({ sampler }) => sampler.greedy)) {
    const ids = await argmax(logits);
    return rounds.map(({ drafts }) => {
      const own = ids.slice(row, (row += drafts.length + 1));
      const mismatch = drafts.findIndex(({ id }, i) => id !== own[i]);
      const accepted = mismatch < 0 ? drafts.length : mismatch;
      return { accepted, id: own[accepted]! };
    });
  }
  const values = await logits.read();
  return rounds.map(({ sampler, sequence, start, drafts }) => {
    const first = row;
    row += drafts.length + 1;
    for (let i = 0; ; i++) {
      const p = sampler.distribution(rowOf(values, first + i, logits.shape[1]!), sequence.ids.slice(0, start + i + 1));
      const token = drafts[i];
      if (token === undefined) return { accepted: i, id: sampler.draw(p) };
      const q = token.distribution ?? oneHot(token.id, p.length);
      if (!sampler.chance(acceptance(p, q, token.id))) return { accepted: i, id: sampler.draw(residual(p, q)) };
    }
  });
}

/** The states of all positions of all rounds, under one another. */
function statesOf(rounds: readonly OpenRound[]): Tensor {
  const states = rounds.map(({ sequence, start }) => sequence.hidden(start, sequence.length));
  return states.length === 1 ? states[0]! : concatRows(states);
}

function positionsFrom(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}

function oneHot(id: number, length: number): Float64Array {
  const q = new Float64Array(length);
  q[id] = 1;
  return q;
}

/** What the full model said of each draft that it was asked about. */
function report(observer: DecodeObserver | undefined, start: number, drafts: readonly Draft[], accepted: number): void {
  if (observer === undefined) return;
  for (const [i, { exit, depth, score }] of drafts.slice(0, accepted + 1).entries()) {
    if (exit !== undefined && score !== undefined) {
      observer.observe({ type: "verified", position: start + i, exit, depth, score, agrees: i < accepted });
    }
  }
  observer.observe({ type: "round", drafted: drafts.length, accepted });
}
