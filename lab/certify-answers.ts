/**
 * Promises about answers: certified on some prompts, judged on held-out ones and on prompts of another kind, beside
 * other ways to save time: four bits, lossless decoding, and the model without its last blocks.
 *   words   SmolLM2-135M-Instruct in int8 writes a sentence with a word of the stories; elsewhere it repeats a
 *           sentence. Right if the word, or the sentence, is in the answer; the claim is about accuracy
 *   sotu    the embedded model continues segments of its documents, elsewhere plays; the claim is about ROUGE-L
 *   npx tsx lab/certify-answers.ts [--study words,sotu] [--certify 400] [--held 200] [--others 60] [--timed 16]
 *     [--tokens 32] [--model FILE] [--fixtures FOLDER] [--out FOLDER]
 * One thread. Writes answers.md and answers.json; what the studies found is kept in --store FILE from run to run, and
 * --study "" writes the report of what is there. Figures of both studies took twenty minutes of processor time.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { calibrate, createPolicy, type ExitHeads, type Policy } from "early-exits";
import { type AnswerTask, describeClaim } from "early-exits/calibrate";
import { readPrompt } from "early-exits/model";
import { createDevice, fileExists, readHeads, readJson, readModel, writeFileAtomic } from "early-exits/node";
import { bettingBound } from "early-exits/risk";
import { createRng } from "early-exits/tensor";
import { type Answer, answerJudge, isRight } from "../src/calibrate/record/answers/losses.js";
import { writeAnswers } from "../src/calibrate/record/answers/write-answers.js";
import { compareWays } from "./judged/compare-ways.js";
import { exactCertificates } from "./pretrained/read-certificates.js";
import { machine } from "./report/machine.js";
import { prose } from "./report/prose.js";
import { type Table, writeReport } from "./report/report.js";
import { reportsFolder } from "./report/script.js";
import { modelFolder, readDocuments } from "./ship/embedded.js";

const { values } = parseArgs({
  options: {
    study: { type: "string", default: "words,sotu" },
    certify: { type: "string", default: "400" },
    held: { type: "string", default: "200" },
    others: { type: "string", default: "60" },
    timed: { type: "string", default: "16" },
    tokens: { type: "string", default: "32" },
    model: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    store: { type: "string" },
    out: { type: "string", default: reportsFolder },
  },
});
const [certify, held, others, timed] = [values.certify, values.held, values.others, values.timed].map(Number);
const maxNewTokens = Number(values.tokens);
const device = await createDevice("wasm", { threads: 1 });
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
  readonly tasks: readonly AnswerTask[];
  /** Held out, and of another kind. */
  readonly judged: readonly (readonly AnswerTask[])[];
  readonly further?: readonly Way[];
}

/** Certifies on the tasks, and judges every way on the others. */
async function judge({ title, folder, heads, loss, epsilon, tasks, judged, further = [] }: Study) {
  const { model, depths } = heads;
  const tell = (what: string): void => console.error(`${title}: ${what}`);
  const { certificate, policy } = await calibrate(heads, tasks, {
    ...{ loss, epsilon, gridShare: 0.3, answers: { maxNewTokens } },
    onAnswer({ candidate, done, total }) {
      if (done % 20 === 0) tell(`candidate ${candidate}, ${done} of ${total}`);
    },
  });
  const depth = depths.findLast((one) => one < model.config.numLayers)!;
  const always = depths.map((one) => (one === depth ? "always" : "never"));
  const shipped = (await exactCertificates(join(folder, "certificates"))).map((one) => one.policy);
  const ways: Way[] = [
    { name: "plain", heads },
    ...(certificate.furtherUnits === 0 ? [{ name: "certified for answers", heads, policy }] : []),
    { name: "certified for 99 % of tokens", heads, policy: shipped[0]! },
    { name: "certified for 95 % of tokens", heads, policy: shipped[1]! },
    { name: "lossless", heads, policy: shipped[2]!, lossless: true },
    ...further,
    { name: `always the first ${depth} blocks`, heads, policy: createPolicy(heads, always, { fill: "lazy" }) },
  ];
  const promptsOf = (asked: readonly AnswerTask[]) => Promise.all(asked.map(({ prompt }) => readPrompt(model, prompt)));
  const losing = await answerJudge({ loss });
  const losses: number[][][] = [];
  const right: number[][] = [];
  for (const asked of judged) {
    const texts = (await promptsOf(asked)).map((promptIds, index) => ({ index, promptIds }));
    const answers: Answer[][] = [];
    for (const way of ways) {
      tell(way.name);
      // Lossless answers are the full model's, token by token.
      const of = way.lossless ? undefined : way.policy;
      answers.push(await writeAnswers(way.heads, of, texts, { maxNewTokens, batchSize: 16 }));
    }
    losses.push(
      await Promise.all(
        answers.map((own) => Promise.all(asked.map((task, i) => losing.lossOf(answers[0]![i]!, own[i]!, task, i)))),
      ),
    );
    right.push(
      answers.map((own) => meanOf(asked.map(({ expected = [] }, i) => Number(isRight(own[i]!.text, expected))))),
    );
  }
  tell("time");
  const speeds = await compareWays(
    ways.map(({ name, heads: own, policy: of, lossless = false }) => {
      return { name, heads: own, options: of ? { policy: of, lossless, allowUncertified: true } : {} };
    }),
    await promptsOf(judged[0]!.slice(0, timed)),
    { tokens: maxNewTokens, seed: 1, stopAtEndOfText: true },
  );
  const candidates = certificate.test!.candidates.map(({ thresholds, risk, pValue, cost, answers }) => {
    return { thresholds, risk, pValue, cost: cost / certificate.costs.full, losses: answers!.losses };
  });
  return {
    ...{ title, loss, epsilon, candidates, losses, right },
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

/** About how many prompts a claim takes: (1.65 s / (ε - μ))², and at least as many as without any loss. */
function promptsFor(epsilon: number, losses: readonly number[]): string {
  const mean = meanOf(losses);
  const variance = meanOf(losses.map((one) => (one - mean) ** 2));
  if (mean >= epsilon) return "none would do";
  return Math.ceil(Math.max((1.65 ** 2 * variance) / (epsilon - mean) ** 2, 3 / epsilon)).toLocaleString("en");
}

function points(share: number): string {
  return (100 * share).toFixed(1);
}

const CLAIMS = [0.01, 0.02, 0.05, 0.1];

function tablesOf(found: Judged): Table[] {
  const { title, loss, epsilon, candidates, losses, right, claim, more, prompts, speeds } = found;
  const judged = ["held out", "elsewhere"];
  const needed = `Not certified; more prompts needed: ${more ?? "no number would do"}`;
  const verdict = claim === null ? needed : `Certified: ${claim}`;
  return [
    {
      title: `${title}: candidates`,
      note: prose`
        Loss ${loss}, at most ${points(epsilon)} points; ${prompts[0]!} prompts, of which ${prompts[1]!} test; answers
        of at most ${maxNewTokens} tokens. ${verdict}.
        Cost: multiply-adds of a token, over the full model's. Last: about how many test prompts a claim of so many
        points takes, by mean and variance here.`,
      columns: ["thresholds", "points lost", "p", "cost", ...CLAIMS.map((one) => `${100 * one} points`)],
      rows: candidates.map(({ thresholds, risk, pValue, cost, losses: own }) => [
        thresholds.map((one) => (typeof one === "number" ? one.toFixed(3) : one)).join(", "),
        points(risk),
        pValue.toPrecision(2),
        cost.toFixed(3),
        ...CLAIMS.map((one) => promptsFor(one, own)),
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

function asked(content: string, expected: string): AnswerTask {
  return { prompt: [{ role: "user", content }], expected };
}

const STORIES = "tinystories_clean.jsonl";

async function words(): Promise<Study> {
  const file = values.model ?? join(values.fixtures, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
  const folder = "models/smollm2-135m-instruct";
  const open = async (dtype: "int8" | "int4") =>
    readHeads(join(folder, "heads"), await readModel(file, { device, dtype }));
  const all = (await matches(STORIES, /(?<= )[a-z]{4,}(?= )/g)).map((word) =>
    asked(`Write a sentence with the word "${word}".`, word),
  );
  const repeated = (await matches(STORIES, /(?<=[.] )[A-Z][a-z ,]{25,60}[.]/g)).map((sentence) =>
    asked(`Repeat this sentence: ${sentence}`, sentence),
  );
  return {
    ...{ title: "A sentence with a word, SmolLM2", folder, heads: await open("int8"), loss: "accuracy", epsilon: 0.05 },
    tasks: all.slice(0, certify),
    judged: [all.slice(certify, certify! + held!), repeated.slice(0, others)],
    further: [{ name: "int4", heads: await open("int4") }],
  };
}

async function sotu(): Promise<Study> {
  const folder = modelFolder("sotu-12");
  const { calibration, test } = await readDocuments(folder);
  const heads = await readHeads(join(folder, "heads"), await readModel(folder, { device }));
  const begun = (text: string): AnswerTask => ({ prompt: text.split(/\s+/).slice(0, 24).join(" ") });
  /** Prompts that the full model does not end at once. */
  const answered = async (texts: readonly string[]): Promise<AnswerTask[]> => {
    const tasks = texts.map(begun);
    const asked = tasks.map(({ prompt }, index) => ({
      index,
      promptIds: heads.model.tokenizer.encode(prompt as string),
    }));
    const answers = await writeAnswers(heads, undefined, asked, { maxNewTokens: 2, batchSize: 16 });
    return tasks.filter((_, i) => answers[i]!.text !== "");
  };
  const plays = await matches("tinyshakespeare.txt", /(?:[A-Z][^\n]{20,}\n){4}/g);
  return {
    ...{ title: "Continuations, sotu-12", folder, heads, loss: "rougeL", epsilon: 0.1 },
    tasks: await answered(calibration.slice(0, certify)),
    judged: [await answered(test.slice(0, held)), await answered(plays.slice(0, others))],
  };
}

const { store } = values;
const where = machine();
const kept = store !== undefined && (await fileExists(store)) ? ((await readJson(store)) as Judged[]) : [];
for (const name of values.study.split(",").filter((one) => one !== "")) {
  const found = await judge(await { words, sotu }[name as "words" | "sotu"]());
  kept.push({ ...found });
  if (store !== undefined) await writeFileAtomic(store, JSON.stringify(kept));
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
