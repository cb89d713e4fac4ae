/** Runs a task from its first item to the report: items become passages, passages scores, scores metrics. */
import { OptionError, TaskError } from "../errors.js";
import { ExitHeads } from "../exits/heads/exit-heads.js";
import type { CacheStore } from "../exits/states/shards.js";
import type { Model } from "../model/index.js";
import { sha256 } from "../model/sha256.js";
import { createRng } from "../tensor/index.js";
import type { Evaluation } from "./evaluation.js";
import { addSummands, bootstrap, type Columns, createColumns } from "./metrics.js";
import { type EvaluateSettings, type ItemScore, type NumberedItem, scoreItems } from "./score-items.js";
import type { TaskItem, TaskKind } from "./tasks.js";

const LEVEL = 0.95;

/** Heads must be frozen, and policies made for them. */
export async function runTask(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  settings: EvaluateSettings,
): Promise<Evaluation> {
  const { policies, limit, maxLength, addSpecialTokens, resamples, seed, store, onBatch } = settings;
  const heads = source instanceof ExitHeads ? source : undefined;
  const model = source instanceof ExitHeads ? source.model : source;
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
  const asked: { readonly index: number; readonly item: TaskItem }[] = []; // in the order of their scores
  let found = 0;
  let kind: TaskKind | undefined;
  async function* unscored(): AsyncGenerator<NumberedItem, void, undefined> {
    let number = 0;
    for await (const item of items) {
      const index = number++;
      kind ??= item.kind;
      requireKind(item, kind, number);
      const known = await kept?.read(item);
      if (known === undefined) {
        asked.push({ index, item });
        yield { item, number };
      } else {
        scores[index] = known;
        found++;
      }
      if (number >= limit) return;
    }
  }
  const reported = onBatch && {
    onBatch: (event: { readonly items: number; readonly tokens: number }) =>
      onBatch({ ...event, items: event.items + found }),
  };
  for await (const score of scoreItems(source, unscored(), { ...settings, ...reported })) {
    const { index, item } = asked.shift()!;
    scores[index] = score;
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

function requireKind(item: TaskItem, kind: TaskKind, number: number): void {
  if (item.kind === kind) return;
  throw new TaskError(
    "task-mixed",
    `evaluate: item ${number} is of kind ${item.kind}, those before of kind ${kind}; evaluate them separately`,
    { item: number },
  );
}

/** Stores scores in files named by the item and by all that its score is a function of. */
function scoreStore(
  store: CacheStore,
  described: object,
): { read(item: TaskItem): Promise<ItemScore | undefined>; write(item: TaskItem, score: ItemScore): Promise<void> } {
  const encoder = new TextEncoder();
  const nameOf = async (item: TaskItem): Promise<string> => {
    const digest = await sha256(encoder.encode(JSON.stringify([described, item])));
    return `score-${digest.slice(0, 32)}.json`;
  };
  return {
    async read(item) {
      const bytes = await store.read(await nameOf(item));
      return (
        bytes && (JSON.parse(new TextDecoder().decode(bytes), (_, value: unknown) => numberOf(value)) as ItemScore)
      );
    },
    async write(item, score) {
      const json = JSON.stringify(score, (_, value: unknown) => spelled(value));
      await store.write(await nameOf(item), encoder.encode(json));
    },
  };
}

/** Log-likelihoods may be infinite, which JSON is not. */
function spelled(value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** No other value of a score is text. */
function numberOf(value: unknown): unknown {
  return typeof value === "string" ? Number(value) : value;
}
