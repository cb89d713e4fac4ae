/**
 * Likelihoods of given tokens, with exits off and with policies. A position's distribution is that of the exit where
 * the policy leaves, else the full model's. The context runs like a prompt (all blocks for all positions but the last
 * one), the continuation as if the policy had generated it, including keys and values of skipped blocks:
 *   exact fills   exits change nothing for later tokens, so one pass records the outputs of every head, and any number
 *                 of policies is evaluated on the record
 *   project       the real decoder runs the policy token by token, but is given each token instead of choosing it
 * Passages are processed in a batch, and equal contexts only once; each passage gets the numbers that it gets alone.
 */
import { earlyExitDecoder } from "../exits/decode/decode.js";
import { isExactFill } from "../exits/fill/fill.js";
import { type Confidence, exitFires, readConfidences, scoreOf } from "../exits/heads/score.js";
import { ExitHeads, modelOf } from "../exits/heads/exit-heads.js";
import type { Policy } from "../exits/plan/policy.js";
import { byParts, type PartsOptions } from "../exits/states/by-parts.js";
import type { CancelSignal } from "../cancel-signal.js";
import { giveTurn } from "../turns.js";
import { type Model, Sequence } from "../model/index.js";
import { fillCaches, pendingAt, prefill, statesOf } from "../model/advance.js";
import { createSampler } from "../model/decode/decoder.js";
import { nonFiniteError } from "../model/decode/non-finite.js";
import type { NumericsError } from "../errors.js";
import { crossEntropy } from "../tensor/ops/loss.js";
import { createRng, scope, type Tensor } from "../tensor/index.js";

/** Both of at least one token. */
export interface Passage {
  readonly context: readonly number[];
  readonly continuation: readonly number[];
}

/** One token of a continuation. */
export interface ScoredToken {
  /** log p(token | everything before), in nats. */
  readonly logLikelihood: number;
  /** Greedy choice. */
  readonly choice: number;
  /** Blocks run, 1..L. */
  readonly depth: number;
}

/**
 * Scores continuations with exits off, then with each policy: [1 + policies][passages][tokens]. Heads must be frozen,
 * and policies made for them. Throws a NumericsError if logits of the model or of a used head hold NaN or infinity.
 */
export async function scorePassages(
  source: Model | ExitHeads,
  passages: readonly Passage[],
  policies: readonly Policy[] = [],
  signal?: CancelSignal,
): Promise<ScoredToken[][][]> {
  const heads = source instanceof ExitHeads ? source : undefined;
  const isExact = ({ fill }: Policy): boolean => isExactFill(fill);
  const outputs = await recordOutputs(source, passages, policies.filter(isExact), signal);
  const ways = [readPolicy(outputs, passages)];
  for (const policy of policies) {
    ways.push(
      await (isExact(policy) ? readPolicy(outputs, passages, policy) : runPolicy(heads!, passages, policy, signal)),
    );
  }
  return ways;
}

/** Logits computed at once: bounds the memory of large vocabularies. */
const LOGITS = 2 ** 24;

/** Outputs of a head or the full model at all R positions of the continuations in turn. */
interface HeadOutputs {
  readonly depth: number;
  /** [R] -log p of the next token. */
  readonly losses: Float32Array;
  readonly confidences: readonly Confidence[];
}

interface RecordedOutputs {
  /** Per exit; undefined if no policy uses the exit. */
  readonly exits: readonly (HeadOutputs | undefined)[];
  readonly full: HeadOutputs;
}

/** Runs all blocks once, stopping at exits that some policy uses. */
async function recordOutputs(
  source: Model | ExitHeads,
  passages: readonly Passage[],
  policies: readonly Policy[],
  signal: CancelSignal | undefined,
): Promise<RecordedOutputs> {
  const heads = source instanceof ExitHeads ? source.heads : [];
  const model = modelOf(source);
  const { numLayers, vocabSize, hiddenSize } = model.config;
  const used = heads.filter((_, exit) => policies.some((policy) => policy.exits[exit]!.threshold !== "never"));
  const lanes = await openLanes(model, passages, signal);
  try {
    for (const { sequence, passage } of lanes) {
      sequence.append(passage.context.at(-1)!, ...passage.continuation.slice(0, -1));
    }
    const targets = passages.flatMap(({ continuation }) => continuation);
    const parts = { multiplyAdds: vocabSize * hiddenSize, most: Math.floor(LOGITS / vocabSize), signal };
    const outputsAt = async (depth: number, head: OutputHead): Promise<HeadOutputs> => {
      await prefill(model, pendingAt(lanes, depth), depth, { signal });
      const work = lanes.map(({ sequence, passage: { context, continuation } }) => ({
        sequence,
        positions: continuation.map((_, i) => context.length - 1 + i),
      }));
      const states = scope(() => statesOf(work)); // [R, C]
      const outputs = await applyHead(head, states, targets, parts).finally(() => {
        states.dispose();
      });
      const broken = outputs.confidences.findIndex(
        ({ top1 }, r) => !Number.isFinite(top1) || Number.isNaN(outputs.losses[r]),
      );
      if (broken >= 0) throw await nonFiniteAt(model, passages, broken, depth);
      return { depth, ...outputs };
    };
    const exits: (HeadOutputs | undefined)[] = [];
    for (const head of heads) {
      exits.push(used.includes(head) ? await outputsAt(head.depth, head) : undefined);
    }
    const finalHead: OutputHead = {
      logits: (x) => scope(() => model.unembed(x)),
      losses: crossEntropy,
      confidences: readConfidences,
    };
    return { exits, full: await outputsAt(numLayers, finalHead) };
  } finally {
    for (const { sequence } of lanes) sequence.dispose();
  }
}

/** Error for row r of all continuations, whose logits at a depth are not finite. */
function nonFiniteAt(model: Model, passages: readonly Passage[], r: number, depth: number): Promise<NumericsError> {
  let left = r;
  const { context, continuation } = passages.find(({ continuation: { length } }) => (left -= length) < 0)!;
  const what = depth < model.config.numLayers ? `the logits of the exit at depth ${depth}` : "the logits";
  const ids = [...context, ...continuation.slice(0, left + continuation.length)];
  return nonFiniteError(model, ids, { what, depth, caller: "evaluate" });
}

/** Exit head, or the model's final one. */
interface OutputHead {
  logits(states: Tensor): Tensor | Promise<Tensor>;
  losses(logits: Tensor, ids: readonly number[]): Tensor;
  confidences(logits: Tensor): Promise<Confidence[]>;
}

/** Applies a head to states [R, C], part by part. */
async function applyHead(
  head: OutputHead,
  states: Tensor,
  targets: readonly number[],
  parts: PartsOptions,
): Promise<Omit<HeadOutputs, "depth">> {
  const losses = new Float32Array(targets.length);
  const confidences: Confidence[] = [];
  await byParts(states, parts, async (part, begin) => {
    const logits = await head.logits(part);
    const loss = head.losses(logits, targets.slice(begin, begin + part.shape[0]!));
    confidences.push(...(await head.confidences(logits)));
    losses.set(await loss.read(), begin);
    logits.dispose();
    loss.dispose();
  });
  return { losses, confidences };
}

/** Lets the first exit that fires decide; without a policy, the full model. */
function readPolicy(outputs: RecordedOutputs, passages: readonly Passage[], policy?: Policy): ScoredToken[][] {
  let row = 0;
  return passages.map(({ continuation }) =>
    continuation.map(() => {
      const { losses, confidences, depth } = decidingAt(outputs, row, policy);
      const token = { logLikelihood: -losses[row]!, choice: confidences[row]!.argmax, depth };
      row++;
      return token;
    }),
  );
}

function decidingAt({ exits, full }: RecordedOutputs, row: number, policy: Policy | undefined): HeadOutputs {
  const fires = (head: HeadOutputs | undefined, exit: number): boolean =>
    head !== undefined &&
    exitFires(scoreOf(head.confidences[row]!, policy!.score), policy!.exits[exit]!.threshold, policy!.score);
  return (policy && exits.find(fires)) ?? full;
}

/** Runs the real decoder: all continuations advance together, a token at a time. */
async function runPolicy(
  heads: ExitHeads,
  passages: readonly Passage[],
  policy: Policy,
  signal: CancelSignal | undefined,
): Promise<ScoredToken[][]> {
  const lanes = await openLanes(heads.model, passages, signal);
  const scored = passages.map((): ScoredToken[] => []);
  const laneOf = new Map(lanes.map(({ sequence }, i) => [sequence, i]));
  const targetOf = (lane: number): number => passages[lane]!.continuation[scored[lane]!.length]!;
  // Lanes whose current token has not left yet, and the losses at each exit where some did.
  let staying: number[] = [];
  let scoredRows: { readonly lanes: readonly (number | undefined)[]; readonly losses: Tensor }[] = [];
  const decoder = earlyExitDecoder(heads, policy, {
    onExitLogits(exit, logits, sequences, left) {
      const reached = sequences.map((sequence) => laneOf.get(sequence)!);
      const leaving = reached.map((lane, r) => (left[r] ? lane : undefined));
      staying = staying.filter((lane) => !leaving.includes(lane));
      scoredRows.push({ lanes: leaving, losses: heads.heads[exit]!.losses(logits, reached.map(targetOf)) });
    },
    onLogits: (logits) => scoredRows.push({ lanes: staying, losses: crossEntropy(logits, staying.map(targetOf)) }),
  });
  const sampler = createSampler({}, createRng(0)); // greedy: draws no random numbers
  try {
    for (let t = 0; t < longestOf(passages); t++) {
      await giveTurn(signal);
      const going = lanes.filter(({ passage }) => t < passage.continuation.length);
      for (const { sequence, passage } of going) {
        sequence.append(t === 0 ? passage.context.at(-1)! : passage.continuation[t - 1]!);
      }
      staying = going.map(({ sequence }) => laneOf.get(sequence)!);
      scoredRows = [];
      const rounds = await decoder.next(going.map(({ sequence }) => ({ sequence, sampler, room: 1 })));
      const losses = new Map<number, number>();
      for (const { lanes: leaving, losses: values } of scoredRows) {
        (await values.read()).forEach((loss, r) => {
          if (leaving[r] !== undefined) losses.set(leaving[r], loss);
        });
        values.dispose();
      }
      for (const [i, { sequence }] of going.entries()) {
        const lane = laneOf.get(sequence)!;
        const { id, depth } = rounds[i]!.tokens[0]!;
        scored[lane]!.push({ logLikelihood: -losses.get(lane)!, choice: id, depth });
      }
    }
  } finally {
    for (const { sequence } of lanes) sequence.dispose();
  }
  return scored;
}

interface Lane {
  readonly sequence: Sequence;
  readonly passage: Passage;
}

/** Contexts but their last tokens, run through all blocks. Equal contexts run once and are copied. */
async function openLanes(
  model: Model,
  passages: readonly Passage[],
  signal: CancelSignal | undefined,
): Promise<Lane[]> {
  const { numLayers } = model.config;
  const longest = longestOf(passages);
  const first = new Map<string, Sequence>();
  const opened: Sequence[] = [];
  try {
    for (const { context } of passages) {
      const key = context.join();
      if (first.has(key)) continue;
      const sequence = new Sequence(model, context.length + longest);
      opened.push(sequence);
      sequence.append(...context.slice(0, -1));
      first.set(key, sequence);
    }
    const read = opened.filter(({ length }) => length > 0);
    const work = read.map((sequence) => ({ sequence, positions: sequence.pending(numLayers) }));
    await fillCaches(model, work, { signal });
    const taken = new Set<string>();
    return passages.map((passage) => {
      const key = passage.context.join();
      if (!taken.has(key)) {
        taken.add(key);
        return { sequence: first.get(key)!, passage };
      }
      const copy = first.get(key)!.clone();
      opened.push(copy);
      return { sequence: copy, passage };
    });
  } catch (error) {
    for (const sequence of opened) sequence.dispose();
    throw error;
  }
}

function longestOf(passages: readonly Passage[]): number {
  return Math.max(...passages.map(({ continuation }) => continuation.length));
}
