/**
 * Exits for a pretrained chat model that nobody trained for them: `npm run pretrained -- --stage STAGE`
 *   answers    the model's greedy answers to held-out and training prompts, and --samples sampled ones to each of the
 *              training prompts
 *   everyday   its greedy answers to the everyday prompts, which certify
 *   maps       linear heads at --depths, fitted and trained on the states recorded with the training answers
 *   deploy     the heads as they are used, with previews as vocabularies
 *   keys       keys and values of the blocks that tokens skip, fitted in closed form (fill "project"), and the card
 *   record     the heads' scores on the held-out answers of one split, --set test, grid or held; certify does the rest
 *   certify    certificates at four levels, with the exact fill and with "project", and their card
 *   ahead      a look-ahead head that bench/ahead.ts trained, in the folder --ahead, beside the exits
 * The last two use the answers to items of benchmarks, or, with --prompts everyday, those to the everyday prompts.
 * With --dtype float32 or bfloat16, the stages answers, record and certify make certificates of the same heads for that
 * dtype, on the held-out answers that the model writes in it.
 * Files derived from the texts of fixtures stay in models/NAME/.kept, which is not committed. Every stage continues
 * where it was stopped.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exactFill, type ExitHeads, type Model } from "early-exits";
import type { PreviewShape } from "early-exits/exits";
import { type ChatMessage, encodeChat, type ModelDtype } from "early-exits/model";
import {
  createDevice,
  fileExists,
  readHeads,
  readJson,
  readModel,
  writeFileAtomic,
  writeHeads,
} from "early-exits/node";
import {
  type AnswerSet,
  completeStates,
  type DepthStart,
  measureStarts,
  readCurve,
  trainMaps,
} from "./pretrained/train-maps.js";
import { answerTokens, deployMaps, listedTokens, recordAnswers } from "./pretrained/deploy.js";
import { joinAhead } from "./pretrained/join-ahead.js";
import { certificatesCard, pretrainedCard } from "./pretrained/card.js";
import { certifyProjected, fitKeys } from "./pretrained/project.js";
import {
  type ChatPrompt,
  chatPrompts,
  chooseHeldOut,
  isCertifying,
  isHeld,
  knownConversations,
  type PromptSplit,
} from "./pretrained/prompts.js";
import { everydayAnswers, everydayPrompts, keepEveryday } from "./pretrained/everyday/prompts.js";
import {
  type Answer,
  answersArchive,
  packAnswers,
  readAnswers,
  restoreAnswers,
  writeAnswers,
} from "./pretrained/answers.js";
import { certifyLevels, writeCertificates } from "./ship/certify-levels.js";

/** Answers are cut here, as those in the fixtures are. */
const MAX_NEW_TOKENS = 144;
const BATCH_SIZE = 48;
/** Heads are taught by answers of the model as it is used. */
const DTYPE = "int8";
/** Positions that previews are fitted on. */
const FIT_POSITIONS = 65_536;
/** Depths at which heads may be attached. */
const DEPTHS = [18, 21, 24];
/** Beginning of heads at all depths. */
const STARTS = "starts.json";
/** Sampling of answers that only train. */
const SAMPLED = { temperature: 0.8, topK: 50 } as const;
const GREEDY = { temperature: 0 } as const;

const { values } = parseArgs({
  options: {
    stage: { type: "string" },
    fixtures: { type: "string", default: "../shared/fixtures" },
    model: { type: "string" },
    folder: { type: "string", default: "models/smollm2-135m-instruct" },
    threads: { type: "string", default: "2" },
    /** Sampled answers to each training prompt, and in how many sets of prompts. */
    samples: { type: "string", default: "4" },
    sets: { type: "string", default: "2" },
    /** One set of answers (held-out, greedy, sampled-1, ...) or one split, for several processes side by side. */
    set: { type: "string" },
    /** Prompts whose answers certify and judge: items, or everyday. */
    prompts: { type: "string", default: "items" },
    /** Dtype in which the model writes held-out answers, and for which certificates are made. */
    dtype: { type: "string", default: DTYPE },
    /** Answers that certify at most (0: all), others that judge, and candidates of a level for "project" (0: none). */
    certify: { type: "string", default: "1100" },
    held: { type: "string", default: "300" },
    candidates: { type: "string", default: "6" },
    depths: { type: "string", default: "21,24" },
    ahead: { type: "string" },
    epochs: { type: "string", default: "1" },
    lr: { type: "string", default: "5e-4" },
    /** Rank and candidates of the heads' previews, and of the one in place of the unembedding. */
    preview: { type: "string", default: "64,32" },
    "unembedding-preview": { type: "string", default: "256,96" },
    /** Number of tokens they rank, the most frequent ones of the training answers; 0: all. */
    listed: { type: "string", default: "16384" },
    "unembedding-listed": { type: "string", default: "0" },
  },
});
const chatFolder = join(values.fixtures, "models/smollm2-135m-instruct");
const file = values.model ?? join(chatFolder, "SmolLM2-135M-Instruct.Q4_1.gguf");
const kept = join(values.folder, ".kept");
const certifiedDtype = values.dtype as ModelDtype;
/** Folder of held-out answers: those in another dtype have one of their own. */
const keptHeld = certifiedDtype === DTYPE ? kept : join(kept, certifiedDtype);
const heldOutFile = join(keptHeld, "held-out.jsonl");

/** Part of the held-out prompts, or of the answers to them, that is used. */
function chosen<T extends { readonly split: PromptSplit }>(items: readonly T[]): T[] {
  return chooseHeldOut(items, { certify: Number(values.certify), held: Number(values.held) });
}

async function openModel(dtype: ModelDtype = DTYPE): Promise<Model> {
  const device = await createDevice("wasm", {
    threads: Number(values.threads),
  });
  return readModel(file, { device, dtype });
}

/** Prompts, with those items in training that occur in the fixture's own conversations. */
async function prompts({ tokenizer }: Model): Promise<ChatPrompt[]> {
  return chatPrompts(values.fixtures, await knownConversations(values.fixtures, tokenizer));
}

async function answers(): Promise<void> {
  if (certifiedDtype !== DTYPE && values.set !== "held-out") {
    throw new Error(`--dtype ${certifiedDtype}: answers that teach are written in ${DTYPE}; name --set held-out`);
  }
  const model = await openModel(certifiedDtype);
  const all = await prompts(model);
  const training = all.filter(({ split }) => split === "train");
  const heldOut = chosen(all);
  const write = async (
    name: string,
    asked: ChatPrompt[],
    sampling: { temperature: number; topK?: number },
    seed = 0,
  ) => {
    const started = performance.now();
    const conversations = asked.map(({ content, ...prompt }) => ({ ...prompt, messages: [userMessage(content)] }));
    const path = asked === heldOut ? heldOutFile : join(kept, `${name}.jsonl`);
    // Greedy answers of a set are in the repository, so that a new machine begins with them.
    const archive = sampling === GREEDY && certifiedDtype === DTYPE ? answersArchive(name) : undefined;
    if (archive !== undefined) await restoreAnswers(archive, path, model, conversations);
    await writeAnswers(model, conversations, path, {
      ...sampling,
      seed,
      maxNewTokens: MAX_NEW_TOKENS,
      batchSize: BATCH_SIZE,
      states: asked === heldOut ? undefined : { folder: join(kept, `states-${name}`), depths: DEPTHS },
      onProgress: (count, tokens) => {
        if (count % BATCH_SIZE !== 0 && count < asked.length) return;
        const speed = (1000 * tokens) / (performance.now() - started);
        console.error(`${name}: ${count} of ${asked.length}, ${tokens} tokens, ${speed.toFixed(0)}/s`);
      },
    });
    if (archive !== undefined) await packAnswers(archive, await readAnswers(path));
  };
  const wanted = (name: string): boolean => values.set === undefined || values.set === name;
  if (wanted("held-out")) await write("held-out", heldOut, GREEDY);
  if (wanted("greedy")) await write("greedy", training, GREEDY);
  for (const [k, name] of sampledSets().entries()) {
    // The samples of a prompt follow each other, so that its prompt runs once.
    const asked = training
      .filter((_, i) => i % sampledSets().length === k)
      .flatMap((prompt) => Array.from({ length: Number(values.samples) }, () => prompt));
    if (wanted(name)) await write(name, asked, SAMPLED, k * training.length * Number(values.samples));
  }
}

/** The model's answers to the everyday prompts. Those in the same file are not written again. */
async function everyday(): Promise<void> {
  const model = await openModel(certifiedDtype);
  const asked = await everydayPrompts();
  const started = performance.now();
  const path = join(keptHeld, "everyday.jsonl");
  await writeAnswers(model, asked, path, {
    ...GREEDY,
    seed: 0,
    maxNewTokens: MAX_NEW_TOKENS,
    batchSize: BATCH_SIZE,
    onProgress: (count, tokens) => {
      if (count % BATCH_SIZE !== 0 && count < asked.length) return;
      const speed = (1000 * tokens) / (performance.now() - started);
      console.error(`everyday: ${count} of ${asked.length}, ${tokens} tokens, ${speed.toFixed(0)}/s`);
    },
  });
  await keepEveryday(await readAnswers(path), certifiedDtype);
}

function sampledSets(): string[] {
  return Array.from({ length: Number(values.sets) }, (_, k) => `sampled-${k + 1}`);
}

/** The answers of a set that have recorded states, and those states. */
async function recordedSet(name: string, split: PromptSplit): Promise<AnswerSet> {
  const answers = (await readAnswers(join(kept, `${name}.jsonl`))).filter((answer) => answer.split === split);
  return { answers, states: join(kept, split === "train" ? `states-${name}` : `states-${split}`) };
}

/** The sets of answers that teach. */
async function trainingSets(): Promise<AnswerSet[]> {
  const sets = await Promise.all(["greedy", ...sampledSets()].map((name) => recordedSet(name, "train")));
  return sets.filter((set) => set.answers.length > 0);
}

async function maps(): Promise<void> {
  const sets = await trainingSets();
  const held = await recordedSet("held-out", "held");
  const used = await openModel();
  for (const set of [...sets, held]) await completeStates(used, set, DEPTHS);
  used.dispose();
  const model = await openModel("float32");
  const recipe = { depths: list(values.depths), epochs: Number(values.epochs), learningRate: Number(values.lr) };
  const folder = join(kept, `maps-${values.depths}`);
  await mkdir(folder, { recursive: true });
  if (!(await fileExists(join(kept, STARTS)))) {
    const starts = await measureStarts(model, sets, held, DEPTHS);
    await writeFileAtomic(join(kept, STARTS), JSON.stringify(starts));
  }
  const heads = await trainMaps(model, sets, held, { ...recipe, folder });
  await writeHeads(join(folder, "heads"), heads);
}

/** The heads as they are used: maps with previews. */
async function deploy(): Promise<void> {
  const model = await openModel();
  const maps = await readHeads(join(kept, `maps-${values.depths}`, "heads"), model);
  const taught = (await trainingSets()).flatMap((set) => set.answers);
  const asked = (await prompts(model)).filter(({ split }) => split === "train");
  const encoded = await Promise.all(asked.map(({ content }) => encodeChat(model.tokenizer, [userMessage(content)])));
  const written = taught.map(({ answer }) => answer);
  const listOf = (count: string): readonly number[] | undefined =>
    Number(count) > 0 ? listedTokens(written, encoded, Number(count), model.config.vocabSize) : undefined;
  const ofUnembedding = listOf(values["unembedding-listed"]);
  const heads = await deployMaps(maps, {
    preview: withTokens(previewSize(values.preview), listOf(values.listed)),
    unembeddingPreview: withTokens(previewSize(values["unembedding-preview"]), ofUnembedding),
    states: join(kept, "states-greedy"),
    positions: FIT_POSITIONS,
  });
  await writeHeads(join(values.folder, "heads"), heads);
}

/** Fits the keys and values of skipped blocks to training answers. */
async function keys(): Promise<void> {
  const heads = await readHeads(join(values.folder, "heads"), await openModel());
  const taught = (await trainingSets()).flatMap((set) => set.answers);
  await fitKeys(heads, taught);
  await writeHeads(join(values.folder, "heads"), heads);
  await writeFileAtomic(join(values.folder, "README.md"), await headsCard(heads));
}

/** Records one split, so that several processes can share the work of `certify`. */
async function record(): Promise<void> {
  const split = values.set as PromptSplit | undefined;
  if (split === undefined) throw new Error("--stage record: name a split, as in --set grid");
  const heads = await readHeads(join(values.folder, "heads"), await openModel(certifiedDtype));
  const answers = await heldOutAnswers(heads.model);
  await recordAnswers(
    heads,
    answers.filter((one) => one.split === split),
    split,
    join(keptHeld, "records"),
  );
}

/** Answers that certify or judge. */
async function heldOutAnswers({ tokenizer }: Model): Promise<Answer[]> {
  return values.prompts === "everyday"
    ? everydayAnswers(tokenizer, certifiedDtype)
    : chosen(await readAnswers(heldOutFile));
}

/** Certificates from the answers in test and grid; what the policies keep on the others that are held out. */
async function certify(): Promise<void> {
  const model = await openModel(certifiedDtype);
  const heads = await readHeads(join(values.folder, "heads"), model);
  const heldOut = await heldOutAnswers(model);
  const [answers, judged] = [heldOut.filter(isCertifying), heldOut.filter(isHeld)];
  const calibration = await recordAnswers(heads, answers, "calibration", join(keptHeld, "records"));
  const held = await recordAnswers(heads, judged, "held out", join(keptHeld, "records"));
  const candidates = Number(values.candidates);
  // The faster of two certificates of a level is used, so they share the chance of error.
  const claim = { population: population(), choices: candidates === 0 ? 1 : 2 };
  const made = await certifyLevels(heads, calibration, held, { ...claim, fill: exactFill(model.config) });
  const levels = made.filter(({ certificate }) => certificate.policy.exits.some((exit) => exit.threshold !== "never"));
  const store = join(keptHeld, "runs");
  const projected =
    candidates === 0 ? [] : await certifyProjected(heads, { calibration, answers, judged, candidates, store, claim });
  const isUsual = certifiedDtype === DTYPE;
  // Those from items are shipped for other dtypes alone.
  const fromItems = isUsual && values.prompts !== "everyday";
  const certificates = fromItems
    ? "lab/pretrained/items"
    : join(values.folder, "certificates", isUsual ? "" : certifiedDtype);
  await writeCertificates(certificates, levels);
  await writeCertificates(certificates, projected, "-project");
  const facts = {
    levels,
    projected,
    numLayers: model.config.numLayers,
    population: claim.population,
    calibrationAnswers: calibration.documents.length,
    heldAnswers: held.documents.length,
  };
  if (!fromItems) await writeFileAtomic(join(certificates, "README.md"), certificatesCard(certifiedDtype, facts));
}

function population(): string {
  const answers = `English, answers of at most ${MAX_NEW_TOKENS} tokens`;
  return `${values.prompts === "everyday" ? "everyday chat prompts" : "questions and texts of benchmarks"}, ${answers}`;
}

async function headsCard(heads: ExitHeads): Promise<string> {
  return pretrainedCard({
    numLayers: heads.model.config.numLayers,
    shapes: heads.heads.map(({ depth, shape }) => ({ depth, shape })),
    trainingTokens: answerTokens((await trainingSets()).flatMap((set) => set.answers)),
    fittedPositions: FIT_POSITIONS,
    starts: (await readJson(join(kept, STARTS))) as DepthStart[],
    log: await readCurve(join(kept, `maps-${values.depths}`)),
  });
}

function userMessage(content: string): ChatMessage {
  return { role: "user", content };
}

function withTokens(size: PreviewShape, tokens: readonly number[] | undefined): PreviewShape {
  return { ...size, ...(tokens && { tokens }) };
}

function previewSize(text: string): PreviewShape {
  const [rank, candidates] = text.split(",").map(Number);
  return { rank: rank!, candidates: candidates! };
}

function list(text: string): number[] {
  return text.split(",").map(Number);
}

async function ahead(): Promise<void> {
  if (values.ahead === undefined) throw new Error("--stage ahead: name the folder of the trained head, --ahead FOLDER");
  const model = await openModel();
  const folder = join(values.folder, "heads");
  const [exits, trained] = [await readHeads(folder, model), await readHeads(values.ahead, model)];
  await writeHeads(folder, await joinAhead(exits, trained));
}

const stages = { answers, everyday, maps, deploy, keys, record, certify, ahead } as const;
const stage = stages[values.stage as keyof typeof stages] as (() => Promise<void>) | undefined;
if (stage === undefined) {
  throw new Error(`--stage ${values.stage ?? "(none)"}: choose one of ${Object.keys(stages).join(", ")}`);
}
await mkdir(keptHeld, { recursive: true });
await stage();
process.exit(0);
