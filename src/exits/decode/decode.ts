/**
 * Early-exit decoding (lossy): run block by block; at an exit, if the score passes the threshold, emit the head's token
 * and skip the blocks above.
 *
 *     for every exit, shallow to deep:   run to its depth; emit the head's token and stop if the score passes
 *     no exit fired:                     run to depth L; emit the full model's token
 *
 * An exit at depth L skips no block, but the model's unembedding: its head is a preview of it.
 *
 * Sequences are decoded together, and each leaves at its own exit. Positions that stopped early before and whose keys
 * and values are needed now run along in `advance` (see fill.ts). The decision depends on the head's distribution,
 * never on a sampled token.
 *
 * With fill `lazy`, sequences that have left go on with those that have not, as long as there are any: each position
 * runs all blocks sooner or later, and rows that stay together fill the tiles of the products (other ways, compared:
 * bench/serving.ts).
 */
import { advance, type Sequence, type Work } from "../../model/index.js";
import {
  type Choice,
  type Decoder,
  lastStates,
  nonFiniteError,
  type OnLogits,
  plainDecoder,
  type Request,
  type Round,
  rowOf,
} from "../../model/decode/index.js";
import { scope, type Tensor } from "../../tensor/index.js";
import type { Ledger } from "../cost/index.js";
import { fills } from "../fill/index.js";
import {
  type Confidence,
  exitFires,
  type ExitHead,
  type ExitHeads,
  type ScoreName,
  scoreOf,
  type Threshold,
} from "../heads/index.js";
import type { Policy } from "../plan/index.js";
import { type DecodeObserver, thresholdsNow } from "./observe.js";

/** What listens while tokens are chosen. */
export interface DecodeListeners {
  /** Receives an event for every exit that is tried; may set the thresholds. */
  readonly observer?: DecodeObserver | undefined;
  /** Counts the blocks, heads and fills that run. */
  readonly ledger?: Ledger | undefined;
  /** Receives the full model's logits before they are freed. */
  readonly onLogits?: OnLogits | undefined;
  /** Receives a head's logits before they are freed. */
  readonly onExitLogits?: OnExitLogits | undefined;
}

/** Receives the logits of one head, one row per sequence; `left[r]` says whether sequence r leaves there. */
type OnExitLogits = (exit: number, logits: Tensor, sequences: readonly Sequence[], left: readonly boolean[]) => void;

/** A token that a head chose. */
export interface ExitChoice extends Choice {
  readonly exit: number;
  readonly score: number;
  readonly confidence: Confidence;
  /** The distribution that the token was drawn from, after the processors; absent if it is the argmax. */
  readonly distribution?: Float64Array | undefined;
}

/**
 * A decoder that leaves early by the policy's thresholds, or by the observer's if it sets some. The heads must be
 * frozen (packed), and the policy must be made for them.
 */
export function earlyExitDecoder(heads: ExitHeads, policy: Policy, listeners: DecodeListeners = {}): Decoder {
  const { model } = heads;
  const { numLayers } = model.config;
  const { ledger, onLogits } = listeners;
  const fullModel = plainDecoder(model, ledger, onLogits);
  const together = policy.fill === "lazy";
  return {
    meter: ledger,
    async next(requests) {
      const rounds = new Map<Sequence, Round>();

      const choices = await leaveEarly(heads, policy, requests, listeners, { together });
      for (const [i, { sequence }] of requests.entries()) {
        const choice = choices[i];
        if (choice === undefined) continue;
        if (choice.depth < numLayers) {
          fills[policy.fill].apply(heads, sequence, sequence.length - 1, choice.exit, ledger);
        }
        rounds.set(sequence, { tokens: [choice], drafted: 0 });
      }

      const staying = requests.filter(({ sequence }) => !rounds.has(sequence));
      if (together && staying.length > 0) advance(model, workOf(requests, numLayers), numLayers, ledger);
      const full = staying.length === 0 ? [] : await fullModel.next(staying);
      for (const [i, { sequence }] of staying.entries()) rounds.set(sequence, full[i]!);

      return requests.map(({ sequence }) => rounds.get(sequence)!);
    },
  };
}

/** Which blocks run while exits are tried. */
interface LeaveOptions {
  /** No exit below it is tried. @default Infinity */
  readonly deepest?: number;
  /** Whether sequences that have left run along to the next exit of those that have not. @default false */
  readonly together?: boolean;
}

/**
 * Runs the last position of every sequence from exit to exit. Returns, for each request, the token of the first exit
 * that fired, or undefined if none did.
 */
export async function leaveEarly(
  { model, heads }: ExitHeads,
  policy: Policy,
  requests: readonly Request[],
  listeners: DecodeListeners = {},
  { deepest = Infinity, together = false }: LeaveOptions = {},
): Promise<(ExitChoice | undefined)[]> {
  const thresholds = thresholdsNow(policy, listeners.observer);
  const choices = new Map<Sequence, ExitChoice>();
  let open = requests;
  for (const [exit, { depth }] of policy.exits.entries()) {
    const threshold = thresholds[exit]!;
    if (threshold === "never" || open.length === 0 || depth > deepest) continue;

    advance(model, workOf(together ? requests : open, depth), depth, listeners.ledger);

    const here: Exit = { exit, depth, head: heads[exit]!, threshold, scoreName: policy.score };
    for (const [sequence, choice] of await chooseAt(here, open, listeners)) choices.set(sequence, choice);
    open = open.filter(({ sequence }) => !choices.has(sequence));
  }
  return requests.map(({ sequence }) => choices.get(sequence));
}

/** What the sequences need to reach a depth. */
function workOf(requests: readonly Request[], depth: number): Work[] {
  return requests.map(({ sequence }) => ({ sequence, positions: sequence.pending(depth) }));
}

/** One exit of the policy, with the threshold in force. */
interface Exit {
  readonly exit: number;
  readonly depth: number;
  readonly head: ExitHead;
  readonly threshold: Threshold;
  readonly scoreName: ScoreName;
}

/** Evaluates the exit's head, and returns the tokens of the sequences that leave here. */
async function chooseAt(
  here: Exit,
  requests: readonly Request[],
  { observer, ledger, onExitLogits }: DecodeListeners,
): Promise<Map<Sequence, ExitChoice>> {
  const { exit, depth, head, threshold, scoreName } = here;
  const sequences = requests.map(({ sequence }) => sequence);
  const logits = scope(() => head.logits(lastStates(requests))); // [R, C] -> [R, V]
  ledger?.head(exit, requests.length);
  const confidences = await head.readConfidences(logits);
  const broken = confidences.findIndex(({ top1 }) => !Number.isFinite(top1));
  if (broken >= 0) {
    logits.dispose();
    throw await nonFiniteError(head.model, sequences[broken]!.ids, { what: `the logits of exit ${exit}`, depth });
  }
  const scores = confidences.map((each) => scoreOf(each, scoreName)); // [R]
  const left = scores.map((score) => exitFires(score, threshold, scoreName));
  onExitLogits?.(exit, logits, sequences, left);

  // A greedy token is the argmax, which the confidence already holds.
  const sampled = requests.some(({ sampler }, r) => left[r] && !sampler.greedy);
  const values = sampled ? await head.readLogits(logits) : undefined; // R·V
  logits.dispose();

  const choices = new Map<Sequence, ExitChoice>();
  for (const [r, { sequence, sampler }] of requests.entries()) {
    const score = scores[r]!;
    const confidence = confidences[r]!;
    report(observer, here, sequence, { score, left: left[r]! });
    if (!left[r]) continue;
    const distribution = sampler.greedy
      ? undefined
      : sampler.distribution(rowOf(values!, r, sequence.model.config.vocabSize), sequence.ids);
    const id = distribution === undefined ? confidence.argmax : sampler.draw(distribution);
    choices.set(sequence, { id, depth, exit, score, confidence, distribution });
  }
  return choices;
}

/** Tells the observer the score at an exit, and whether the token leaves there. */
function report(
  observer: DecodeObserver | undefined,
  { exit, depth }: Exit,
  sequence: Sequence,
  { score, left }: { readonly score: number; readonly left: boolean },
): void {
  observer?.observe({ type: "exit", position: sequence.length - 1, exit, depth, score, left });
}
