/**
 * What becomes of the rows of a round after some of them have left at an exit. Every way gives the same tokens, because
 * the fill is exact; they differ in which rows run together.
 *   remaining   the rows that have not left go on; those that have wait for the next round
 *   all         rows that have left go on too, so that no later round has to fill them; all rows stay together (what
 *               the library does)
 *   apart       rows that have left begin their next token at once, and rows that have not wait at the deepest exit
 *               below L until `size` of them have come together, or no other is left
 */
import type { ExitHeads, Policy } from "early-exits";
import { createDecoder } from "early-exits/exits";
import { leaveEarly } from "../../src/exits/decode/index.js";
import type { Decoder, Request } from "../../src/model/decode/index.js";

/** Runs some of the requests, and returns the tokens that have been chosen. */
export type Step = (requests: readonly Request[]) => Promise<ReadonlyMap<Request, number>>;

export interface ReBatching {
  readonly name: string;
  readonly start: (heads: ExitHeads, policy: Policy) => Step;
}

export const reBatchings: readonly ReBatching[] = [
  { name: "the remaining rows go on", start: remaining },
  { name: "all rows go on", start: allTogether },
  { name: "rows apart, 4 go on together", start: (heads, policy) => apart(heads, policy, 4) },
  { name: "rows apart, all that wait go on together", start: (heads, policy) => apart(heads, policy, Infinity) },
];

/** Plain decoding, which batches nothing again. */
export function plain(heads: ExitHeads): Step {
  return (requests) => roundOf(createDecoder(heads.model), requests);
}

/** What `generateBatch` and the batcher do. */
function allTogether(heads: ExitHeads, policy: Policy): Step {
  const decoder = createDecoder(heads, { policy });
  return (requests) => roundOf(decoder, requests);
}

function remaining(heads: ExitHeads, policy: Policy): Step {
  const full = createDecoder(heads.model);
  return async (requests) => {
    const chosen = new Map<Request, number>();
    await leaveInto(chosen, heads, policy, requests);
    const rest = requests.filter((request) => !chosen.has(request));
    if (rest.length > 0) await addRound(chosen, full, rest);
    return chosen;
  };
}

function apart(heads: ExitHeads, policy: Policy, size: number): Step {
  const { numLayers } = heads.model.config;
  const full = createDecoder(heads.model);
  const shallow = exitsBetween(policy, 1, numLayers - 1);
  const deep = exitsBetween(policy, numLayers, numLayers);
  const waiting = new Set<Request>();
  return async (requests) => {
    const chosen = new Map<Request, number>();
    const fresh = requests.filter((request) => !waiting.has(request));
    if (fresh.length > 0 && waiting.size < size) {
      await leaveInto(chosen, heads, shallow, fresh);
      for (const request of fresh.filter((one) => !chosen.has(one))) waiting.add(request);
      return chosen;
    }
    const together = [...waiting];
    waiting.clear();
    await leaveInto(chosen, heads, deep, together);
    const rest = together.filter((request) => !chosen.has(request));
    if (rest.length > 0) await addRound(chosen, full, rest);
    return chosen;
  };
}

/** Adds the tokens of one round of a decoder. */
async function addRound(chosen: Map<Request, number>, decoder: Decoder, requests: readonly Request[]): Promise<void> {
  for (const [request, id] of await roundOf(decoder, requests)) chosen.set(request, id);
}

async function roundOf(decoder: Decoder, requests: readonly Request[]): Promise<ReadonlyMap<Request, number>> {
  const rounds = await decoder.next(requests);
  return new Map(requests.map((request, r) => [request, rounds[r]!.tokens[0]!.id]));
}

/** Adds the tokens of the requests that leave. */
async function leaveInto(
  chosen: Map<Request, number>,
  heads: ExitHeads,
  policy: Policy,
  requests: readonly Request[],
): Promise<void> {
  for (const [r, choice] of (await leaveEarly(heads, policy, requests)).entries()) {
    if (choice !== undefined) chosen.set(requests[r]!, choice.id);
  }
}

/** The policy without its exits above and below these depths. */
function exitsBetween(policy: Policy, from: number, to: number): Policy {
  const exits = policy.exits.map((exit) =>
    exit.depth >= from && exit.depth <= to ? exit : { ...exit, threshold: "never" as const },
  );
  return { ...policy, exits };
}
