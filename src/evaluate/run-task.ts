/**
 * A task from its first item to the report: items become passages, passages are scored in batches, scores become
 * metrics.
 */
import { OptionError, TaskError } from "../errors.js";
import { ExitHeads } from "../exits/heads/index.js";
import type { Model } from "../model/index.js";
import { createRng } from "../tensor/index.js";
import type { EvaluateOptions, Evaluation } from "./evaluation.js";
import { type ScoredToken, scorePassages } from "./likelihood.js";
import { addItem, bootstrap, type Columns, createColumns, type PassageScore } from "./metrics.js";
import { type Passage, passageEncoder } from "./passages.js";
import type { TaskItem, TaskKind } from "./tasks.js";

/** The share of resamples inside an interval. */
const LEVEL = 0.95;

/** Options with their defaults, checked; `signal` and `onBatch` may be missing. */
type Settings = Required<Omit<EvaluateOptions, "signal" | "onBatch">> & {
  readonly [Key in "signal" | "onBatch"]: EvaluateOptions[Key] | undefined;
};

/** Policies fit the heads, which are frozen. */
export async function runTask(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  settings: Settings,
): Promise<Evaluation> {
  const [model, heads] = source instanceof ExitHeads ? [source.model, source] : [source, undefined];
  const { policies, limit, maxLength, batchTokens, seed, resamples, signal, onBatch } = settings;
  const encode = passageEncoder(model, settings);
  const tallies = [null, ...policies].map((policy) => ({ policy, columns: [] as Columns[], agreed: 0, depths: 0 }));
  let [kind, count, done, tokens, truncated]: [TaskKind | undefined, number, number, number, number] = [
    undefined,
    0,
    0,
    0,
    0,
  ];
  let queue: { readonly entry: Entry; readonly passage: Passage }[] = [];
  let queued = 0; // tokens in it

  /** Scores what is queued, and closes the items of which nothing is missing. */
  const flush = async (): Promise<void> => {
    signal?.throwIfAborted();
    const ways = await scorePassages(
      source,
      queue.map(({ passage }) => passage),
      policies,
    );
    for (const [w, passages] of ways.entries()) {
      for (const [i, { entry, passage }] of queue.entries()) {
        entry.scores[w]!.push(summarize(passage, passages[i]!));
        for (const [t, { depth, choice }] of passages[i]!.entries()) {
          tallies[w]!.depths += depth;
          tallies[w]!.agreed += Number(choice === ways[0]![i]![t]!.choice);
        }
      }
    }
    tokens += queue.reduce((sum, { passage }) => sum + passage.continuation.length, 0);
    for (const { item, passages, scores } of new Set(queue.map(({ entry }) => entry))) {
      if (scores[0]!.length < passages) continue;
      for (const [w, { columns }] of tallies.entries()) addItem(columns, item, scores[w]!);
      done++;
    }
    [queue, queued] = [[], 0];
    await onBatch?.({ items: done, tokens });
  };

  for await (const item of items) {
    if (kind === undefined) for (const tally of tallies) tally.columns = createColumns((kind = item.kind));
    if (item.kind !== kind) {
      throw new TaskError(
        "task-mixed",
        `evaluate: item ${count + 1} is of kind ${item.kind}, those before of kind ${kind}; evaluate them apart`,
        { item: count + 1 },
      );
    }
    count++;
    const encoded = encode(item, count);
    truncated += encoded.truncated;
    const entry: Entry = { item, passages: encoded.passages.length, scores: tallies.map(() => []) };
    for (const passage of encoded.passages) {
      const length = passage.context.length + passage.continuation.length;
      if (queue.length > 0 && queued + length > batchTokens) await flush();
      queue.push({ entry, passage });
      queued += length;
    }
    if (count >= limit) break;
  }
  if (kind === undefined) throw new OptionError("task-empty", "evaluate: the task has no items; give at least one");
  await flush();

  const estimates = bootstrap(
    kind,
    tallies.map(({ columns }) => columns),
    { resamples, level: LEVEL, rng: createRng(seed) },
  );
  return {
    format: "early-exits/evaluation",
    version: 1,
    kind,
    items: count,
    tokens,
    truncated,
    numLayers: model.config.numLayers,
    maxLength,
    modelHash: await model.hash(),
    headsHash: heads === undefined ? null : await heads.hash(),
    dtype: model.dtype,
    backend: model.device.backend,
    level: LEVEL,
    resamples,
    seed,
    ways: tallies.map(({ policy, agreed, depths }, w) => ({
      policy,
      ...estimates[w]!,
      agreement: agreed / tokens,
      meanDepth: depths / tokens,
    })),
  };
}

/** An item on its way: by way, the scores of its passages so far. */
interface Entry {
  readonly item: TaskItem;
  readonly passages: number;
  readonly scores: readonly PassageScore[][];
}

function summarize({ continuation }: Passage, scored: readonly ScoredToken[]): PassageScore {
  return {
    logLikelihood: scored.reduce((sum, { logLikelihood }) => sum + logLikelihood, 0),
    greedy: scored.every(({ choice }, t) => choice === continuation[t]),
    tokens: continuation.length,
  };
}
