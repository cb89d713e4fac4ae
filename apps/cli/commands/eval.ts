/**
 * `early-exits eval`: scores a task with exits off and with each policy; prints the share of the metrics that is kept,
 * with intervals.
 */
import { basename } from "node:path";
import { evaluate, type Evaluation, type Policy } from "early-exits";
import {
  type Estimate,
  type EvaluatedWay,
  type MetricName,
  type TaskItem,
  type TaskKind,
  taskKinds,
} from "early-exits/evaluate";
import { libraryDefaults, readPolicy, readTask, writeFileAtomic } from "early-exits/node";
import { type CommandDefinition, type OptionDefinition, type SettingsOf, withDefaults } from "../command.js";
import { count, percent, table } from "../format.js";
import { type Io, note, refuseIf, writeResult } from "../io.js";
import { openExits, shippedOption } from "../decoding.js";
import { modelDefaults, trainingThreads } from "../open-model.js";
import { headsOption, integer, modelFolder, modelOptions, outFileOption, seedOption } from "../options.js";
import { withProgress } from "../progress.js";
import { nameOf, openShard, shardOptions, storeOf } from "../shards.js";

const defaults = {
  ...modelDefaults,
  resamples: libraryDefaults.evaluate.resamples,
  seed: libraryDefaults.evaluate.seed,
} as const;

const options = [
  {
    flags: "--task <file>",
    description:
      'one JSON object per line; multiple-choice: {"query", "choices", "gold"}, {"ctx", "endings", "label"} or ' +
      '{"context_options", "continuation", "gold"}; lambada: {"context", "continuation"} or {"text"}; ' +
      'perplexity: {"text"}, or a .txt file of documents',
    required: true,
  },
  { flags: "--kind <kind>", description: "kind of task", choices: taskKinds, required: true },
  headsOption,
  { flags: "--policy <file...>", description: "policies made by calibrate, each compared with exits off" },
  shippedOption,
  { flags: "--limit <n>", description: "use only the first n items", parse: integer(1) },
  { flags: "--resamples <n>", description: "bootstrap resamples for the intervals", parse: integer(1) },
  { ...seedOption, description: "seed of the bootstrap" },
  { ...outFileOption, description: "write the report to this file, as JSON" },
  ...shardOptions,
  ...modelOptions,
] as const satisfies readonly OptionDefinition[];

type EvalSettings = SettingsOf<typeof options, "dir">;

export const evalCommand: CommandDefinition<EvalSettings> = {
  name: "eval",
  description:
    "Score a task as lm-evaluation-harness does, with exits off and with each policy: how much accuracy is kept",
  positional: [modelFolder],
  options,
  defaults,
  examples: [
    "eval my-model --task arc_easy.jsonl --kind multiple-choice --limit 200",
    "eval my-model --task lambada.jsonl --kind lambada --heads heads --policy p99.json p95.json p90.json",
    "eval my-model --task held.txt --kind perplexity --heads heads --policy policy.json --json",
    "eval my-model --task arc_easy.jsonl --kind multiple-choice --store scores --shard auto",
  ],
  run,
};

async function run(settings: EvalSettings, io: Io): Promise<void> {
  const { task, kind, resamples, seed } = withDefaults(defaults, settings);
  const { heads: headsFolder, policy: files = [], limit = Infinity } = settings;
  refuseIf(
    files.length > 0 && headsFolder === undefined,
    "eval: --policy needs --heads, the folder of the heads it was made for",
  );
  const shard = openShard("eval", settings);
  const all = await countItems(task, kind, limit);
  const { index, of } = shard ?? { index: 0, of: 1 };
  const total = Math.ceil((all - index) / of);
  const policies: Policy[] = [];
  for (const file of files) policies.push(await readPolicy(file));
  const { threads = shard === undefined ? trainingThreads() : defaults.threads } = settings;
  const asked = { ...settings, threads, policy: files[0] };
  const { model, heads, certificate } = await openExits(io, "eval", asked, policies[0]);
  const names = ["exits off", ...files.map((file) => basename(file, ".json"))];
  if (certificate !== undefined) {
    policies.push(certificate.policy);
    names.push("shipped");
  }
  /** Items of this shard; without --shard, all. */
  async function* own(): AsyncGenerator<TaskItem, void, undefined> {
    let unit = 0;
    for await (const item of readTask(task, kind)) {
      if (unit >= limit) return;
      if (unit++ % of === index) yield item;
    }
  }
  try {
    if (total > 0 || shard === undefined) {
      const evaluation = await withProgress(io, "eval", (report) =>
        evaluate(heads ?? model, own(), {
          policies,
          resamples,
          seed,
          signal: io.signal,
          ...storeOf(settings),
          onBatch: ({ items, tokens }) => report({ done: items, total, text: `items, ${count(tokens)} tokens` }),
        }),
      );
      if (shard === undefined) {
        const { out } = settings;
        const result = { task, ...evaluation };
        if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(result)}\n`);
        writeResult(io, settings, result, [
          ...evaluationLines(evaluation, names),
          ...(out === undefined ? [] : [`report: ${out}`]),
        ]);
      }
    }
    if (shard !== undefined) note(io, `${nameOf(shard)}: all of its items are scored`);
  } finally {
    await model.device.dispose();
  }
}

/** Reads the whole task first, so that a bad line shows at once. */
async function countItems(task: string, kind: TaskKind, limit: number): Promise<number> {
  let total = 0;
  for await (const item of readTask(task, kind)) {
    if (item.kind === kind && total < limit) total++;
  }
  return total;
}

function evaluationLines(evaluation: Evaluation, names: readonly string[]): string[] {
  const { ways, kind, items, tokens, truncated, level, numLayers, maxLength } = evaluation;
  const metrics = Object.keys(ways[0]!.metrics) as MetricName[];
  const rows = (of: (way: EvaluatedWay) => Partial<Record<MetricName, Estimate>>, signed: boolean) =>
    ways.map((way, w) => [names[w]!, ...metrics.map((name) => estimate(name, of(way)[name]!, signed))]);
  const cut = truncated === 0 ? "" : `, ${truncated} contexts cut to the last ${maxLength} tokens`;
  return [
    `${kind}: ${items} items, ${count(tokens)} tokens scored${cut}; in brackets ${percent(level, 0)} intervals over ` +
      "resampled items",
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
          "Difference from exits off, on the same items:",
          ...table([["", ...metrics], ...rows(({ difference }) => difference, true).slice(1)]),
          ...claimLines(evaluation, names),
        ]),
  ];
}

/**
 * About how many prompts a promise takes, by mean and variance of the accuracy lost here: (1.65 s / (ε - μ))², and no
 * fewer than without any loss.
 */
function claimLines({ ways, items }: Evaluation, names: readonly string[]): string[] {
  return ways.slice(1).flatMap(({ difference: { acc } }, way) => {
    if (acc === undefined) return [];
    // 0.42 = 1.65 / 3.92: the interval has the width of 3.92 standard errors.
    const needed = [0.01, 0.02, 0.05].map((epsilon) =>
      Math.max(items * ((0.42 * (acc.high - acc.low)) / Math.max(0, epsilon + acc.value)) ** 2, 3 / epsilon).toFixed(),
    );
    return `${names[way + 1]!}: to certify 1, 2 or 5 points lost takes ${needed.join(", ")} prompts`.replaceAll(
      "Infinity",
      "∞",
    );
  });
}

/** Percent for accuracies (points for differences); other metrics as they are. */
function estimate(name: MetricName, { value, low, high }: Estimate, signed: boolean): string {
  const accuracy = name.startsWith("acc");
  const fine = name === "byte_perplexity" || name === "bits_per_byte";
  const show = (x: number): string => {
    const text = accuracy ? (100 * x).toFixed(1) : x.toFixed(fine ? 4 : 2);
    return signed && x >= 0 ? `+${text}` : text;
  };
  return `${show(value)} [${show(low)}, ${show(high)}]`;
}
