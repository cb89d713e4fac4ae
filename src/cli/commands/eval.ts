/** `early-exits eval`: a task in the harness's terms, with exits off and by policies; what is kept, with intervals. */
import { basename } from "node:path";
import { evaluate, type Evaluation, type Policy, type WeightDtype } from "../../index.js";
import { policyFrom } from "../../calibrate/index.js";
import type { Estimate, EvaluatedWay, MetricName, TaskKind } from "../../evaluate/index.js";
import { readHeads, readJson, readModel, readTask } from "../../node/index.js";
import { count, percent, table } from "../format.js";
import { breathe, type CommonOptions, type Io, openDevice, UsageError, writeResult } from "../io.js";
import { createProgress } from "../progress.js";

export interface EvalSettings extends CommonOptions {
  readonly dir: string;
  readonly task: string;
  readonly kind: TaskKind;
  readonly heads?: string | undefined;
  readonly policy?: readonly string[] | undefined;
  readonly limit?: number | undefined;
  readonly maxLength?: number | undefined;
  /** @default true */
  readonly specialTokens?: boolean | undefined;
  readonly resamples?: number | undefined;
  readonly seed?: number | undefined;
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

export async function run(settings: EvalSettings, io: Io): Promise<void> {
  const {
    dir,
    task,
    kind,
    heads: headsFolder,
    policy: files = [],
    limit = Infinity,
    maxLength,
    specialTokens,
    resamples,
    seed,
  } = settings;
  if (files.length > 0 && headsFolder === undefined) {
    throw new UsageError("eval: --policy needs --heads, the folder of the heads it was made for");
  }
  let total = 0; // the whole task is read before any of it is scored: a bad line shows at once
  for await (const item of readTask(task, kind)) total += Number(item.kind === kind && total < limit);
  const policies: Policy[] = [];
  for (const file of files) policies.push(policyFrom(await readJson(file)));
  const model = await readModel(dir, {
    device: await openDevice(io, settings.device),
    ...(settings.dtype && { dtype: settings.dtype }),
  });
  const heads = headsFolder === undefined ? undefined : await readHeads(headsFolder, model);
  const progress = createProgress(io, "eval");
  const evaluation = await evaluate(heads ?? model, readTask(task, kind), {
    policies,
    signal: io.signal,
    ...(limit !== Infinity && { limit }),
    ...(maxLength !== undefined && { maxLength }),
    ...(specialTokens !== undefined && { addSpecialTokens: specialTokens }),
    ...(resamples !== undefined && { resamples }),
    ...(seed !== undefined && { seed }),
    async onBatch({ items, tokens }) {
      progress.update({ done: items, total, text: `items, ${count(tokens)} tokens` });
      await breathe();
    },
  }).finally(() => progress.end());
  writeResult(
    io,
    settings,
    { task, ...evaluation },
    evaluationLines(evaluation, ["exits off", ...files.map((file) => basename(file, ".json"))]),
  );
  heads?.dispose();
  model.dispose();
}

/** Metrics with intervals, a row per way; below, the differences from exits off. */
export function evaluationLines(
  { ways, kind, items, tokens, truncated, level, numLayers, maxLength }: Evaluation,
  names: readonly string[],
): string[] {
  const metrics = Object.keys(ways[0]!.metrics) as MetricName[];
  const rows = (of: (way: EvaluatedWay) => Partial<Record<MetricName, Estimate>>, signed: boolean): string[][] =>
    ways.map((way, w) => [names[w]!, ...metrics.map((name) => estimate(name, of(way)[name]!, signed))]);
  const cut = truncated === 0 ? "" : `, ${truncated} contexts cut to the last ${maxLength} tokens`;
  return [
    `${kind}: ${items} items, ${count(tokens)} tokens scored${cut}; in brackets ${percent(level, 0)} intervals ` +
      "over resampled items",
    ...table([
      ["", ...metrics, "agreement", "mean depth"],
      ...rows(({ metrics: values }) => values, false).map((row, w) => [
        ...row,
        percent(ways[w]!.agreement),
        `${ways[w]!.meanDepth.toFixed(2)} of ${numLayers}`,
      ]),
    ]),
    ...(ways.length === 1
      ? []
      : [
          "Against exits off, on the same items:",
          ...table([["", ...metrics], ...rows(({ difference }) => difference, true).slice(1)]),
        ]),
  ];
}

/** Accuracies in percent (differences in points), the others as they are. */
function estimate(name: MetricName, { value, low, high }: Estimate, signed: boolean): string {
  const [factor, digits] = name.startsWith("acc")
    ? [100, 1]
    : name === "byte_perplexity" || name === "bits_per_byte"
      ? [1, 4]
      : [1, 2];
  const show = (x: number): string => `${signed && x >= 0 ? "+" : ""}${(factor * x).toFixed(digits)}`;
  return `${show(value)} [${show(low)}, ${show(high)}]`;
}
