/**
 * The look-ahead head of SmolLM2-135M-Instruct: what it accepts on held-out answers by the number of answer tokens that
 * taught it, by pass and by confidence; what a draft takes, and what lossless decoding gains.
 *   npx tsx bench/ahead.ts --stage record                    records the states of answers: 4 ms a token
 *   npx tsx bench/ahead.ts --stage train [--tokens 97000]    trains a head and keeps it and what was measured
 *   npx tsx bench/ahead.ts --stage time                      decodes with the head that is shipped, and beside exits
 *   npx tsx bench/ahead.ts --stage report                    writes ahead.md and ahead.json
 * Answers are in the repository (lab/pretrained/answers) and the fixtures, states in the folder --kept.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  attachHeads,
  type ExitHeads,
  generate,
  type GenerateOptions,
  type GenerateSummary,
  type Model,
  trainHeads,
} from "early-exits";
import { type BatchSource, fitMaps, fitPreviews, measureDrafts, measureUnitTimes } from "early-exits/exits";
import {
  createDevice,
  folderStore,
  readHeads,
  readJson,
  readModel,
  readPolicy,
  writeFileAtomic,
  writeHeads,
} from "early-exits/node";
import { type Answer, answersArchive, archivedAnswers } from "../lab/pretrained/answers.js";
import { costOfRows } from "../src/exits/cost/unit-costs.js";
import { repetitionIn } from "../src/exits/draft/repetition.js";
import { listedTokens } from "../lab/pretrained/deploy.js";
import { chatPrompts, knownConversations } from "../lab/pretrained/prompts.js";
import { completeStates } from "../lab/pretrained/train-maps.js";
import { orderedBatches, orderedStates, type RecordedAnswers } from "../lab/pretrained/ordered-states.js";
import { describeMachine, machine } from "../lab/report/machine.js";
import { prose } from "../lab/report/prose.js";
import { toMarkdown, writeReport } from "../lab/report/report.js";
import { reportsFolder } from "../lab/report/script.js";
import { median } from "./peers/statistics.js";

/** Tokens that the training loss compares. */
const LISTED = 4096;
const RANK = 64;
const CANDIDATES = 64;
const PER_SHARD = 32;
/** Shards of held-out answers that choose the pass and the confidence; the others judge. */
const CHOOSING = 2;
/** Of sets of sampled answers, each token among the 50 likeliest. */
const TEMPERATURES: Readonly<Record<string, number>> = { sampled: 0.8, "sampled-2": 0.5, "sampled-3": 0.5 };
/** New tokens of a timed text. */
const TOKENS = 96;

const { values: options } = parseArgs({
  options: {
    stage: { type: "string", default: "report" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    kept: { type: "string", default: "models/smollm2-135m-instruct/.kept" },
    /** Sets of answers that teach, in this order. */
    sets: { type: "string", default: "chat,greedy,sampled,sampled-2,sampled-3" },
    /** Answer tokens that teach, about. */
    tokens: { type: "string", default: "1500000" },
    passes: { type: "string", default: "3" },
    lr: { type: "string", default: "4e-4" },
    /** Of the closed form: the fewer the tokens, the larger. */
    ridge: { type: "string", default: "1e-3" },
    dtype: { type: "string", default: "int8" },
    prompts: { type: "string", default: "12" },
    rounds: { type: "string", default: "3" },
    out: { type: "string", default: reportsFolder },
  },
});
const chat = join(options.fixtures, "models/smollm2-135m-instruct");
const results = join(options.kept, "ahead");
await mkdir(results, { recursive: true });

interface Judged {
  readonly positions: number;
  readonly acceptance: number;
  readonly confidence: readonly { readonly margin: number; readonly acceptance: number }[];
}

/** What `train` leaves behind for the report. */
interface Trained {
  readonly tokens: number;
  /** Of held-out positions that choose: by the closed form, and after each pass. */
  readonly start: number;
  readonly passes: readonly number[];
  /** On the other held-out answers, after the best pass; and of those the acceptance by what was asked. */
  readonly judged: Judged;
  readonly tasks?: readonly { readonly task: string; readonly positions: number; readonly acceptance: number }[];
}

/** What is asked, by kinds of prompts. */
const TASKS: Readonly<Record<string, RegExp>> = {
  "answers to questions": /^(arc|openbook|piqa|boolq)/,
  "continuations of texts": /^(copa|hellaswag|lambada)/,
  "tasks about passages": /^(story|novel|play|article|title|winogrande)/,
};

async function openModel(): Promise<Model> {
  const device = await createDevice("wasm", { threads: options.stage === "time" ? 1 : 2 });
  const dtype = options.dtype as "int8";
  return readModel(join(chat, "SmolLM2-135M-Instruct.Q4_1.gguf"), { device, dtype });
}

/** The fixtures' own conversations teach as well. */
async function conversations(): Promise<Answer[]> {
  const lines = (await readFile(join(chat, "chat-answers.jsonl"), "utf8")).trim().split("\n");
  return lines.map((line) => {
    const { prompt, answer, kind } = JSON.parse(line) as Pick<Answer, "prompt" | "answer" | "kind">;
    return { prompt, answer, kind, split: "train", temperature: 0, dtype: "float32" };
  });
}

/** Those of a set: the fixtures' conversations, or answers in the repository. */
async function answersOf(name: string, model: Model): Promise<readonly Answer[]> {
  if (name === "chat") return conversations();
  const split = name === "held" ? "held" : "train";
  const all = await chatPrompts(options.fixtures, await knownConversations(options.fixtures, model.tokenizer));
  const asked = all
    .filter((prompt) => prompt.split === split)
    .map(({ content, ...prompt }) => ({ ...prompt, messages: [{ role: "user" as const, content }] }));
  const archive = answersArchive(name === "held" ? "held-out" : name);
  return archivedAnswers(archive, model, asked, TEMPERATURES[name]);
}

const statesFolder = (name: string): string => join(options.kept, `states-${name}`);

async function record(): Promise<void> {
  const model = await openModel();
  const depths = (await attach(model)).ahead!.shape.inputs!.slice(0, -1);
  for (const name of ["held", ...options.sets.split(",")]) {
    await completeStates(model, { answers: await answersOf(name, model), states: statesFolder(name) }, depths);
  }
}

/** Answers of a set whose states are recorded, in whole shards. */
async function recorded(name: string, model: Model): Promise<RecordedAnswers> {
  const folder = statesFolder(name);
  const shards = (await readdir(folder)).filter((file) => file.startsWith("shard-")).length;
  return { answers: (await answersOf(name, model)).slice(0, PER_SHARD * shards), store: folderStore(folder) };
}

/** Ranks the tokens that the shipped exits rank. */
async function attach(model: Model): Promise<ExitHeads> {
  const shipped = await readHeads(join(options.folder, "heads"), model);
  const tokens = shipped.heads[0]?.shape.preview?.tokens;
  shipped.dispose();
  return attachHeads(model, { exits: 0, ahead: { rank: RANK, candidates: CANDIDATES, ...(tokens && { tokens }) } });
}

async function train(): Promise<void> {
  const model = await openModel();
  const heads = await attach(model);
  const depths = heads.ahead!.shape.inputs!.slice(0, -1);
  const sets = await Promise.all(options.sets.split(",").map((name) => recorded(name, model)));
  const held = await recorded("held", model);
  const sourceOf = async (of: readonly RecordedAnswers[], tokens?: number): Promise<BatchSource> =>
    orderedBatches(model, await orderedStates(model, of, depths, tokens), { seed: 1 });
  const choosing = await sourceOf([{ ...held, answers: held.answers.slice(0, CHOOSING * PER_SHARD) }]);
  const others = held.answers.slice(CHOOSING * PER_SHARD);
  const judgedStates = await orderedStates(model, [{ ...held, answers: others, firstShard: CHOOSING }], depths);
  const judging = orderedBatches(model, judgedStates, { seed: 1 });
  const kinds = others.flatMap(({ kind, answer }) => answer.map(() => kind));
  const source = await sourceOf(sets, Number(options.tokens));
  const taught = sets.flatMap(({ answers }) => answers);
  const written = taught.map(({ answer }) => answer);
  const prompts = taught.map(({ prompt }) => prompt);
  const list = listedTokens(written, prompts, LISTED, model.config.vocabSize);
  await fitMaps(heads, source, { positions: 150_000, ridge: Number(options.ridge) });
  const judge = async (of: BatchSource): Promise<Judged> => {
    await fitPreviews(heads, source, { positions: 8192 });
    return measureDrafts(heads, of);
  };
  const start = await judge(choosing);
  console.error(`closed form: ${start.acceptance.toFixed(4)} of ${start.positions}`);
  const perPass = source.batchesPerEpoch!;
  const passes: number[] = [];
  const folder = join(results, options.tokens);
  await mkdir(folder, { recursive: true });
  await trainHeads(heads, source, {
    steps: Number(options.passes) * perPass,
    learningRate: Number(options.lr),
    weightDecay: 0.05,
    list,
    seed: 1,
    async onStep({ step, loss, agreement, tokensPerSecond, timeLeft }) {
      if (step % 10 === 0) {
        console.error(
          `step ${step}: loss ${loss.toFixed(3)}, agreement ${agreement[0]!.toFixed(3)}, ` +
            `${tokensPerSecond.toFixed(0)}/s, ${timeLeft.toFixed(0)} s left`,
        );
      }
      if (step % perPass !== 0) return;
      passes.push((await judge(choosing)).acceptance);
      console.error(`pass ${passes.length}: ${passes.at(-1)!.toFixed(4)}`);
      if (passes.at(-1)! < Math.max(...passes)) return;
      const judged = await judge(judging);
      const tasks = [];
      for (const [task, pattern] of Object.entries(TASKS)) {
        const next = judgedStates.next.map((id, row) => (pattern.test(kinds[row]!) ? id : -1));
        const { positions, acceptance } = await measureDrafts(heads, orderedBatches(model, { ...judgedStates, next }));
        tasks.push({ task, positions, acceptance });
      }
      await judge(choosing); // decoding keeps what these say
      await writeHeads(join(folder, "heads"), heads);
      const tokens = Math.min(Number(options.tokens), written.flat().length);
      const trained: Trained = { tokens, start: start.acceptance, passes: [...passes], judged, tasks };
      await writeFileAtomic(join(folder, "trained.json"), JSON.stringify(trained));
    },
  });
}

/** In held-out answers, by length of the repetition, nine or more together: positions, and how many go on alike. */
async function repeated(model: Model) {
  const counts = Array.from({ length: 10 }, () => ({ positions: 0, right: 0 }));
  for (const { prompt, answer } of await answersOf("held", model)) {
    for (const [i, id] of answer.entries()) {
      const { length, next } = repetitionIn([...prompt, ...answer.slice(0, i)]);
      const count = counts[Math.min(length, 9)]!;
      count.positions++;
      count.right += Number(next === id);
    }
  }
  return counts;
}

/** One prompt decoded without drafts and with them. */
interface Timed {
  /** Milliseconds a token, medians of all rounds. */
  readonly without: number;
  readonly drafting: number;
  /** Ids and depths at which the policy chose them. */
  readonly identical: boolean;
  readonly drafted: number;
  readonly accepted: number;
}

/** Everything measured with a head in one dtype. */
interface TimedDtype {
  readonly dtype: string;
  /** What a second row adds to a pass of the whole model, by unit times. */
  readonly row: number;
  /** By prompts: "lossless", "repetitions" for those alone, or the level of a policy beside whose exits both draft. */
  readonly ways: Readonly<Record<string, readonly Timed[]>>;
}

/** Agreement of the certified policies beside which drafts are timed, in per cent. */
const LEVELS = [95, 80];

/** Folders of heads, the one that most tokens taught last. */
async function trainedHeads(): Promise<string[]> {
  const sizes = (await readdir(results)).map(Number).filter((size) => size > 0);
  return sizes.sort((a, b) => a - b).map((size) => join(results, String(size)));
}

/** Held-out prompts that judge, without drafts and with them in turns: plain text, and that of certified policies. */
async function time(): Promise<void> {
  const model = await openModel();
  const folder = (await trainedHeads()).at(-1)!;
  const heads = await readHeads(join(options.folder, "heads"), model);
  const held = await recorded("held", model);
  const prompts = held.answers.slice(CHOOSING * PER_SHARD).slice(0, Number(options.prompts));
  const costs = await measureUnitTimes(heads, { rows: [1, 2, 4] });
  const passOf = (rows: number): number =>
    model.config.numLayers * costOfRows(costs.block, rows) + costOfRows(costs.finalHead, rows);
  const row = passOf(2) / passOf(1) - 1;
  const certificates = join(options.folder, "certificates", options.dtype === "int8" ? "" : options.dtype);
  const policies = options.dtype === "int4" ? [] : LEVELS;
  const lossless = { lossless: { costs } };
  const ways: [string, GenerateOptions, GenerateOptions, Model?][] = [
    ["lossless", {}, lossless],
    ["repetitions", {}, lossless, model],
  ];
  for (const level of policies) {
    const policy = await readPolicy(join(certificates, `${level}.json`));
    ways.push([String(level), { policy, drafts: false }, { policy, drafts: { costs } }]);
  }
  const timed: Record<string, Timed[]> = {};
  for (const { prompt } of prompts) {
    for (const [name, without, drafting, source = heads] of ways) {
      const one = await inTurns(source, prompt, without, drafting);
      (timed[name] ??= []).push(one);
      console.error(
        `${name}: ${one.without.toFixed(1)} ms, ${one.drafting.toFixed(1)} ms, ${one.accepted} of ${one.drafted}`,
      );
    }
  }
  const written: TimedDtype = { dtype: options.dtype, row, ways: timed };
  await writeFileAtomic(join(folder, `timed-${options.dtype}.json`), JSON.stringify(written));
}

async function inTurns(
  source: Model | ExitHeads,
  prompt: readonly number[],
  ...ways: readonly [without: GenerateOptions, drafting: GenerateOptions]
): Promise<Timed> {
  const run = async (way: GenerateOptions): Promise<GenerateSummary> => {
    const text = generate(source, [...prompt], { ...way, maxNewTokens: TOKENS });
    await text.text();
    return text.summary;
  };
  const times: [number[], number[]] = [[], []];
  let identical = true;
  let drafts = { drafted: 0, wastedDrafts: 0 };
  for (let round = 0; round < Number(options.rounds); round++) {
    const [one, other] = [await run(ways[0]), await run(ways[1])];
    times[0].push(1000 / one.tokensPerSecond);
    times[1].push(1000 / other.tokensPerSecond);
    identical &&= one.ids.join() === other.ids.join();
    if (ways[1].lossless === undefined) identical &&= one.meanDepth === other.meanDepth;
    drafts = other.ledger.decode;
  }
  const { drafted, wastedDrafts } = drafts;
  const accepted = drafted - wastedDrafts;
  return { without: median(times[0]), drafting: median(times[1]), identical, drafted, accepted };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const PARAMETERS = 134.5e6;
const SPEED = ["ratio", "drafts", "accepted", "the same text"];

function speedOf(all: readonly Timed[]): string[] {
  const ratios = all.map(({ without, drafting }) => without / drafting).toSorted((a, b) => a - b);
  const at = (share: number): string => ratios[Math.floor(share * (ratios.length - 1))]!.toFixed(2);
  const sum = (of: (one: Timed) => number): number => all.reduce((total, one) => total + of(one), 0);
  const drafts = sum(({ drafted }) => drafted);
  return [
    `${median(ratios).toFixed(2)} (${at(0.25)} to ${at(0.75)})`,
    String(drafts),
    drafts === 0 ? "" : percent(sum(({ accepted }) => accepted) / drafts),
    all.every(({ identical }) => identical) ? "yes" : "NO",
  ];
}

async function report(): Promise<void> {
  const folders = await trainedHeads();
  const trained = await Promise.all(
    folders.map((folder) => readJson(join(folder, "trained.json")) as Promise<Trained>),
  );
  const { judged, tasks = [] } = trained.at(-1)!;
  const passes = Array.from({ length: Math.max(...trained.map(({ passes }) => passes.length)) }, (_, i) => i);
  const folder = folders.at(-1)!;
  const names = (await readdir(folder)).filter((name) => name.startsWith("timed-"));
  const timed = await Promise.all(names.map((name) => readJson(join(folder, name)) as Promise<TimedDtype>));
  const model = await openModel();
  const { ahead } = await attach(model);
  const repetitions = await repeated(model);
  const written = {
    name: "ahead",
    title: "A head that looks one token ahead",
    machine: machine(),
    data: { trained, repetitions, timed },
    tables: [
      {
        title: "Acceptance by tokens of training",
        note: prose`
          SmolLM2-135M-Instruct, int8: share of positions of held-out greedy answers at which the head's first choice
          is the model's token. Of the held-out answers, ${CHOOSING * PER_SHARD} choose the pass, and the others judge.
          The closed form is a ridge regression alone. The fixtures' conversations teach first, then greedy answers to
          other prompts, then sampled ones (temperature 0.5 to 0.8). Drafts choose among ${CANDIDATES}
          candidates of the preview; those of the first two rows among 32, of the third among 128.`,
        columns: ["answer tokens", "closed form", ...passes.map((i) => `pass ${i + 1}`), "judged"],
        rows: trained.map(({ tokens, start, passes: own, judged }) => [
          tokens.toLocaleString("en"),
          percent(start),
          ...passes.map((i) => (own[i] === undefined ? "" : percent(own[i]))),
          `${percent(judged.acceptance)} of ${judged.positions.toLocaleString("en")}`,
        ]),
      },
      {
        title: "Acceptance by confidence",
        note: "The head of the most tokens: an eighth of the drafts in each row, by the margin of its best two tokens.",
        columns: ["margin from", "accepted"],
        rows: judged.confidence.map(({ margin, acceptance }) => [margin.toFixed(2), percent(acceptance)]),
      },
      {
        title: "Acceptance by task",
        note: "The same head on the answers that judge.",
        columns: ["task", "positions", "accepted"],
        rows: tasks.map(({ task, positions, acceptance }) => [
          task,
          positions.toLocaleString("en"),
          percent(acceptance),
        ]),
      },
      {
        title: "Acceptance by length of a repetition",
        note: prose`
          Held-out greedy answers: how many tokens before a position occur earlier (nine: or more), and how often what
          followed there follows again.`,
        columns: ["tokens", "positions", "right"],
        rows: repetitions.map(({ positions, right }, tokens) => [
          String(tokens),
          positions.toLocaleString("en"),
          percent(right / positions),
        ]),
      },
      {
        title: "What drafts gain by the clock",
        note: prose`
          Held-out prompts, ${TOKENS} new tokens, one thread, without drafts and with them in turns (medians of
          ${options.rounds} rounds each); prices of rows are measured beforehand. The head drafts (its multiply-adds are
          ${percent(ahead!.work.multiplyAdds / PARAMETERS)} of a token's), and repetitions of the text do, up to three
          tokens a round: the more a text repeats itself, as greedy text of a small model does, the more. The ratio is
          the median over prompts, with quartiles.`,
        columns: ["text", "dtype", "a second row adds", "prompts", "ms a token", "drafting", ...SPEED],
        rows: timed.flatMap(({ dtype, row, ways }) =>
          Object.entries(ways).map(([way, all]) => [
            { lossless: "the full model's", repetitions: "the same, without the head" }[way] ?? `certified ${way} %`,
            dtype,
            percent(row),
            String(all.length),
            median(all.map(({ without }) => without)).toFixed(1),
            median(all.map(({ drafting }) => drafting)).toFixed(1),
            ...speedOf(all),
          ]),
        ),
      },
    ],
  };
  console.log(toMarkdown(written));
  await writeReport(options.out, written);
}

const stage = { record, train, time, report }[options.stage];
if (stage === undefined) throw new Error(`--stage ${options.stage}: choose record, train, time or report`);
console.error(describeMachine(machine()));
await stage();
process.exit(0);
