/**
 * How much accuracy certified exits keep: the embedded model on three tasks made of its test documents, which neither
 * it nor its heads nor their calibration has seen, with exits off and by each certified policy of its folder (`npm run
 * bench:eval`).
 *   multiple-choice   which of four endings continues a passage: its own, or those of passages of three other segments
 *   lambada           the word after the beginning of a passage
 *   perplexity        whole segments
 *   tsx bench/eval.ts [--model models/sotu-12] [--seed 1] [--out bench/reports]
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { evaluate, type Evaluation, type Policy } from "early-exits";
import { createRng } from "early-exits/tensor";
import { policyFrom } from "early-exits/calibrate";
import type { Estimate, MetricName, TaskItem } from "early-exits/evaluate";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { machine, type Table, writeReport } from "../lab/report/index.js";

const CONTEXT_WORDS = 40;
const ENDING_WORDS = 12;

interface Task {
  readonly title: string;
  readonly note: string;
  readonly items: readonly TaskItem[];
}

/** The three tasks. A segment is cut into passages of a context and an ending. */
function makeTasks(segments: readonly string[], seed: number): Task[] {
  const rng = createRng(seed);
  const length = CONTEXT_WORDS + ENDING_WORDS;
  const passages = segments.flatMap((text, segment) => {
    const words = text.split(/\s+/);
    return Array.from({ length: Math.floor(words.length / length) }, (_, i) => {
      const own = words.slice(i * length, (i + 1) * length);
      return {
        segment,
        context: own.slice(0, CONTEXT_WORDS).join(" "),
        ending: own.slice(CONTEXT_WORDS).join(" "),
        next: own[CONTEXT_WORDS]!,
      };
    });
  });
  return [
    {
      title: "Which of four endings continues the passage",
      note:
        `${CONTEXT_WORDS} words, then the ${ENDING_WORDS} that follow, or those of passages of other segments; ` +
        "chance is 25 %.",
      items: passages.map((passage): TaskItem => {
        const others = rng.shuffle(passages.filter(({ segment }) => segment !== passage.segment)).slice(0, 3);
        const four = rng.shuffle([passage, ...others]);
        return {
          kind: "multiple-choice",
          choices: four.map(({ ending }) => ({ context: passage.context, continuation: ending })),
          gold: four.indexOf(passage),
        };
      }),
    },
    {
      title: "The next word",
      note: `The word after ${CONTEXT_WORDS}, all its tokens greedily: as LAMBADA is scored, but any word.`,
      items: passages.map(({ context, next }): TaskItem => ({ kind: "lambada", context, continuation: next })),
    },
    {
      title: "Perplexity",
      note: "Whole segments.",
      items: segments.map((text): TaskItem => ({ kind: "perplexity", text })),
    },
  ];
}

/** The metrics that the table shows: accuracies in percent. */
const SHOWN: readonly MetricName[] = ["acc", "acc_norm", "perplexity", "token_perplexity", "word_perplexity"];

function tableOf(
  { title, note }: Task,
  { ways, items, tokens, numLayers, level }: Evaluation,
  names: readonly string[],
): Table {
  const metrics = SHOWN.filter((name) => name in ways[0]!.metrics);
  const show = (name: MetricName, { value, low, high }: Estimate, sign = ""): string => {
    const [factor, digits] = name.startsWith("acc") ? [100, 1] : [1, 2];
    return [value, low, high]
      .map((x) => `${x > 0 ? sign : ""}${(factor * x).toFixed(digits)}`)
      .join(", ")
      .replace(/, (.*)$/, " [$1]");
  };
  return {
    title,
    note:
      `${note} ${items} items, ${tokens} tokens scored. In brackets ${100 * level} % intervals over resampled ` +
      "items; the differences are paired, item by item. acc in percent.",
    columns: [
      "",
      ...metrics.flatMap((name) => [name, `${name} against exits off`]),
      "tokens as the full model's",
      `mean depth of ${numLayers}`,
    ],
    rows: ways.map((way, w) => [
      names[w]!,
      ...metrics.flatMap((name) => [
        show(name, way.metrics[name]!),
        way.policy === null ? "" : show(name, way.difference[name]!, "+"),
      ]),
      `${(100 * way.agreement).toFixed(1)} %`,
      way.meanDepth.toFixed(2),
    ]),
  };
}

const { values } = parseArgs({
  options: {
    model: { type: "string", default: fileURLToPath(new URL("../models/sotu-12", import.meta.url)) },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: fileURLToPath(new URL("reports", import.meta.url)) },
  },
});
const where = machine();
const model = await readModel(values.model, { device: await createDevice("auto") });
const heads = await readHeads(join(values.model, "heads"), model);
const policies: Policy[] = [];
for (const file of (await readdir(join(values.model, "certificates"))).sort().reverse()) {
  policies.push(policyFrom(await readJson(join(values.model, "certificates", file))));
}
const names = [
  "exits off",
  ...policies.map(({ agreement }) => `certified ${agreement!.toFixed(2).replace("0.", ".")}`),
];
const { test } = (await readJson(join(values.model, "documents.json"))) as {
  readonly test: readonly { readonly text: string }[];
};
const tables: Table[] = [];
const data: unknown[] = [];
for (const task of makeTasks(
  test.map(({ text }) => text),
  Number(values.seed),
)) {
  const evaluation = await evaluate(heads, task.items, {
    policies,
    onBatch: ({ items }) => console.error(`${task.title}: ${items}/${task.items.length}`),
  });
  tables.push(tableOf(task, evaluation, names));
  data.push({ title: task.title, ...evaluation });
}
await writeReport(values.out, {
  name: "eval",
  title:
    `Accuracy kept by certified exits: ${values.model.split("/").at(-1)} on tasks made of its test documents, ` +
    `device ${model.device.backend}`,
  machine: where,
  tables,
  data,
});
console.log(join(values.out, "eval.md"));
await model.device.dispose();
