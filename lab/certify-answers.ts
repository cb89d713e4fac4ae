/**
 * Promises about answers: certified on some prompts, judged on held-out ones and on prompts of another kind, beside
 * other ways to save time: four bits, lossless decoding, the preview of the last head alone, and the model without its
 * last blocks. SmolLM2-135M-Instruct in int8
 *   words      writes a sentence with a word of the stories; elsewhere it repeats a sentence
 *   arc        picks the right one of two answers to a question of ARC-Easy; elsewhere to one of OpenBookQA
 *   summaries  sums up stories; elsewhere encyclopedia
 * and the embedded model
 *   endings    ends passages of its documents with their next word; elsewhere plays
 *   sotu       continues segments of its documents; elsewhere plays
 * Claims are about ROUGE-L where texts have no right answer (summaries, sotu), and about accuracy elsewhere.
 *   npx tsx lab/certify-answers.ts [--study words] [--certify 290] [--held 300] [--others 40] [--timed 16]
 *     [--threads 1] [--model FILE] [--fixtures FOLDER] [--store FOLDER] [--out FOLDER]
 * Writes answers.md and answers.json. The store keeps answers, so that an interrupted study goes on where it was, and
 * findings; --study "" writes the report of what it holds. Speed is measured on --timed prompts, on one thread.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { calibrate, createPolicy, type ExitHeads, type Policy } from "early-exits";
import { type AnswerTask, describeClaim } from "early-exits/calibrate";
import { readPrompt } from "early-exits/model";
import { createDevice, folderStore, readHeads, readModel } from "early-exits/node";
import { bettingBound } from "early-exits/risk";
import { createRng } from "early-exits/tensor";
import { orientThreshold } from "../src/calibrate/procedures/token-table.js";
import { answerEvidence } from "../src/calibrate/record/answers/answer-evidence.js";
import { type Answer, answerJudge, type Expected, isRight } from "../src/calibrate/record/answers/losses.js";
import { writeAnswers } from "../src/calibrate/record/answers/write-answers.js";
import { jsonIn, jsonOf } from "../src/exits/states/findings.js";
import type { Threshold } from "../src/exits/heads/score.js";
import { compareWays } from "./judged/compare-ways.js";
import { exactCertificates } from "./pretrained/read-certificates.js";
import { machine } from "./report/machine.js";
import { prose } from "./report/prose.js";
import { type Table, writeReport } from "./report/report.js";
import { reportsFolder } from "./report/script.js";
import { modelFolder, readDocuments } from "./ship/embedded.js";

const { values } = parseArgs({
  options: {
    study: { type: "string", default: "words,arc,summaries,endings,sotu" },
    certify: { type: "string", default: "290" },
    held: { type: "string", default: "300" },
    others: { type: "string", default: "40" },
    timed: { type: "string", default: "16" },
    threads: { type: "string", default: "1" },
    model: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    store: { type: "string", default: "answers" },
    out: { type: "string", default: reportsFolder },
  },
});
const [certify, held, others, timed] = [values.certify, values.held, values.others, values.timed].map(Number);
const device = await createDevice("wasm", { threads: Number(values.threads) });
const store = folderStore(values.store);
const rng = createRng(1);

interface Way {
  readonly name: string;
  readonly heads: ExitHeads;
  /** @default the full model */
  readonly policy?: Policy;
  readonly lossless?: true;
}

interface Study {
  readonly title: string;
  readonly folder: string;
  readonly heads: ExitHeads;
  readonly loss: "accuracy" | "rougeL";
  readonly epsilon: number;
  /** Of an answer. */
  readonly maxNewTokens: number;
  readonly tasks: readonly AnswerTask[];
  /** Held out, and of another kind. */
  readonly judged: readonly (readonly AnswerTask[])[];
  readonly int4?: ExitHeads;
}

/** Certifies on the tasks, and judges every way on the others. */
async function judge({ title, folder, heads, loss, epsilon, maxNewTokens, tasks, judged, int4 }: Study) {
  const { model, depths } = heads;
  const tell = (what: string): void => console.error(`${title}: ${what}`);
  const answers = { maxNewTokens };
  const begun = performance.now();
  const { certificate, policy } = await calibrate(heads, tasks, {
    ...{ loss, epsilon, gridShare: 0.3, answers, store },
    onAnswer({ candidate, done, total }) {
      if (done % 20 === 0) tell(`candidate ${candidate}, ${done} of ${total}`);
    },
  });
  tell(`certified in ${((performance.now() - begun) / 1000).toFixed()} s`);
  const depth = depths.findLast((one) => one < model.config.numLayers)!;
  const shipped = (await exactCertificates(join(folder, "certificates"))).map((one) => one.policy);
  const only = (chosen: number, threshold: Threshold): Policy =>
    createPolicy(
      heads,
      depths.map((one) => (one === chosen ? threshold : "never")),
      { score: shipped[0]!.score, fill: "lazy" },
    );
  const last = shipped[0]!.exits.at(-1)!;
  const ways: Way[] = [
    { name: "plain", heads },
    ...(certificate.furtherUnits === 0 ? [{ name: "certified for answers", heads, policy }] : []),
    { name: "certified for 99 % of tokens", heads, policy: shipped[0]! },
    { name: "certified for 95 % of tokens", heads, policy: shipped[1]! },
    ...(last.depth < model.config.numLayers
      ? []
      : [{ name: "the preview alone, as at 99 %", heads, policy: only(last.depth, last.threshold) }]),
    { name: "lossless", heads, policy: shipped[2]!, lossless: true as const },
    ...(int4 ? [{ name: "int4", heads: int4 }] : []),
    { name: `always the first ${depth} blocks`, heads, policy: only(depth, "always") },
  ];
  const losing = await answerJudge({ loss });
  const losses: number[][][] = [];
  const right: number[][] = [];
  for (const asked of judged) {
    const texts = await Promise.all(
      asked.map(async ({ prompt }, index) => ({ index, promptIds: await readPrompt(model, prompt) })),
    );
    const terms = { seed: 0, gridShare: 0.5, unit: "document", epsilon, fill: "lazy" } as const;
    const evidence = await answerEvidence(heads, asked, losing, { answers, store }, terms);
    const answersOf = async (own: ExitHeads): Promise<Answer[]> =>
      writeAnswers(own, undefined, texts, { maxNewTokens, batchSize: 16, store });
    const full = await answersOf(heads);
    const lost: number[][] = [];
    for (const { name, heads: own, policy: of, lossless } of ways) {
      tell(name);
      if (own !== heads) {
        const found = await answersOf(own);
        lost.push(await Promise.all(asked.map((task, i) => losing.lossOf(full[i]!, found[i]!, task, i))));
      } else if (of === undefined || lossless) {
        lost.push(asked.map(() => 0)); // lossless answers are the full model's, token by token
      } else {
        const { score, exits } = of;
        const vectors = [exits.map(({ threshold }) => orientThreshold(threshold, score))];
        const tally = await evidence.run!(0, evidence.documents.length, { score, vectors });
        lost.push([...tally.answers!.losses]);
      }
    }
    losses.push(lost);
    const rightOfFull = meanOf(asked.map(({ expected = [] }, i) => Number(isRight(full[i]!.text, expected))));
    right.push(lost.map((own) => rightOfFull - meanOf(own)));
  }
  tell("time");
  const prompts = await Promise.all(judged[0]!.slice(0, timed).map(({ prompt }) => readPrompt(model, prompt)));
  const speeds = await compareWays(
    ways.map(({ name, heads: own, policy: of, lossless = false }) => {
      return { name, heads: own, options: of ? { policy: of, lossless, allowUncertified: true } : {} };
    }),
    prompts,
    { tokens: maxNewTokens, seed: 1, stopAtEndOfText: true },
  );
  const candidates = certificate.test!.candidates.map(({ thresholds, risk, pValue, cost }) => {
    return { thresholds, risk, pValue, cost: cost / certificate.costs.full };
  });
  return {
    ...{ title, loss, epsilon, maxNewTokens, candidates, losses, right },
    claim: certificate.furtherUnits === 0 ? describeClaim(certificate) : null,
    more: certificate.furtherDocuments,
    prompts: [tasks.length, certificate.documents.length - certificate.split.grid, timed!],
    speeds: speeds.map(({ name, tokensPerSecond, ratio, meanDepth }) => ({ name, tokensPerSecond, ratio, meanDepth })),
  };
}

type Judged = Awaited<ReturnType<typeof judge>>;

function meanOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
}

/** Mean and one-sided 95 % lower limit: what is kept has an upper one. */
function lostPoints(losses: readonly number[], { loss }: Judged): string[] {
  const width = loss === "accuracy" ? 2 : 1;
  const { upper } = bettingBound(
    losses.map((one) => (1 - one) / width),
    0.5,
    0.05,
  );
  return [points(meanOf(losses)), points(1 - width * upper)];
}

function points(share: number): string {
  return (100 * share).toFixed(1);
}

function tablesOf(found: Judged): Table[] {
  const { title, loss, epsilon, maxNewTokens, candidates, losses, right, claim, more, prompts, speeds } = found;
  const judged = ["held out", "elsewhere"];
  const needed = `Not certified; more prompts needed: ${more ?? "no number would do"}`;
  const verdict = claim === null ? needed : `Certified: ${claim}`;
  return [
    {
      title: `${title}: candidates`,
      note: prose`
        Loss ${loss}, at most ${points(epsilon)} points; ${prompts[0]!} prompts, of which ${prompts[1]!} test; answers
        of at most ${maxNewTokens} tokens. ${verdict}.
        Cost: multiply-adds of a token, over the full model's.`,
      columns: ["thresholds", "points lost", "p", "cost"],
      rows: candidates.map(({ thresholds, risk, pValue, cost }) => [
        thresholds.map((one) => (typeof one === "number" ? one.toFixed(3) : one)).join(", "),
        points(risk),
        pValue.toPrecision(2),
        cost.toFixed(3),
      ]),
    },
    {
      title: `${title}: ways`,
      note: prose`
        ${losses[0]![0]!.length} prompts held out, and ${losses[1]![0]!.length} of another kind, about which nothing is
        promised. Points lost against plain, and their one-sided 95 % lower limit. Speed on ${prompts[2]!} of the
        held-out prompts in turns: the median ratio to plain, with quartiles.`,
      columns: [
        "way",
        ...judged.flatMap((where) => [`right, ${where}`, "lost", "at least"]),
        "mean depth",
        "tokens/s",
        "times plain",
      ],
      rows: speeds.map(({ name, meanDepth, tokensPerSecond, ratio: [low, middle, high] }, w) => [
        name,
        ...judged.flatMap((_, of) => [
          loss === "accuracy" ? points(right[of]![w]!) : "",
          ...lostPoints(losses[of]![w]!, found),
        ]),
        meanDepth.toFixed(2),
        tokensPerSecond.toFixed(1),
        `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`,
      ]),
    },
  ];
}

/** Distinct matches in a text of the fixtures, in random order. */
async function matches(file: string, pattern: RegExp): Promise<string[]> {
  const text = await readFile(join(values.fixtures, "text", file), "utf8");
  return rng.shuffle([...new Set(text.match(pattern))]);
}

function asked(content: string, expected?: Expected, group?: string): AnswerTask {
  return { prompt: [{ role: "user", content }], ...(expected && { expected }), ...(group && { group }) };
}

/** Each question with its right answer and one of the others, in random order. */
async function questions(name: string): Promise<AnswerTask[]> {
  const lines = await readFile(join(values.fixtures, "eval", `${name}_200.jsonl`), "utf8");
  return lines
    .trim()
    .split("\n")
    .flatMap((line) => {
      const { query, choices, gold } = JSON.parse(line) as { query: string; choices: string[]; gold: number };
      const answer = choices[gold]!;
      return choices.slice(0, 4).flatMap((other) => {
        if (other === answer) return [];
        const pair = rng.shuffle([answer, other]);
        const question = query.replace(/^Question: |\nAnswer:$/g, "");
        return asked(`${question}\nIs it "${pair.join('" or "')}"?`, { choices: pair, answer }, query);
      });
    });
}

const STORIES = "tinystories_clean.jsonl";
const SMOLLM2 = "models/smollm2-135m-instruct";

/** A study of SmolLM2: the first tasks certify, the next are held out. */
async function chat(
  study: Pick<Study, "title" | "loss" | "epsilon" | "maxNewTokens">,
  all: readonly AnswerTask[],
  elsewhere: readonly AnswerTask[],
): Promise<Study> {
  const file = values.model ?? join(values.fixtures, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
  const tasks = all.slice(0, certify);
  const known = new Set(tasks.flatMap(({ group = [] }) => group));
  const judged = all.slice(certify).filter(({ group = "" }) => !known.has(group));
  const open = async (dtype: "int8" | "int4") =>
    readHeads(join(SMOLLM2, "heads"), await readModel(file, { device, dtype }));
  return {
    ...study,
    ...{ folder: SMOLLM2, heads: await open("int8"), int4: await open("int4"), tasks },
    judged: [judged.slice(0, held), elsewhere.slice(0, others)],
  };
}

/** A text from four places on, 30 words apart. */
function quarters(text: string): string[] {
  const words = text.split(/\s+/);
  return [0, 30, 60, 90]
    .map((begin) => words.slice(begin, begin + 60).join(" "))
    .filter((_, i) => words.length > 30 * i + 24);
}

/** A study of the embedded model: calibration segments certify, test segments are held out. */
async function embedded(
  study: Pick<Study, "title" | "loss" | "epsilon" | "maxNewTokens">,
  taskOf: (text: string) => AnswerTask,
): Promise<Study> {
  const folder = modelFolder("sotu-12");
  const { calibration, test } = await readDocuments(folder);
  const heads = await readHeads(join(folder, "heads"), await readModel(folder, { device }));
  /** Prompts that the full model does not end at once. */
  const answered = async (texts: readonly string[]): Promise<AnswerTask[]> => {
    const tasks = texts.map(taskOf);
    const promptsOf = tasks.map(({ prompt }, index) => ({
      index,
      promptIds: heads.model.tokenizer.encode(prompt as string),
    }));
    const found = await writeAnswers(heads, undefined, promptsOf, { maxNewTokens: 2, batchSize: 16 });
    return tasks.filter((_, i) => found[i]!.text !== "");
  };
  const plays = await matches("tinyshakespeare.txt", /(?:[A-Z][^\n]{20,}\n){4}/g);
  return {
    ...{ ...study, folder, heads, tasks: await answered(calibration.slice(0, certify)) },
    judged: [(await answered(test.flatMap(quarters))).slice(0, held), await answered(plays.slice(0, others))],
  };
}

const studies: Readonly<Record<string, () => Promise<Study>>> = {
  async words() {
    const all = await matches(STORIES, /(?<= )[a-z]{4,}(?= )/g);
    const repeated = await matches(STORIES, /(?<=[.] )[A-Z][a-z ,]{25,60}[.]/g);
    return chat(
      { title: "A sentence with a word, SmolLM2", loss: "accuracy", epsilon: 0.05, maxNewTokens: 32 },
      all.map((word) => asked(`Write a sentence with the word "${word}".`, word)),
      repeated.map((sentence) => asked(`Repeat this sentence: ${sentence}`, sentence)),
    );
  },
  async arc() {
    return chat(
      { title: "ARC-Easy, one of two answers, SmolLM2", loss: "accuracy", epsilon: 0.1, maxNewTokens: 20 },
      await questions("arc_easy"),
      await questions("openbook_qa"),
    );
  },
  async summaries() {
    const stories = await matches(STORIES, /(?<="text": ")[^"\\]{140,220}[.]/g);
    const articles = await matches("wikitext2_valid.txt", /(?<=\n ?)[A-Z][^\n=]{140,220}[.]/g);
    const ask = (text: string): AnswerTask => asked(`Summarize in one sentence: ${text}`);
    return chat(
      { title: "Summaries, SmolLM2", loss: "rougeL", epsilon: 0.1, maxNewTokens: 32 },
      stories.map(ask),
      articles.map(ask),
    );
  },
  endings() {
    return embedded(
      { title: "Endings of passages, sotu-12", loss: "accuracy", epsilon: 0.05, maxNewTokens: 4 },
      (text) => {
        const words = text.match(/\S*[a-z]\S*/gi)!.slice(0, 25);
        return { prompt: words.slice(0, -1).join(" "), expected: words.at(-1)! };
      },
    );
  },
  sotu() {
    return embedded({ title: "Continuations, sotu-12", loss: "rougeL", epsilon: 0.1, maxNewTokens: 32 }, (text) => {
      return { prompt: text.split(/\s+/).slice(0, 24).join(" ") };
    });
  },
};

const where = machine();
for (const name of values.study.split(",").filter((one) => one !== "")) {
  const found = await judge(await studies[name]!());
  await store.write(`${name}.json`, jsonOf(found));
}
const kept: Judged[] = [];
for (const name of Object.keys(studies)) {
  const bytes = await store.read(`${name}.json`);
  if (bytes !== undefined) kept.push(jsonIn(bytes) as Judged);
}
await writeReport(values.out, {
  name: "answers",
  title: "Promises about answers: certified, held out, elsewhere",
  machine: where,
  tables: kept.flatMap(tablesOf),
  data: kept,
});
console.log(join(values.out, "answers.md"));
await device.dispose();
