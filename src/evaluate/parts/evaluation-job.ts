/**
 * An evaluation that several processes share: each of them reads the whole task and scores its own items. The report is
 * a function of the description and of all scores.
 */
import { OptionError } from "../../errors.js";
import { ExitHeads } from "../../exits/heads/index.js";
import { type Model, sha256 } from "../../model/index.js";
import { evaluateSettings } from "../evaluate.js";
import type { EvaluateOptions } from "../evaluation.js";
import { describeTask, type EvaluatedTask, requireKind } from "../run-task.js";
import { type ItemScore, scoreItems } from "../score-items.js";
import type { TaskItem, TaskKind } from "../tasks.js";
import { serializeScores } from "./scores-chunk.js";

/** What the report is a function of, beside the scores: plain JSON, the same in every process. */
export interface EvaluationDescription extends EvaluatedTask {
  /** How many items there are, and the SHA-256 of all of them. */
  readonly items: { readonly count: number; readonly hash: string };
  readonly addSpecialTokens: boolean;
  /** Which build of the device's kernels, if it says so. */
  readonly kernelBuild: string | null;
}

export interface EvaluationJob {
  readonly description: EvaluationDescription;
  /** Scores some of the own items, by their index in the task: the bytes for `parseScores`. */
  readonly score: (units: readonly number[]) => Promise<Uint8Array>;
}

/**
 * Opens an evaluation; `isOwn` says of which items the scores will be asked for. Throws what `evaluate` throws before
 * it scores.
 */
export async function openEvaluationJob(
  source: Model | ExitHeads,
  items: Iterable<TaskItem> | AsyncIterable<TaskItem>,
  isOwn: (unit: number) => boolean,
  options: EvaluateOptions,
): Promise<EvaluationJob> {
  const settings = await evaluateSettings(source, options);
  const { device } = source instanceof ExitHeads ? source.model : source;
  const own = new Map<number, TaskItem>();
  const hashes: string[] = [];
  let kind: TaskKind | undefined;
  for await (const item of items) {
    kind ??= item.kind;
    requireKind(item, kind, hashes.length + 1);
    if (isOwn(hashes.length)) own.set(hashes.length, item);
    hashes.push(await hashText(JSON.stringify(item)));
    if (hashes.length >= settings.limit) break;
  }
  if (kind === undefined) throw new OptionError("task-empty", "evaluate: the task has no items; give at least one");
  return {
    description: {
      ...(await describeTask(source, settings)),
      kind,
      items: { count: hashes.length, hash: await hashText(hashes.join("")) },
      addSpecialTokens: settings.addSpecialTokens,
      kernelBuild: device.info.kernelBuild ?? null,
    },
    async score(units) {
      const asked = units.map((unit) => ({ item: own.get(unit)!, number: unit + 1 }));
      const scores: ItemScore[] = [];
      for await (const score of scoreItems(source, asked, settings)) scores.push(score);
      return serializeScores(scores);
    },
  };
}

function hashText(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text));
}
