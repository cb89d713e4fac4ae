/**
 * Early-exit decoding (lossy): run block by block; at an exit, if the head is sure enough, emit its token and skip the
 * blocks above.
 *
 *     for every exit, shallow to deep:   run to its depth; emit and stop if score passes threshold
 *     no exit fired:                     run to depth L; emit the full model's token
 *
 * With the score `gate` the gate decides first, and the head is put to those that leave alone: nobody else needs its
 * logits. Several sequences go together, each leaving where it may. Positions that stopped early before and are still
 * needed ride along in `advance` (see fill.ts). The decision looks at the head's distribution or the state, never at a
 * sampled token.
 */
import { advance, type Sequence } from "../../model/index.js";
import {
  type Choice,
  type Decoder,
  lastStates,
  type OnLogits,
  plainDecoder,
  type Request,
  rowOf,
} from "../../model/decode/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { fills } from "../fill/index.js";
import { type Confidence, exitFires, type ExitHead, type ExitHeads, scoreOf, type Threshold } from "../heads/index.js";
import type { Ledger } from "../cost/index.js";
import { type DecodeObserver, thresholdsNow } from "./observe.js";
import type { Policy } from "../plan/index.js";

/** Who listens while tokens are chosen. */
export interface DecodeListeners {
  /** Told of every head evaluated; may set the thresholds. */
  readonly observer?: DecodeObserver | undefined;
  /** Told of everything that ran. */
  readonly ledger?: Ledger | undefined;
  readonly onLogits?: OnLogits | undefined;
  /**
   * Given a head's logits, a row for each of these sequences, before they are freed; `left` says which of them leave
   * there.
   */
  readonly onExitLogits?:
    ((exit: number, logits: Tensor, sequences: readonly Sequence[], left: readonly boolean[]) => void) | undefined;
}

/**
 * A decoder that leaves early as the policy says, or as the observer's thresholds do. The heads must be frozen
 * (packed), and the policy made for them.
 */
export function earlyExitDecoder(heads: ExitHeads, policy: Policy, listeners: DecodeListeners = {}): Decoder {
  const { model } = heads;
  const { ledger, onLogits } = listeners;
  const fullDepth = plainDecoder(model, ledger, onLogits);
  return {
    meter: ledger,
    async next(requests) {
      const asking = requests.filter(({ sequence }) => !backlogFull(sequence, policy));
      const exited = new Map<Sequence, ExitChoice>();
      for (const [i, token] of (await leaveEarly(heads, policy, asking, listeners)).entries()) {
        if (token !== undefined) exited.set(asking[i]!.sequence, token);
      }
      for (const [sequence, { depth, exit }] of exited) {
        if (depth < model.config.numLayers) {
          fills[policy.fill].apply(heads, sequence, sequence.length - 1, exit, ledger);
        }
      }
      const staying = requests.filter(({ sequence }) => !exited.has(sequence));
      const full = (staying.length === 0 ? [] : await fullDepth.next(staying)).values();
      return requests.map(({ sequence }) => {
        const token = exited.get(sequence);
        return token === undefined ? full.next().value! : { tokens: [token], drafted: 0 };
      });
    },
  };
}

/** Whether so many tokens wait for `lazy` that the next one runs all blocks, theirs with it, and needs no exit. */
function backlogFull(sequence: Sequence, { lazyLimit }: Policy): boolean {
  return (
    lazyLimit !== undefined &&
    lazyLimit < sequence.length &&
    sequence.depthOf(sequence.length - 1 - lazyLimit) < sequence.model.config.numLayers
  );
}

/** A head's token. */
export interface ExitChoice extends Choice {
  readonly exit: number;
  readonly score: number;
  readonly confidence: Confidence;
  /** What the token was drawn from, after the processors; absent where it is the argmax. */
  readonly distribution?: Float64Array | undefined;
}

/**
 * Runs the last position of every sequence from exit to exit: the token of the first head that is sure enough, or
 * undefined.
 */
export async function leaveEarly(
  { model, heads }: ExitHeads,
  policy: Policy,
  requests: readonly Request[],
  { observer, ledger, onExitLogits }: DecodeListeners = {},
): Promise<(ExitChoice | undefined)[]> {
  const tokens = new Array<ExitChoice | undefined>(requests.length).fill(undefined);
  const thresholds = thresholdsNow(policy, observer);
  let open = requests.map(({ sequence, sampler }, index): Reaching => ({ sequence, sampler, index }));
  for (const [exit, { depth }] of policy.exits.entries()) {
    const threshold = thresholds[exit]!;
    if (threshold === "never" || open.length === 0) continue;
    advance(
      model,
      open.map(({ sequence }) => ({ sequence, positions: sequence.pending(depth) })),
      depth,
      ledger,
    );
    const asked =
      policy.score === "gate" ? await passGate(heads[exit]!, exit, open, threshold, observer, ledger) : open;
    if (asked.length === 0) continue;

    const logits = scope(() => heads[exit]!.logits(lastStates(asked))); // [R, V]
    ledger?.head(exit, asked.length);
    const confidences = await heads[exit]!.readConfidences(logits);
    const scores = confidences.map((confidence, r) =>
      policy.score === "gate" ? asked[r]!.gate! : scoreOf(confidence, policy.score),
    );
    const fires = scores.map((score) => exitFires(score, threshold, policy.score));
    onExitLogits?.(
      exit,
      logits,
      asked.map(({ sequence }) => sequence),
      fires,
    );
    const values = asked.some(({ sampler }, r) => fires[r] && !sampler.greedy)
      ? await heads[exit]!.readLogits(logits)
      : undefined;
    logits.dispose();
    for (const [r, { sequence, sampler, index }] of asked.entries()) {
      observer?.observe({
        type: "exit",
        position: sequence.length - 1,
        exit,
        depth,
        score: scores[r]!,
        left: fires[r]!,
      });
      if (!fires[r]) continue;
      const distribution = sampler.greedy
        ? undefined
        : sampler.distribution(rowOf(values!, r, model.config.vocabSize), sequence.ids);
      const id = distribution === undefined ? confidences[r]!.argmax : sampler.draw(distribution);
      tokens[index] = { id, depth, exit, score: scores[r]!, confidence: confidences[r]!, distribution };
    }
    open = open.filter(({ index }) => tokens[index] === undefined);
  }
  return tokens;
}

/** A sequence whose last position reached an exit, and what the gate there said of it. */
interface Reaching extends Pick<Request, "sequence" | "sampler"> {
  readonly index: number;
  readonly gate?: number;
}

/** Those whom the exit's gate lets leave. */
async function passGate(
  { depth, gate }: ExitHead,
  exit: number,
  open: readonly Reaching[],
  threshold: Threshold,
  observer: DecodeObserver | undefined,
  ledger: Ledger | undefined,
): Promise<Reaching[]> {
  const states = lastStates(open);
  ledger?.gate(exit, open.length);
  const gates = await gate!.read(states);
  states.dispose();
  return open.flatMap((reaching, r) => {
    if (exitFires(gates[r]!, threshold, "gate")) return [{ ...reaching, gate: gates[r]! }];
    observer?.observe({
      type: "exit",
      position: reaching.sequence.length - 1,
      exit,
      depth,
      score: gates[r]!,
      left: false,
    });
    return [];
  });
}
