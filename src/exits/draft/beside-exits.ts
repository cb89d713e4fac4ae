/**
 * Drafts beside exits. A policy has a text of its own, which no draft may change: the position after the newest one
 * runs along as a second row (`Sequence.runAlong`), and counts for nothing until the policy has chosen the token before
 * it. If that is the draft, the next round finds blocks that have run, and judges exits by the states where the row
 * stopped: tokens, depths and scores are those without drafts. Otherwise nothing is left of the row.
 *
 * What followed a repetition is a draft after any token, the guess of a look-ahead head after one that took all
 * blocks. It is the head's first choice, however the text is sampled, so random numbers are drawn as without it.
 */
import type { Decoder, Request, Round } from "../../model/decode/decoder.js";
import type { Sequence } from "../../model/index.js";
import { earlyExitDecoder } from "../decode/decode.js";
import type { DecodeListeners } from "../decode/observe.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { ascending } from "../heads/placement.js";
import type { Policy } from "../plan/policy.js";
import type { AheadPlan, LookAhead } from "./look-ahead.js";
import type { DraftChoice } from "./speculate.js";

interface Planned {
  planOf(sequence: Sequence): Pick<AheadPlan, "looks" | "learn">;
}

export function draftBesideExits(
  heads: ExitHeads,
  policy: Policy,
  looking: Pick<LookAhead, "depths" | "repeated" | "propose" | "learn"> & Planned,
  listeners: DecodeListeners,
): Decoder {
  const stops = ascending([...heads.depths, ...looking.depths]);
  const decoder = earlyExitDecoder(heads, policy, listeners, stops);
  const nextWith = async (
    request: Request,
    repeated: DraftChoice | undefined,
    looks: boolean,
  ): Promise<readonly Round[]> => {
    const { sequence } = request;
    const position = sequence.length - 1;
    const [draft] = repeated || !isFree(request) ? [repeated] : await looking.propose([request], true);
    sequence.heldFrom = position;
    if (draft !== undefined) sequence.runAlong(draft.id);
    const rounds = await decoder.next([request]);
    const { id, depth } = rounds[0]!.tokens[0]!;
    const drafts = sequence.draft === undefined ? [] : [depth];
    const accepted = Number(sequence.draft === id);
    looking.planOf(sequence).learn(drafts, accepted);
    listeners.ledger?.drafts(drafts.length, drafts.length - accepted);
    if (looks && depth === heads.model.config.numLayers) await looking.learn(sequence, position, id);
    sequence.heldFrom = Infinity;
    return rounds;
  };
  return {
    ...decoder,
    next(requests) {
      const [request] = requests;
      // Texts are rows beside each other.
      if (request === undefined || requests.length > 1) return decoder.next(requests);
      const repeated = isFree(request) ? looking.repeated(request, 1) : undefined;
      const looks = looking.planOf(request.sequence).looks();
      return repeated === undefined && !looks ? decoder.next(requests) : nextWith(request, repeated, looks);
    },
  };
}

/** True if the newest position has not run along, and a token may follow the next. */
function isFree({ sequence, room }: Request): boolean {
  return room > 1 && sequence.depthOf(sequence.length - 1) === 0;
}
