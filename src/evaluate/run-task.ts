/** Runs a task from its first item to the report: items become passages, passages scores, scores metrics. */
import { OptionError, TaskError } from "../errors.js";
import { ExitHeads } from "../exits/heads/index.js";
import type { Model } from "../model/index.js";
import { createRng } from "../tensor/index.js";
import type { EvaluateOptions, Evaluation } from "./evaluation.js";
import { type ScoredToken, scorePassages } from "./score-passages.js";
import { addItem, bootstrap, type Columns, createColumns, type PassageScore } from "./metrics.js";
import { type Passage, passageEncoder } from "./passages.js";
import type { TaskItem, TaskKind } from "./tasks.js";
import { giveTurn } from "../turns.js";

/** The share of resamples inside an interval. */
const LEVEL = 0.95;

/** Checked options with their defaults; `signal` and `onBatch` may be missing. */
type Settings = Required<Omit<EvaluateOptions, "signal" | "onBatch">> & {
  readonly [Key in "signal" | "onBatch"]: EvaluateOptions[Key] | undefined;
};

/** Evaluates a task. The heads must be frozen, and the policies made for them. */
export async function runTask(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  settings: Settings,
): Promise<Evaluation> {
  const heads = source instanceof ExitHeads ? source : undefined;
  const model = source instanceof ExitHeads ? source.model : source;
  const { policies, limit, maxLength, batchTokens, seed, resamples, signal, onBatch } = settings;
  const encode = passageEncoder(model, settings);
  const tallies = [null, ...policies].map((policy) => ({ policy, columns: [] as Columns[], agreed: 0, depths: 0 }));
  let kind: TaskKind | undefined;
  let count = 0;
  let done = 0;
  let tokens = 0;
  let truncated = 0;
  let queue: { readonly entry: Entry; readonly passage: Passage }[] = [];
  let queuedTokens = 0;

  /** Scores the queue, and adds the items that are now complete to the columns. */
  const flush = async (): Promise<void> => {
    await giveTurn(signal);
    const queued = queue.map(({ passage }) => passage);
    const ways = await scorePassages(source, queued, policies, signal);
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
    queue = [];
    queuedTokens = 0;
    await onBatch?.({ items: done, tokens });
  };

  for await (const item of items) {
    if (kind === undefined) {
      kind = item.kind;
      for (const tally of tallies) tally.columns = createColumns(kind);
    }
    if (item.kind !== kind) {
      throw new TaskError(
        "task-mixed",
        `evaluate: item ${count + 1} is of kind ${item.kind}, those before of kind ${kind}; evaluate them separately`,
        { item: count + 1 },
      );
    }
    count++;
    const encoded = encode(item, count);
    truncated += encoded.truncated;
    const entry: Entry = { item, passages: encoded.passages.length, scores: tallies.map(() => []) };
    for (const passage of encoded.passages) {
      const length = passage.context.length + passage.continuation.length;
      if (queue.length > 0 && queuedTokens + length > batchTokens) await flush();
      queue.push({ entry, passage });
      queuedTokens += length;
    }
    if (count >= limit) break;
  }
  if (kind === undefined) throw new OptionError("task-empty", "evaluate: the task has no items; give at least one");
  await flush();

  const columns = tallies.map((tally) => tally.columns);
  const estimates = bootstrap(kind, columns, { resamples, level: LEVEL, rng: createRng(seed) });
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
    dtype: model.storedAs,
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

/** An item in progress. */
interface Entry {
  readonly item: TaskItem;
  /** Number of its passages. */
  readonly passages: number;
  /** [ways] the scores of its passages so far. */
  readonly scores: readonly PassageScore[][];
}

function summarize({ continuation }: Passage, scored: readonly ScoredToken[]): PassageScore {
  return {
    logLikelihood: scored.reduce((sum, { logLikelihood }) => sum + logLikelihood, 0),
    greedy: scored.every(({ choice }, t) => choice === continuation[t]),
    tokens: continuation.length,
  };
}
