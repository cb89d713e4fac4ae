/**
 * Early-exit decoding (lossy): run block by block; at an exit, if the score passes the threshold, emit the head's token
 * and skip the blocks above.
 *
 *     for every exit, shallow to deep:   run to its depth; emit the head's token and stop if the score passes
 *     no exit fired:                     run to depth L; emit the full model's token
 *
 * An exit at depth L only avoids the product with the whole unembedding (heads/preview.ts).
 *
 * Sequences are decoded together, and each leaves at its own exit. Positions that stopped early before and whose keys
 * and values are needed now run along in `advance` (see fill.ts). With fill `lazy`, sequences that have left go on with
 * those that have not, as long as there are any: each position runs all blocks sooner or later, and rows that stay
 * together fill the tiles of the products (other ways, compared: bench/serving.ts).
 */
import { advance, pendingAt } from "../../model/advance.js";
import type { Model } from "../../model/index.js";
import {
  type Choice,
  type Decoder,
  lastStates,
  plainDecoder,
  type Request,
  type Round,
} from "../../model/decode/decoder.js";
import { nonFiniteError } from "../../model/decode/non-finite.js";
import { rowOf } from "../../model/decode/final-logits.js";
import type { Ledger } from "../cost/ledger.js";
import { fills } from "../fill/fill.js";
import { decide } from "../heads/score.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import type { Policy } from "../plan/policy.js";
import { type DecodeListeners, exitsNow } from "./observe.js";

export interface ExitChoice extends Choice {
  readonly exit: number;
  readonly score: number;
}

/**
 * Leaves early by the policy's thresholds, or by the observer's. The policy must be made for these heads. At depths
 * `stops`, too, sequences that keep states (`heldFrom`) pause, so that a look-ahead head can read them.
 */
export function earlyExitDecoder(
  heads: ExitHeads,
  policy: Policy,
  listeners: DecodeListeners = {},
  stops: readonly number[] = [],
): Decoder {
  const { model } = heads;
  const { numLayers } = model.config;
  const { ledger, onLogits } = listeners;
  const fullModel = plainDecoder(model, ledger, onLogits);
  const together = policy.fill === "lazy";
  return {
    meter: ledger,
    async next(requests) {
      const choices = await leaveEarly(heads, policy, requests, listeners, { together, stops });
      const rounds = new Map<Request, Round>();
      for (const [request, choice] of choices) {
        const { sequence } = request;
        if (choice.depth < numLayers) {
          fills[policy.fill].apply(heads, sequence, sequence.length - 1, choice.exit, ledger);
        }
        rounds.set(request, { tokens: [choice], drafted: 0 });
      }
      const staying = requests.filter((request) => !choices.has(request));
      if (staying.length > 0) {
        run(model, together ? requests : staying, { depth: numLayers, stops, ledger });
        const full = await fullModel.next(staying);
        staying.forEach((request, i) => rounds.set(request, full[i]!));
      }
      return requests.map((request) => rounds.get(request)!);
    },
  };
}

/**
 * Runs the last position of every sequence from exit to exit, none deeper than `deepest`. With `together`, sequences
 * that have left run along to the next exit of those that have not. Returns the tokens of those that left, each from
 * the first exit that fired.
 */
export async function leaveEarly(
  { model, heads }: ExitHeads,
  policy: Policy,
  requests: readonly Request[],
  { observer, ledger, onExitLogits }: DecodeListeners = {},
  {
    deepest = Infinity,
    together = false,
    stops = [],
  }: { readonly deepest?: number; readonly together?: boolean; readonly stops?: readonly number[] } = {},
): Promise<ReadonlyMap<Request, ExitChoice>> {
  const choices = new Map<Request, ExitChoice>();
  let open = requests;
  for (const [exit, { threshold }] of exitsNow(policy, observer, deepest).entries()) {
    if (threshold === "never" || open.length === 0) continue;
    const head = heads[exit]!;
    const { depth } = head;
    run(model, together ? requests : open, { depth, stops, ledger });
    const states = lastStates(open, depth);
    const logits = await head.logits(states).finally(() => states.dispose()); // [R, C] -> [R, V]
    try {
      ledger?.head(exit, open.length);
      const confidences = await head.confidences(logits);
      const broken = confidences.findIndex(({ top1 }) => !Number.isFinite(top1));
      if (broken >= 0) {
        throw await nonFiniteError(model, open[broken]!.sequence.ids, { what: `the logits of exit ${exit}`, depth });
      }
      const { scores, left } = decide(confidences, policy.score, threshold);
      onExitLogits?.(
        exit,
        logits,
        open.map(({ sequence }) => sequence),
        left,
      );
      // A greedy token is the argmax in the confidence.
      const read = open.some(({ sampler }, r) => left[r] && (!sampler.greedy || sampler.watch));
      const values = read ? await head.allLogits(logits) : undefined; // R·V
      for (const [r, request] of open.entries()) {
        const { sequence, sampler } = request;
        const score = scores[r]!;
        observer?.observe({ type: "exit", position: sequence.length - 1, exit, depth, score, left: left[r]! });
        if (!left[r]) continue;
        const row = values && rowOf(values, r, model.config.vocabSize);
        sampler.watch?.(row!);
        const distribution = sampler.greedy ? undefined : sampler.distribution(row!, sequence.ids);
        const id = distribution ? sampler.draw(distribution) : confidences[r]!.argmax;
        choices.set(request, { id, depth, exit, score, distribution });
      }
      open = open.filter((_, r) => !left[r]);
    } finally {
      logits.dispose();
    }
  }
  return choices;
}

interface Way {
  readonly depth: number;
  readonly stops: readonly number[];
  readonly ledger: Ledger | undefined;
}

/** Runs the positions that sequences lack up to a depth. */
function run(model: Model, requests: readonly Request[], { depth, stops, ledger }: Way): void {
  const held = requests.some(({ sequence }) => sequence.heldFrom < sequence.length);
  for (const stop of [...(held ? stops : []).filter((stop) => stop < depth), depth]) {
    advance(model, pendingAt(requests, stop), stop, ledger);
  }
}
