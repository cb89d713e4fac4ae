/**
 * Drafts beside exits. A policy has a text of its own, which no draft may change: the position after the newest one
 * runs along as a second row (`Sequence.runAlong`), and counts for nothing until the policy has chosen the token before
 * it. If that is the draft, the next round finds blocks that have run, and judges exits by the states where the row
 * stopped: tokens, depths and scores are those without drafts. Otherwise nothing is left of the row.
 *
 * What followed a repetition is a draft after any token, the guess of a look-ahead head after one that took all
 * blocks. It is the head's first choice, however the text is sampled, so random numbers are drawn as without it.
 */
import type { Decoder } from "../../model/decode/decoder.js";
import { earlyExitDecoder } from "../decode/decode.js";
import type { DecodeListeners } from "../decode/observe.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { ascending } from "../heads/placement.js";
import type { Policy } from "../plan/policy.js";
import type { LookAhead } from "./look-ahead.js";

export function draftBesideExits(
  heads: ExitHeads,
  policy: Policy,
  looking: LookAhead,
  listeners: DecodeListeners,
): Decoder {
  const stops = ascending([...heads.depths, ...looking.depths]);
  const decoder = earlyExitDecoder(heads, policy, listeners, stops);
  return {
    ...decoder,
    async next(requests) {
      const [request] = requests;
      // Texts are rows beside each other.
      if (request === undefined || requests.length > 1) return decoder.next(requests);
      const { sequence, room } = request;
      const position = sequence.length - 1;
      // No token may follow the next one, or the newest position has run along.
      const closed = room === 1 || sequence.depthOf(position) > 0;
      const draft = closed ? undefined : (await looking.propose(requests, { greedy: true })).get(request);
      const plan = looking.planOf(sequence);
      const asks = plan.asks();
      if (draft === undefined && !asks) return decoder.next(requests);
      sequence.heldFrom = position;
      if (draft !== undefined) sequence.runAlong(draft.id);
      const rounds = await decoder.next(requests);
      const { id, depth } = rounds[0]!.tokens[0]!;
      const drafts = sequence.draft === undefined ? [] : [depth];
      const accepted = Number(sequence.draft === id);
      plan.endRound(drafts, accepted);
      listeners.ledger?.drafts(drafts.length, drafts.length - accepted);
      if (asks && depth === heads.model.config.numLayers) await looking.keepStates(sequence, position, id);
      sequence.heldFrom = Infinity;
      return rounds;
    },
  };
}
