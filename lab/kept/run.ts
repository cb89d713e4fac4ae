/**
 * Accuracy that certified exits keep on a pretrained chat model that nobody trained for them:
 * SmolLM2-135M-Instruct in int8, with exits off and with each policy in models/smollm2-135m-instruct.
 *   text   the last word of a passage (LAMBADA), without a conversation, scored as `early-exits eval` does
 *   chat   a sentence with a given word, asked in a conversation and answered greedily
 *   npx tsx lab/kept/run.ts [--model FILE] [--fixtures FOLDER] [--folder FOLDER] [--limit N] [--threads 2]
 *     [--out FOLDER]
 * The beginnings of most passages were in prompts that taught the heads or certified the policies; the others are
 * judged apart. Writes kept.md and kept.json. The perplexity of sampled text is in sampled-text-smollm2.md.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { evaluate, type Evaluation } from "early-exits";
import type { Estimate, TaskItem } from "early-exits/evaluate";
import { parseTaskLine } from "../../src/evaluate/tasks.js";
import { createDevice, readHeads, readModel } from "early-exits/node";
import { chatPrompts, knownConversations } from "../pretrained/prompts.js";
import { exactCertificates } from "../pretrained/read-certificates.js";
import { requireUncertified, unusedPrompts } from "../pretrained/held-prompts.js";
import { machine } from "../report/machine.js";
import { percent } from "../report/format.js";
import { prose } from "../report/prose.js";
import { reportsFolder } from "../report/script.js";
import { type Table, writeReport } from "../report/report.js";
import { answerTasks } from "./answer-tasks.js";
import { keptAccuracy, standardError } from "./kept-accuracy.js";
import { letterTask, type Question, wordTasks } from "./chat-tasks.js";

const TEXT = "lambada_openai_500";
const QUESTIONS = "arc_easy_200";
/** Sentences that are asked for. */
const SENTENCES = 300;
/** Tokens of an answer, at most. */
const MAX_NEW_TOKENS = 48;
const BATCH_SIZE = 16;
/** Tokens of one answer to every prompt that was asked: four each were sampled, 869,281 tokens in all. */
const TAUGHT = 869_281 / 4;

interface Judged {
  readonly table: Table;
  readonly data: unknown;
}

/** One way's result on some items. */
interface Kept {
  readonly items: number;
  readonly accuracy: Estimate;
  readonly difference: Estimate;
}

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    limit: { type: "string", default: "500" },
    threads: { type: "string", default: "2" },
    out: { type: "string", default: reportsFolder },
  },
});
const where = machine();
const started = performance.now();
const limit = Number(values.limit);
const file = values.model ?? join(values.fixtures, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
const certificates = await exactCertificates(join(values.folder, "certificates"));
const policies = certificates.map(({ policy }) => policy);
const names = ["plain", ...certificates.map(({ agreement }) => `certified ${percent(agreement, 0)}`)];
const device = await createDevice("wasm", { threads: Number(values.threads) });
const model = await readModel(file, { device, dtype: "int8" });
const heads = await readHeads(join(values.folder, "heads"), model);
const { numLayers } = model.config;

const text = await judgeText();
const chat = await judgeChat();
const minutes = (performance.now() - started) / 60_000;
await writeReport(values.out, {
  name: "kept",
  title: "Accuracy kept by exits on SmolLM2-135M-Instruct, which nobody trained for them",
  machine: where,
  tables: [text.table, chat.table],
  data: { minutes, threads: Number(values.threads), text: text.data, chat: chat.data },
});
console.log(`${join(values.out, "kept.md")} (${minutes.toFixed(1)} minutes)`);
await device.dispose();

async function linesOf(kind: string): Promise<string[]> {
  const lines = await readFile(join(values.fixtures, "eval", `${kind}.jsonl`), "utf8");
  return lines.split("\n").filter((line) => line !== "");
}

/** The last words of passages. */
async function judgeText(): Promise<Judged> {
  const prompts = await chatPrompts(values.fixtures, await knownConversations(values.fixtures, model.tokenizer));
  const unused = unusedPrompts(prompts, certificates[0]!, TAUGHT).filter(({ kind }) => kind === TEXT);
  requireUncertified(unused, certificates);
  const clean = new Set(unused.map(({ line }) => line));
  const items = (await linesOf(TEXT)).slice(0, limit).map((json, line) => ({ json, line }));
  const parts = [items.filter(({ line }) => clean.has(line)), items.filter(({ line }) => !clean.has(line))];
  const evaluations: Evaluation[] = [];
  for (const part of parts) {
    const tasks = part.map(({ json, line }): TaskItem => parseTaskLine(json, line + 1, "lambada"));
    const onBatch = ({ items: done }: { readonly items: number }): void => {
      console.error(`${TEXT}: ${done} of ${part.length}`);
    };
    evaluations.push(await evaluate(heads, tasks, { policies, onBatch }));
  }
  const tokens = evaluations.reduce((sum, evaluation) => sum + evaluation.tokens, 0);
  const mean = (way: number, of: (way: Evaluation["ways"][number]) => number): number =>
    evaluations.reduce((sum, evaluation) => sum + of(evaluation.ways[way]!) * evaluation.tokens, 0) / tokens;
  return {
    table: {
      title: "Text: the last word of a passage",
      note: prose`
        LAMBADA, ${items.length} passages, as text without a conversation. The last word was in no prompt. What comes
        before it, up to 80 words, was in prompts that taught or certified, but for ${parts[0]!.length} passages: those
        held out, and those so late in the order of training that no answer to them was written (estimated from the
        lengths of answers). acc: all tokens of the last word are the greedy ones, in percent, ± its standard error; the
        difference to plain is paired, with its 95 % interval over resampled items. The last two columns are over the
        tokens of all last words.`,
      columns: [
        "",
        ...parts.flatMap(({ length }, part) => [
          `acc, ${length} ${part === 0 ? "unused" : "other"} passages`,
          "against plain",
        ]),
        "tokens as plain",
        `mean depth of ${numLayers}`,
      ],
      rows: names.map((name, way) => [
        name,
        ...evaluations.flatMap(({ items: count, ways }) => {
          const { metrics, difference } = ways[way]!;
          return cellsOf({ items: count, accuracy: metrics.acc!, difference: difference.acc! }, way);
        }),
        percent(mean(way, ({ agreement }) => agreement)),
        mean(way, ({ meanDepth }) => meanDepth).toFixed(2),
      ]),
    },
    data: { task: TEXT, evaluations },
  };
}

/** Sentences with a word, in conversations; and whether questions with choices would be a task for this model. */
async function judgeChat(): Promise<Judged> {
  const words = (await linesOf(TEXT)).map((json) => (JSON.parse(json) as { continuation: string }).continuation);
  const tasks = wordTasks(words).slice(0, Math.min(limit, SENTENCES));
  const options = { maxNewTokens: MAX_NEW_TOKENS, batchSize: BATCH_SIZE };
  const ways = await answerTasks(heads, tasks, {
    ...options,
    policies: [null, ...policies],
    onWay: (way) => {
      console.error(`words: ${names[way]!}`);
    },
  });
  const kept = keptAccuracy(ways.map(({ right }) => right));
  const questions = (await linesOf(QUESTIONS)).slice(0, limit).map((json) => JSON.parse(json) as Question);
  const [letters] = await answerTasks(heads, questions.map(letterTask), { ...options, policies: [null] });
  const chosen = letters!.right.filter(Boolean).length / questions.length;
  const chance = questions.reduce((sum, { choices }) => sum + 1 / choices.length, 0) / questions.length;
  return {
    table: {
      title: "Chat: a sentence with a given word",
      note: prose`
        ${tasks.length} conversations that ask for a sentence with a word, one of the last words of LAMBADA's passages,
        answered greedily with at most ${MAX_NEW_TOKENS} tokens. No prompt of this form taught or certified. acc: the
        word is in the answer as it is, in percent; gained and lost: answers that are right where plain's are not, and
        the other way round; other columns as above. Questions with choices are no task for
        this model: of ${questions.length} of ARC-Easy it names the right letter in ${percent(chosen)}, plain, where
        chance is ${percent(chance)}.`,
      columns: ["", "acc", "against plain", "gained", "lost", "answers as plain", `mean depth of ${numLayers}`],
      rows: names.map((name, way) => {
        const { gained, lost, ...result } = kept[way]!;
        const { answers, meanDepth } = ways[way]!;
        const same = answers.filter((answer, i) => answer === ways[0]!.answers[i]).length;
        return [
          name,
          ...cellsOf({ items: tasks.length, ...result }, way),
          way === 0 ? "" : String(gained),
          way === 0 ? "" : String(lost),
          percent(same / tasks.length),
          meanDepth.toFixed(2),
        ];
      }),
    },
    data: {
      kept,
      ways: ways.map(({ right, tokens, meanDepth }, way) => ({ name: names[way]!, right, tokens, meanDepth })),
      letters: { task: QUESTIONS, items: questions.length, chosen, chance },
    },
  };
}

function cellsOf({ items, accuracy, difference }: Kept, way: number): string[] {
  const points = (share: number): string => (100 * share).toFixed(1);
  const signed = (share: number): string => (share > 0 ? "+" : "") + points(share);
  return [
    `${points(accuracy.value)} ± ${points(standardError(accuracy.value, items))}`,
    way === 0 ? "" : `${signed(difference.value)} [${signed(difference.low)}, ${signed(difference.high)}]`,
  ];
}
