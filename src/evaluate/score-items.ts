/**
 * Scores items in order: passages are batched, and an item is yielded once all of its are scored. An item's score is
 * all that metrics need, and does not depend on what ran beside it.
 */
import { ExitHeads } from "../exits/heads/exit-heads.js";
import type { Model } from "../model/index.js";
import { giveTurn } from "../turns.js";
import type { EvaluateOptions } from "./evaluation.js";
import { type PassageScore, type Summands, summandsOf } from "./metrics.js";
import { type Passage, passageEncoder } from "./passages.js";
import { type ScoredToken, scorePassages } from "./score-passages.js";
import type { TaskItem } from "./tasks.js";

/** Checked options with defaults. */
export type EvaluateSettings = Required<Omit<EvaluateOptions, "store" | "signal" | "onBatch">> & {
  readonly [Key in "store" | "signal" | "onBatch"]: EvaluateOptions[Key] | undefined;
};

/** An item and its number in the task, from 1. */
export interface NumberedItem {
  readonly item: TaskItem;
  readonly number: number;
}

/** Plain JSON. */
export interface ItemScore {
  /** Scored tokens. */
  readonly tokens: number;
  /** Passages with a cut context. */
  readonly truncated: number;
  /** Exits off first, then the policies. */
  readonly ways: readonly WayScore[];
}

export interface WayScore {
  /** Pairs by metric of the kind. */
  readonly summands: readonly Summands[];
  /** Tokens whose greedy choice is the full model's. */
  readonly agreed: number;
  /** Blocks run, summed over tokens. */
  readonly depths: number;
}

type ScoreSettings = Pick<
  EvaluateSettings,
  "policies" | "maxLength" | "addSpecialTokens" | "batchTokens" | "signal" | "onBatch"
>;

/** Scores in order. Heads must be frozen, and policies made for them. */
export async function* scoreItems(
  source: Model | ExitHeads,
  items: Iterable<NumberedItem> | AsyncIterable<NumberedItem>,
  settings: ScoreSettings,
): AsyncGenerator<ItemScore, void, undefined> {
  const model = source instanceof ExitHeads ? source.model : source;
  const { policies, batchTokens, signal, onBatch } = settings;
  const encode = passageEncoder(model, settings);
  let done = 0;
  let tokens = 0;
  let queue: { readonly entry: Entry; readonly passage: Passage }[] = [];
  let queuedTokens = 0;

  /** Scores the queue, and returns complete items. */
  const flush = async (): Promise<ItemScore[]> => {
    await giveTurn(signal);
    const queued = queue.map(({ passage }) => passage);
    const ways = await scorePassages(source, queued, policies, signal);
    for (const [i, { entry, passage }] of queue.entries()) {
      for (const [w, passages] of ways.entries()) addPassage(entry.ways[w]!, passage, passages[i]!, ways[0]![i]!);
    }
    tokens += queue.reduce((sum, { passage }) => sum + passage.continuation.length, 0);
    const entries = [...new Set(queue.map(({ entry }) => entry))];
    const complete = entries.filter(({ passages, ways: [first] }) => first!.scores.length === passages);
    done += complete.length;
    queue = [];
    queuedTokens = 0;
    await onBatch?.({ items: done, tokens });
    return complete.map(scoreOf);
  };

  for await (const { item, number } of items) {
    const { passages, truncated } = encode(item, number);
    const ways = [null, ...policies].map(() => ({ scores: [], agreed: 0, depths: 0 }));
    const entry: Entry = { item, passages: passages.length, truncated, ways };
    if (passages.length === 0) {
      if (queue.length > 0) yield* await flush();
      yield nothingToScore(entry);
    }
    for (const passage of passages) {
      const length = passage.context.length + passage.continuation.length;
      if (queue.length > 0 && queuedTokens + length > batchTokens) yield* await flush();
      queue.push({ entry, passage });
      queuedTokens += length;
    }
  }
  if (queue.length > 0) yield* await flush();
}

interface Entry {
  readonly item: TaskItem;
  readonly passages: number;
  readonly truncated: number;
  readonly ways: readonly WayInProgress[];
}

interface WayInProgress {
  /** Of the passages so far. */
  readonly scores: PassageScore[];
  agreed: number;
  depths: number;
}

/** Adds a passage as one way scored it; `off`: as exits off did. */
function addPassage(
  way: WayInProgress,
  { continuation }: Passage,
  scored: readonly ScoredToken[],
  off: readonly ScoredToken[],
): void {
  way.scores.push({
    logLikelihood: scored.reduce((sum, { logLikelihood }) => sum + logLikelihood, 0),
    greedy: scored.every(({ choice }, t) => choice === continuation[t]),
    tokens: continuation.length,
  });
  for (const [t, { depth, choice }] of scored.entries()) {
    way.depths += depth;
    way.agreed += Number(choice === off[t]!.choice);
  }
}

/** An empty text counts as an item, and adds nothing to metrics. */
function nothingToScore({ truncated, ways }: Entry): ItemScore {
  return { tokens: 0, truncated, ways: ways.map(({ agreed, depths }) => ({ summands: [], agreed, depths })) };
}

function scoreOf({ item, truncated, ways }: Entry): ItemScore {
  return {
    tokens: ways[0]!.scores.reduce((sum, { tokens }) => sum + tokens, 0),
    truncated,
    ways: ways.map(({ scores, agreed, depths }) => ({ summands: summandsOf(item, scores), agreed, depths })),
  };
}
