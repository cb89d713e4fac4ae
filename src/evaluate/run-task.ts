/** Runs a task from its first item to the report: items become passages, passages scores, scores metrics. */
import { OptionError, TaskError, TokenError } from "../errors.js";
import { ExitHeads, modelOf } from "../exits/heads/exit-heads.js";
import { findingName, isCount, jsonIn, jsonOf, readFinding, writeFinding } from "../exits/states/findings.js";
import type { CacheStore } from "../exits/states/record-states.js";
import type { Model } from "../model/index.js";
import { createRng } from "../tensor/index.js";
import { shown } from "../shown.js";
import { giveTurn } from "../turns.js";
import type { EvaluateOptions, Evaluation } from "./evaluation.js";
import {
  addSummands,
  bootstrap,
  type Columns,
  createColumns,
  type PassageScore,
  type Summands,
  summandsOf,
} from "./metrics.js";
import { type Passage, type ScoredToken, scorePassages } from "./score-passages.js";
import type { AnswerChoice, TaskItem, TaskKind } from "./tasks.js";

const LEVEL = 0.95;

// Scores items: passages are batched, and an item is yielded once all of its are scored. An item's score is all that
// metrics need, and does not depend on what ran beside it.

/** Checked options with defaults. */
type EvaluateSettings = Required<Omit<EvaluateOptions, "store" | "signal" | "onBatch">> & {
  readonly [Key in "store" | "signal" | "onBatch"]: EvaluateOptions[Key] | undefined;
};

/** An item and its number in the task, from 1. */
interface NumberedItem {
  readonly item: TaskItem;
  readonly number: number;
}

interface ScoredItem extends NumberedItem {
  readonly score: ItemScore;
}

/** Plain JSON. */
interface ItemScore {
  /** Scored tokens. */
  readonly tokens: number;
  /** Passages with a cut context. */
  readonly truncated: number;
  /** Exits off first, then the policies. */
  readonly ways: readonly WayScore[];
}

interface WayScore {
  /** Pairs by metric of the kind. */
  readonly summands: readonly Summands[];
  /** Tokens whose greedy choice is the full model's. */
  readonly agreed: number;
  /** Blocks run, summed over tokens. */
  readonly depths: number;
}

// Task items as tokens. Each item is one or more passages: a context and the continuation to be scored after it, both
// of at least one token. The conventions are those of lm-evaluation-harness (models/huggingface.py, utils.py):
//   joining    a space between context and continuation, unless the continuation begins with white space; white space
//              at the end of the context is scored with the continuation
//   tokens     both are tokenized together and split after as many tokens as the context has alone; an empty context
//              becomes one begin-of-text token
//   limit      passages that are too long lose tokens on the left; a continuation is never cut
//   windows    each token of a text is scored once, in windows of the full limit; the first window begins with
//              begin-of-text, the others with the token before; the last one reaches back for as much context as fits
// One difference: the special tokens before a context are those that the tokenizer's own configuration adds, as
// everywhere in this library.

/** Passages of an item, and the number that lost context. */
interface EncodedItem {
  readonly passages: readonly Passage[];
  readonly truncated: number;
}

/** The encoder throws a TaskError for an item that cannot be scored; `number` names it, from 1. */
export function passageEncoder(
  model: Model,
  { maxLength, addSpecialTokens }: Pick<EvaluateSettings, "maxLength" | "addSpecialTokens">,
): (item: TaskItem, number: number) => EncodedItem {
  const { tokenizer } = model;
  const encode = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const withSpecial = tokenizer.encode("a");
  const begin = addSpecialTokens ? withSpecial.slice(0, withSpecial.indexOf(encode("a")[0]!)) : [];
  const start = (): number => {
    const id = tokenizer.bosTokenId ?? model.config.bosTokenId ?? tokenizer.eosTokenId ?? model.config.eosTokenIds[0];
    if (id === undefined) {
      throw new TokenError(
        "start-missing",
        "evaluate: a text without context needs a token to begin with, but neither the tokenizer nor config.json " +
          "names a begin-of-text or end-of-text token",
      );
    }
    return id;
  };
  const encodePair = ({ context: before, continuation: after }: AnswerChoice, number: number) => {
    const own = before.trimEnd() === "" ? [] : encode(before.trimEnd());
    const continuation = encode(before + (/^\s/.test(after) ? "" : " ") + after).slice(own.length);
    const context = [...begin, ...own];
    if (context.length === 0) context.push(start());
    if (continuation.length === 0) {
      throw new TaskError(
        "task-continuation",
        `evaluate: item ${number}: ${JSON.stringify(after)} adds no token to its context; give more text`,
        { item: number },
      );
    }
    if (continuation.length > maxLength) {
      throw new TaskError(
        "task-length",
        `evaluate: item ${number}: a continuation of ${continuation.length} tokens exceeds the limit of ` +
          `${maxLength}; leave the item out, or raise the limit if the model permits it`,
        { item: number, tokens: continuation.length, limit: maxLength },
      );
    }
    const room = maxLength + 1 - continuation.length; // the last token is predicted, but never an input
    return { passage: { context: context.slice(-room), continuation }, truncated: context.length > room };
  };
  return (item, number) => {
    if (item.kind === "perplexity") {
      return { passages: rollingWindows(encode(item.text), start(), maxLength), truncated: 0 };
    }
    const choices = item.kind === "lambada" ? [item] : item.choices;
    const pairs = choices.map((choice) => encodePair(choice, number));
    return {
      passages: pairs.map(({ passage }) => passage),
      truncated: pairs.filter(({ truncated }) => truncated).length,
    };
  };
}

export function rollingWindows(ids: readonly number[], start: number, maxLength: number): Passage[] {
  const text = [start, ...ids];
  const passages: Passage[] = [];
  for (let begin = 1; begin < text.length; begin += maxLength) {
    const end = Math.min(begin + maxLength, text.length);
    const from = begin === 1 ? 0 : end - 1 - maxLength;
    passages.push({ context: text.slice(from, begin), continuation: text.slice(begin, end) });
  }
  return passages;
}

/** Heads must be frozen, and policies made for them. */
async function* scoreItems(
  source: Model | ExitHeads,
  items: Iterable<NumberedItem> | AsyncIterable<NumberedItem>,
  settings: EvaluateSettings,
): AsyncGenerator<ScoredItem, void, undefined> {
  const model = modelOf(source);
  const { policies, batchTokens, signal, onBatch } = settings;
  const encode = passageEncoder(model, settings);
  let done = 0;
  let tokens = 0;
  let queue: { readonly entry: Entry; readonly passage: Passage }[] = [];
  let queuedTokens = 0;

  /** Scores the queue, and returns complete items. */
  const flush = async (): Promise<ScoredItem[]> => {
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
    const entry: Entry = { item, number, passages: passages.length, truncated, ways };
    if (passages.length === 0) yield scoreOf(entry);
    for (const passage of passages) {
      const length = passage.context.length + passage.continuation.length;
      if (queue.length > 0 && queuedTokens + length > batchTokens) yield* await flush();
      queue.push({ entry, passage });
      queuedTokens += length;
    }
  }
  if (queue.length > 0) yield* await flush();
}

interface Entry extends NumberedItem {
  readonly passages: number;
  readonly truncated: number;
  readonly ways: readonly WayInProgress[];
}

interface WayInProgress {
  /** Scores of the passages so far. */
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
function scoreOf({ item, number, passages, truncated, ways }: Entry): ScoredItem {
  const score = {
    tokens: ways[0]!.scores.reduce((sum, { tokens }) => sum + tokens, 0),
    truncated,
    ways: ways.map(({ scores, agreed, depths }) => {
      return { summands: passages === 0 ? [] : summandsOf(item, scores), agreed, depths };
    }),
  };
  return { item, number, score };
}

/** Heads must be frozen, and policies made for them. */
export async function runTask(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  settings: EvaluateSettings,
): Promise<Evaluation> {
  const { policies, limit, maxLength, addSpecialTokens, resamples, seed, store, onBatch } = settings;
  const heads = source instanceof ExitHeads ? source : undefined;
  const model = modelOf(source);
  const described = {
    numLayers: model.config.numLayers,
    maxLength,
    modelHash: await model.hash(),
    headsHash: heads === undefined ? null : await heads.hash(),
    dtype: model.storedAs,
    backend: model.device.backend,
  };
  const { kernelBuild } = model.device.info;
  const kept = store && scoreStore(store, { ...described, kernelBuild, addSpecialTokens, policies });
  const scores: ItemScore[] = [];
  let found = 0;
  let kind: TaskKind | undefined;
  async function* unscored(): AsyncGenerator<NumberedItem, void, undefined> {
    let number = 0;
    for await (const item of items) {
      number++;
      kind ??= item.kind;
      requireItem(item, kind, number);
      const known = await kept?.read(item);
      if (known === undefined) yield { item, number };
      else {
        scores[number - 1] = known;
        found++;
      }
      if (number >= limit) return;
    }
  }
  const reported = onBatch && {
    onBatch: (event: { readonly items: number; readonly tokens: number }) =>
      onBatch({ ...event, items: event.items + found }),
  };
  for await (const { item, number, score } of scoreItems(source, unscored(), { ...settings, ...reported })) {
    scores[number - 1] = score;
    await kept?.write(item, score);
  }
  if (kind === undefined) throw new OptionError("task-empty", "evaluate: the task has no items; give at least one");
  const ways = [null, ...policies];
  const columns = ways.map((): Columns[] => createColumns(kind!));
  for (const score of scores) {
    for (const [w, { summands }] of score.ways.entries()) addSummands(columns[w]!, summands);
  }
  const sum = (of: (score: ItemScore) => number): number => scores.reduce((total, score) => total + of(score), 0);
  const tokens = sum((score) => score.tokens);
  const estimates = bootstrap(kind, columns, { resamples, level: LEVEL, rng: createRng(seed) });
  return {
    format: "early-exits/evaluation",
    version: 1,
    kind,
    items: scores.length,
    tokens,
    truncated: sum((score) => score.truncated),
    ...described,
    level: LEVEL,
    resamples,
    seed,
    ways: ways.map((policy, w) => ({
      policy,
      ...estimates[w]!,
      agreement: sum((score) => score.ways[w]!.agreed) / tokens,
      meanDepth: sum((score) => score.ways[w]!.depths) / tokens,
    })),
  };
}

function requireItem(item: TaskItem, kind: TaskKind, number: number): void {
  if (item.kind !== kind) {
    throw new TaskError(
      "task-mixed",
      `evaluate: item ${number} is of kind ${item.kind}, those before of kind ${kind}; evaluate them separately`,
      { item: number },
    );
  }
  if (isWhole(item)) return;
  throw new TaskError(
    "task-item",
    `evaluate: item ${number} is no item of kind ${kind}: ${shown(item)}; give texts, and as gold the ` +
      "number of a choice",
    { item: number },
  );
}

/** Items of a JavaScript program may lack what their type says. */
function isWhole(item: TaskItem): boolean {
  if (item.kind === "perplexity") return typeof item.text === "string";
  const isChoice = (choice: AnswerChoice): boolean =>
    typeof choice.context === "string" && typeof choice.continuation === "string";
  if (item.kind === "lambada") return isChoice(item);
  return Array.isArray(item.choices) && item.choices.every(isChoice) && item.choices[item.gold] !== undefined;
}

/** Settings that a score depends on, beside its item. */
interface Scored extends Readonly<Record<string, unknown>> {
  readonly numLayers: number;
  readonly policies: readonly unknown[];
}

/** Stores scores in files named by the item and by all that its score is a function of. */
function scoreStore(store: CacheStore, described: Scored) {
  const nameOf = (item: TaskItem): Promise<string> => findingName("score", [described, item]);
  return {
    async read(item: TaskItem) {
      return readFinding(store, await nameOf(item), (bytes) => {
        const score = jsonIn(bytes, (_, value) => numberOf(value)) as ItemScore;
        return isScore(score, item, described) ? score : undefined;
      });
    },
    async write(item: TaskItem, score: ItemScore) {
      await writeFinding(
        store,
        await nameOf(item),
        jsonOf(score, (_, value) => spelled(value)),
      );
    },
  };
}

/** False, or a throw, for a score read from a file that this library did not write. */
function isScore({ tokens, truncated, ways }: ItemScore, { kind }: TaskItem, { numLayers, policies }: Scored): boolean {
  const metrics = tokens === 0 ? 0 : createColumns(kind).length;
  const isNumber = (value: unknown): boolean => typeof value === "number" && !Number.isNaN(value);
  return (
    isCount(tokens, 2 ** 31) &&
    isCount(truncated, 2 ** 31) &&
    ways.length === 1 + policies.length &&
    ways.every(
      ({ summands, agreed, depths }) =>
        isCount(agreed, tokens) &&
        isCount(depths, tokens * numLayers) &&
        summands.length === metrics &&
        summands.every(({ top, bottom }) => isNumber(top) && isNumber(bottom)),
    )
  );
}

/** Log-likelihoods may be infinite, which JSON is not. */
function spelled(value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** No other value of a score is text. */
function numberOf(value: unknown): unknown {
  return typeof value === "string" ? Number(value) : value;
}
