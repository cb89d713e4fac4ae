/**
 * How likely given tokens are, token by token, with exits off and by policies: at each position the distribution is
 * that of the exit where the policy leaves, or the full model's where it does not. The context is read as a prompt is
 * (all blocks for all positions but its last); the continuation goes on as if the policy had generated it, keys and
 * values of skipped blocks included:
 *   exact fills     exits change nothing for later tokens, so one pass notes what every head says; any number of policies is read off it
 *   others          a policy runs token by token, by the decoder that is deployed, which is given each token instead of choosing it;
 *                   so does one with a `lazyLimit`
 * Passages go together, and those with the same context read it once; each gets the numbers it would get alone.
 */
import { earlyExitDecoder } from "../exits/decode/index.js";
import { isExactFill } from "../exits/fill/index.js";
import {
  type Confidence,
  exitFires,
  ExitHeads,
  type Gate,
  readConfidences,
  type ScoreName,
  scoreOf,
} from "../exits/heads/index.js";
import type { Policy } from "../exits/plan/index.js";
import { advance, type Model, Sequence } from "../model/index.js";
import { createSampler } from "../model/decode/index.js";
import { concatRows, crossEntropy, sliceRows } from "../tensor/ops/index.js";
import { createRng, scope, type Tensor } from "../tensor/index.js";
import type { Passage } from "./passages.js";

/** One token of a continuation. */
export interface ScoredToken {
  /** log p(token | everything before), nats. */
  readonly logLikelihood: number;
  /** The token that would have been emitted greedily. */
  readonly choice: number;
  /** Blocks run, 1..L. */
  readonly depth: number;
}

/**
 * Scores every token of every continuation: with exits off first, then by each policy: [1 +
 * policies][passages][tokens]. Heads must be frozen, and the policies made for them.
 */
export async function scorePassages(
  source: Model | ExitHeads,
  passages: readonly Passage[],
  policies: readonly Policy[] = [],
): Promise<ScoredToken[][][]> {
  const heads = source instanceof ExitHeads ? source : undefined;
  const isRead = ({ fill, lazyLimit }: Policy): boolean => isExactFill(fill) && lazyLimit === undefined;
  const notes = await takeNotes(source, passages, policies.filter(isRead));
  const ways = [readPolicy(notes, passages)];
  for (const policy of policies) {
    ways.push(isRead(policy) ? readPolicy(notes, passages, policy) : await runPolicy(heads!, passages, policy));
  }
  return ways;
}

/** Logits that are computed at once: bounds the memory of large vocabularies. */
const LOGITS = 2 ** 24;

/** What a head, or the full model, says at all positions of all continuations, one after another. */
interface Words {
  readonly depth: number;
  /** [R] -log p of the tokens that follow. */
  readonly losses: Float32Array;
  readonly confidences: readonly Confidence[];
  /** [R] what the gate said, where there is one. */
  readonly gates?: Float32Array | undefined;
}

interface Notes {
  /** By exit; undefined where no policy could leave. */
  readonly exits: readonly (Words | undefined)[];
  readonly full: Words;
}

/** One pass through all blocks, stopping at the exits that some policy uses. */
async function takeNotes(
  source: Model | ExitHeads,
  passages: readonly Passage[],
  policies: readonly Policy[],
): Promise<Notes> {
  const [model, heads] = source instanceof ExitHeads ? [source.model, source.heads] : [source, []];
  const { numLayers, vocabSize } = model.config;
  const lanes = openLanes(model, passages);
  try {
    for (const {
      sequence,
      passage: { context, continuation },
    } of lanes) {
      sequence.append(context.at(-1)!, ...continuation.slice(0, -1));
    }
    const targets = passages.flatMap(({ continuation }) => continuation);
    const note = async (depth: number, speaker: Speaker): Promise<Words> => {
      advance(
        model,
        lanes.map(({ sequence }) => ({ sequence, positions: sequence.pending(depth) })),
        depth,
      );
      const states = scope(() => {
        const parts = lanes.map(({ sequence, passage }) =>
          sequence.hidden(passage.context.length - 1, sequence.length),
        );
        return parts.length === 1 ? parts[0]! : concatRows(parts); // [R, C]
      });
      const words = { depth, ...(await listen(speaker, states, targets, Math.max(1, Math.floor(LOGITS / vocabSize)))) };
      states.dispose();
      return words;
    };
    const exits: (Words | undefined)[] = [];
    for (const [exit, head] of heads.entries()) {
      exits.push(
        policies.some((policy) => policy.exits[exit]!.threshold !== "never") ? await note(head.depth, head) : undefined,
      );
    }
    return {
      exits,
      full: await note(numLayers, { logits: (x) => model.unembed(x), losses: crossEntropy, readConfidences }),
    };
  } finally {
    for (const { sequence } of lanes) sequence.dispose();
  }
}

/** What turns states into predictions: an exit head, or the model's own end. */
interface Speaker {
  readonly gate?: Gate | undefined;
  logits(x: Tensor): Tensor;
  losses(logits: Tensor, ids: readonly number[]): Tensor;
  readConfidences(logits: Tensor): Promise<Confidence[]>;
}

async function listen(
  speaker: Speaker,
  states: Tensor,
  targets: readonly number[],
  rows: number,
): Promise<Omit<Words, "depth">> {
  const losses = new Float32Array(targets.length);
  const confidences: Confidence[] = [];
  for (let begin = 0; begin < targets.length; begin += rows) {
    const ids = targets.slice(begin, begin + rows);
    const { logits, loss } = scope(() => {
      const logits = speaker.logits(sliceRows(states, begin, begin + ids.length));
      return { logits, loss: speaker.losses(logits, ids) };
    });
    confidences.push(...(await speaker.readConfidences(logits)));
    losses.set(await loss.read(), begin);
    logits.dispose();
    loss.dispose();
  }
  return { losses, confidences, gates: await speaker.gate?.read(states) };
}

/** A policy over notes: the first head that is sure enough speaks. Without a policy the full model does. */
function readPolicy({ exits, full }: Notes, passages: readonly Passage[], policy?: Policy): ScoredToken[][] {
  let row = 0;
  const scoreHeard = ({ confidences, gates }: Words, at: number, score: ScoreName): number =>
    score === "gate" ? (gates?.[at] ?? NaN) : scoreOf(confidences[at]!, score);
  return passages.map(({ continuation }) =>
    continuation.map(() => {
      const at = row++;
      const exit =
        policy?.exits.findIndex(
          ({ threshold }, e) =>
            threshold !== "never" && exitFires(scoreHeard(exits[e]!, at, policy.score), threshold, policy.score),
        ) ?? -1;
      const { losses, confidences, depth } = exits[exit] ?? full;
      return { logLikelihood: -losses[at]!, choice: confidences[at]!.argmax, depth };
    }),
  );
}

/** A policy as it is deployed: all continuations advance together, a token of each at a time. */
async function runPolicy(heads: ExitHeads, passages: readonly Passage[], policy: Policy): Promise<ScoredToken[][]> {
  const lanes = openLanes(heads.model, passages);
  const scored = passages.map((): ScoredToken[] => []);
  const laneOf = new Map(lanes.map(({ sequence }, i) => [sequence, i]));
  const targetOf = (lane: number): number => passages[lane]!.continuation[scored[lane]!.length]!;
  // Of the token that is being chosen: who has not left, and the losses of those at each place where some did.
  let staying: number[] = [];
  let heard: { readonly lanes: readonly (number | undefined)[]; readonly losses: Tensor }[] = [];
  const decoder = earlyExitDecoder(heads, policy, {
    onExitLogits(exit, logits, sequences, left) {
      const reached = sequences.map((sequence) => laneOf.get(sequence)!);
      const leaving = reached.map((lane, r) => (left[r] ? lane : undefined));
      staying = staying.filter((lane) => !leaving.includes(lane));
      heard.push({ lanes: leaving, losses: heads.heads[exit]!.losses(logits, reached.map(targetOf)) });
    },
    onLogits: (logits) => heard.push({ lanes: staying, losses: crossEntropy(logits, staying.map(targetOf)) }),
  });
  const sampler = createSampler({}, createRng(0)); // greedy: it draws nothing
  try {
    for (let t = 0; t < Math.max(...passages.map(({ continuation }) => continuation.length)); t++) {
      const going = lanes.filter(({ passage }) => t < passage.continuation.length);
      for (const {
        sequence,
        passage: { context, continuation },
      } of going) {
        sequence.append(t === 0 ? context.at(-1)! : continuation[t - 1]!);
      }
      [staying, heard] = [going.map(({ sequence }) => laneOf.get(sequence)!), []];
      const rounds = await decoder.next(going.map(({ sequence }) => ({ sequence, sampler, room: 1 })));
      const losses = new Map<number, number>();
      for (const { lanes: speaking, losses: values } of heard) {
        (await values.read()).forEach((loss, r) => {
          if (speaking[r] !== undefined) losses.set(speaking[r], loss);
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

/**
 * A sequence for every passage that has read its context but for the last token, through all blocks. Equal contexts are
 * read once and copied.
 */
function openLanes(model: Model, passages: readonly Passage[]): Lane[] {
  const { numLayers } = model.config;
  const longest = Math.max(...passages.map(({ continuation }) => continuation.length));
  const first = new Map<string, Sequence>();
  for (const { context } of passages) {
    const key = context.join();
    if (first.has(key)) continue;
    const sequence = new Sequence(model, context.length + longest);
    sequence.append(...context.slice(0, -1));
    first.set(key, sequence);
  }
  const read = [...first.values()].filter(({ length }) => length > 0);
  advance(
    model,
    read.map((sequence) => ({ sequence, positions: sequence.pending(numLayers) })),
    numLayers,
  );
  const taken = new Set<string>();
  return passages.map((passage) => {
    const key = passage.context.join();
    const sequence = taken.has(key) ? first.get(key)!.clone() : first.get(key)!;
    taken.add(key);
    return { sequence, passage };
  });
}
