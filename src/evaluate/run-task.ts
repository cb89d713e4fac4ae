/** Runs a task from its first item to the report: items become passages, passages scores, scores metrics. */
import { OptionError, TaskError } from "../errors.js";
import { ExitHeads } from "../exits/heads/index.js";
import type { Policy } from "../exits/plan/index.js";
import type { Model } from "../model/index.js";
import { createRng } from "../tensor/index.js";
import type { Evaluation } from "./evaluation.js";
import { addSummands, bootstrap, type Columns, createColumns } from "./metrics.js";
import { type EvaluateSettings, type ItemScore, type NumberedItem, scoreItems } from "./score-items.js";
import type { TaskItem, TaskKind } from "./tasks.js";

/** The share of resamples inside an interval. */
const LEVEL = 0.95;

/** Evaluates a task. The heads must be frozen, and the policies made for them. */
export async function runTask(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  settings: EvaluateSettings,
): Promise<Evaluation> {
  let kind: TaskKind | undefined;
  async function* numbered(): AsyncGenerator<NumberedItem, void, undefined> {
    let number = 0;
    for await (const item of items) {
      number++;
      kind ??= item.kind;
      requireKind(item, kind, number);
      yield { item, number };
      if (number >= settings.limit) return;
    }
  }
  const scores: ItemScore[] = [];
  for await (const score of scoreItems(source, numbered(), settings)) scores.push(score);
  if (kind === undefined) throw new OptionError("task-empty", "evaluate: the task has no items; give at least one");
  return reportScores(scores, { ...(await describeTask(source, settings)), kind });
}

/** Throws a TaskError if an item is of another kind than those before. */
export function requireKind(item: TaskItem, kind: TaskKind, number: number): void {
  if (item.kind === kind) return;
  throw new TaskError(
    "task-mixed",
    `evaluate: item ${number} is of kind ${item.kind}, those before of kind ${kind}; evaluate them separately`,
    { item: number },
  );
}

/** What a report says beside the scores: plain JSON. */
export interface EvaluatedTask extends Pick<
  Evaluation,
  "numLayers" | "maxLength" | "modelHash" | "headsHash" | "dtype" | "backend" | "resamples" | "seed" | "kind"
> {
  readonly policies: readonly Policy[];
}

/** Describes what evaluates, and how. */
export async function describeTask(
  source: Model | ExitHeads,
  { policies, maxLength, resamples, seed }: Pick<EvaluateSettings, "policies" | "maxLength" | "resamples" | "seed">,
): Promise<Omit<EvaluatedTask, "kind">> {
  const heads = source instanceof ExitHeads ? source : undefined;
  const model = source instanceof ExitHeads ? source.model : source;
  return {
    numLayers: model.config.numLayers,
    maxLength,
    modelHash: await model.hash(),
    headsHash: heads === undefined ? null : await heads.hash(),
    dtype: model.storedAs,
    backend: model.device.backend,
    resamples,
    seed,
    policies,
  };
}

/** The report on scores of items, which are at least one and in the order of the task. */
export function reportScores(scores: readonly ItemScore[], task: EvaluatedTask): Evaluation {
  const { kind, numLayers, maxLength, modelHash, headsHash, dtype, backend, resamples, seed, policies } = task;
  const ways = [null, ...policies];
  const columns = ways.map((): Columns[] => createColumns(kind));
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
    numLayers,
    maxLength,
    modelHash,
    headsHash,
    dtype,
    backend,
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
