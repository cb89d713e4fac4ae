/**
 * Accuracy that certified exits keep: the embedded model on three tasks made from its test documents, which neither
 * the model nor its heads nor their calibration has seen, with exits off and with each certified policy of its folder.
 *   multiple-choice   which of four endings continues a passage: its own, or those of passages of three other segments
 *   lambada           the word after the beginning of a passage
 *   perplexity        whole segments
 *   npm run bench:eval [-- --model models/sotu-12] [--seed 1] [--out bench/reports]
 */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { evaluate, type Evaluation, type Policy } from "early-exits";
import { createRng } from "early-exits/tensor";
import { policyFrom } from "early-exits/calibrate";
import type { Estimate, MetricName, TaskItem } from "early-exits/evaluate";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { machine } from "../lab/report/machine.js";
import { percent } from "../lab/report/format.js";
import { prose } from "../lab/report/prose.js";
import { reportsFolder } from "../lab/report/script.js";
import { type Table, writeReport } from "../lab/report/report.js";
import { modelFolder, readDocuments } from "../lab/ship/embedded.js";

const CONTEXT_WORDS = 40;
const ENDING_WORDS = 12;

interface Task {
  readonly title: string;
  readonly note: string;
  readonly items: readonly TaskItem[];
}

/** The three tasks. Segments are cut into passages, each a context and an ending. */
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
      note: prose`
        ${CONTEXT_WORDS} words, then the ${ENDING_WORDS} that follow, or those of passages from other segments; chance
        is 25 %.`,
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
      note: prose`
        The word after ${CONTEXT_WORDS} words; all its tokens must be the greedy ones. Scored like LAMBADA, but with any
        word.`,
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
    const accuracy = name.startsWith("acc");
    const text = (x: number): string => (x > 0 ? sign : "") + (accuracy ? (100 * x).toFixed(1) : x.toFixed(2));
    return `${text(value)} [${text(low)}, ${text(high)}]`;
  };
  return {
    title,
    note: prose`
      ${note} ${items} items, ${tokens} tokens scored. In brackets: ${100 * level} % intervals over resampled items;
      differences are paired, item by item. acc is in percent.`,
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
      percent(way.agreement),
      way.meanDepth.toFixed(2),
    ]),
  };
}

const { values } = parseArgs({
  options: {
    model: { type: "string", default: modelFolder("sotu-12") },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: reportsFolder },
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
const { test } = await readDocuments(values.model);
const tables: Table[] = [];
const data: unknown[] = [];
for (const task of makeTasks(test, Number(values.seed))) {
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
    `Accuracy kept by certified exits: ${basename(values.model)} on tasks made from its test documents, ` +
    `device ${model.device.backend}`,
  machine: where,
  tables,
  data,
});
console.log(join(values.out, "eval.md"));
await model.device.dispose();
