/**
 * Early-exit decoding (lossy): run block by block; at an exit, if the head is sure enough, emit its token and skip the blocks above.
 *
 *     for every exit, shallow to deep:   run to its depth; emit and stop if score passes threshold
 *     no exit fired:                     run to depth L; emit the full model's token
 *
 * Positions that stopped early before and are still needed ride along in `advance` (see fill.ts). The decision looks at the head's
 * distribution only, never at a sampled token.
 */
import { advance } from "../model/advance.js";
import { type Decoder, plainDecoder, type Sampler } from "../model/generate.js";
import { scope } from "../tensor/tensor.js";
import { fills } from "./fill.js";
import type { ExitHeads } from "./heads.js";
import type { Ledger } from "./ledger.js";
import { type DecodeObserver, thresholdsNow } from "./observe.js";
import type { Policy } from "./policy.js";
import { exitFires, readConfidences, scoreOf } from "./score.js";

/** Who listens while tokens are chosen. */
export interface DecodeListeners {
  /** Told of every head evaluated; may set the thresholds. */
  readonly observer?: DecodeObserver | undefined;
  /** Told of everything that ran. */
  readonly ledger?: Ledger | undefined;
}

/** A decoder that leaves early as the policy says, or as the observer's thresholds do. The heads must be frozen (packed), and the policy made for them. */
export function earlyExitDecoder({ model, heads }: ExitHeads, policy: Policy, sampler: Sampler, { observer, ledger }: DecodeListeners = {}): Decoder {
  const { numLayers } = model.config;
  const fullDepth = plainDecoder(model, sampler, ledger);
  return {
    meter: ledger,
    async nextToken(sequence) {
      const position = sequence.length - 1;
      const thresholds = thresholdsNow(policy, observer);
      for (const [exit, { depth }] of policy.exits.entries()) {
        const threshold = thresholds[exit]!;
        if (threshold === "never") continue;
        advance(model, [{ sequence, positions: sequence.pending(depth) }], depth, ledger);
        const logits = scope(() => heads[exit]!.logits(sequence.hidden(position))); // [1, V]
        ledger?.head(exit);
        const [confidence] = await readConfidences(logits);
        const score = scoreOf(confidence!, policy.score);
        const fires = exitFires(score, threshold, policy.score);
        const id = !fires ? undefined : sampler.greedy ? confidence!.argmax : await sampler.choose(logits, sequence.ids);
        logits.dispose();
        observer?.observe({ type: "exit", position, exit, depth, score, left: fires });
        if (id !== undefined) {
          if (depth < numLayers) fills[policy.fill](model, sequence, position, depth, ledger);
          return { id, depth, exit, score };
        }
      }
      return fullDepth.nextToken(sequence);
    },
  };
}
