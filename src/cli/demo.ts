/**
 * `early-exits demo`: the whole story on the embedded model, in one go and in under three minutes on whatever device comes up: write
 * plainly, train heads, calibrate, test on speeches that neither model nor calibration has seen, write with exits, and say in plain
 * words what became faster or slower. Every stage has a share of the time; what fits into it is measured first.
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  attachHeads, calibrateRecords, type CalibrationRecords, EarlyExitError, type ExitHeads, generate, type GenerateOptions, type GenerateSummary, type Model, playPolicy, type Policy, type PolicyOutcome,
  recordDocuments, scoreNames, trainHeads, type TrainStep,
} from "../index.js";
import { readJson, readModel } from "../node/index.js";
import { NO_GUARANTEE, outcomeTable, promiseLines } from "./calibrate.js";
import { compareWays, type Way, type WayResult, ways } from "./compare-ways.js";
import { blockCost, headCost, QUOTED_CONTEXT } from "../index.js";
import { type DepthColors, depthColors, depthHistogram } from "./depth-colors.js";
import { count, duration, percent, speed, table } from "./format.js";
import { breathe, colorsOf, type CommonOptions, type Io, openDevice } from "./io.js";
import { createProgress } from "./progress.js";

/** The embedded model, beside src and dist alike. */
export const embeddedModel = fileURLToPath(new URL("../../models/sotu-6", import.meta.url));

export interface DemoSettings extends CommonOptions {
  /** Another model folder with a documents.json. @default the embedded model */
  readonly model?: string | undefined;
  /** Seconds for training the heads; the other stages get their shares of it. @default 30 */
  readonly seconds?: number | undefined;
  /** @default 0.95 */
  readonly agreement?: number | undefined;
  /** How many, or which depths. @default 2 */
  readonly exits?: number | readonly number[] | undefined;
  /** Tokens per text. @default 64 */
  readonly maxNewTokens?: number | undefined;
  /** Interleaved runs per way of decoding, at least 5; more where they take no time. @default 7 */
  readonly runs?: number | undefined;
  readonly seed?: number | undefined;
  readonly device?: string | undefined;
}

interface DemoDocument {
  readonly title: string;
  readonly text: string;
}

interface DemoDocuments {
  readonly train: readonly DemoDocument[];
  readonly calibration: readonly DemoDocument[];
  readonly test: readonly DemoDocument[];
}

const PROMPT_WORDS = 10;
/** Prompts are cut to this; the rest of the context is for writing. */
const PROMPT_TOKENS = 32;
/** Training is cut off after this many times its planned seconds: other programs may have taken the processor. */
const PATIENCE = 1.6;
const SAMPLING = { temperature: 0.8, topK: 40 } as const;

export async function run(settings: DemoSettings, io: Io): Promise<void> {
  const { model: folder = embeddedModel, seconds = 30, agreement = 0.95, seed = 1, exits = 2, json = false } = settings;
  const started = io.now();
  const { bold, dim } = colorsOf(io);
  const say = (...lines: readonly string[]): void => {
    if (!json) io.stdout.write(`${lines.join("\n")}\n`);
  };

  const documents = await readDemoDocuments(folder);
  const device = await openDevice(io, settings.device);
  const model = await readModel(folder, { device });
  const { config } = model;
  say(bold(`1. The model: ${basename(folder)}, ${config.numLayers} blocks, hidden size ${config.hiddenSize}, ${config.vocabSize} tokens, on device ${device.backend}`));
  const promptIds = prompts(model, documents.test);
  const room = config.maxPositionEmbeddings - PROMPT_TOKENS;
  const maxNewTokens = Math.min(settings.maxNewTokens ?? 64, room);
  const shown: GenerateOptions = { ...SAMPLING, seed, maxNewTokens, signal: io.signal };
  const plain = await write(model, promptIds[0]!, shown);
  say(`It continues a speech it has never seen (${documents.test[0]!.title}):`, "", `${dim(model.tokenizer.decode(promptIds[0]!))}${plain.text}`, "");

  const heads = attachHeads(model, { exits, seed });
  const { multiplyAdds, blocks } = costOfHead(model);
  say(bold(`2. Heads after blocks ${heads.depths.join(" and ")}, trained to say what the full model says`), `A head costs ${count(multiplyAdds)} multiply-adds per token, ${blocks.toFixed(2)} blocks. The model itself stays frozen.`);
  const training = await train(heads, documents.train, seconds, seed, io);
  say(
    `${training.steps} steps on ${count(training.tokens)} tokens in ${duration(training.seconds)} (${speed(training.tokensPerSecond)}). Agreement with the full model, on the training batches:`,
    ...table([["", "untrained", "trained"], ...heads.depths.map((depth, i) => [`depth ${depth}`, percent(training.before[i]), percent(training.after[i])])]), "",
  );

  say(bold(`3. Thresholds for ${percent(agreement, 0)} agreement, then a look at test speeches`));
  const calibration = await recordWithin(heads, documents.calibration, 0.5 * seconds, io, "calibrate");
  const test = await recordWithin(heads, documents.test, 0.35 * seconds, io, "test");
  const { policy, measured, promise } = await choosePolicy(calibration, agreement);
  const outcome = playPolicy(test, policy);
  say(
    `Calibrated on ${measured.positions} tokens of ${measured.documents} documents; of four scores, ${policy.score} costs least. On ${outcome.positions} tokens of ${outcome.documents} test documents:`,
    ...outcomeTable(outcome, policy.exits.map(({ threshold }) => threshold), policy.score),
    `All tokens: agreement ${percent(outcome.agreement)}, mean depth ${outcome.meanDepth.toFixed(2)} of ${config.numLayers} blocks. Calibration text: ${percent(measured.agreement)}, ${measured.meanDepth.toFixed(2)}.`,
    ...promise, "",
  );

  say(bold("4. Writing with exits"));
  const colors = depthColors(io, heads.depths, config.numLayers);
  const colored = await write(heads, promptIds[0]!, { ...shown, policy }, colors);
  say(`${io.color ? `Colours: ${colors.legend}. ` : ""}Keys and values of skipped blocks are filled lazily.`, "", `${dim(model.tokenizer.decode(promptIds[0]!))}${colored.text}`, "", ...depthHistogram(colored.summary.depthCounts, colors), "");

  const timedTokens = Math.min(2 * maxNewTokens, room);
  const comparison = await compareWays(heads, policy, promptIds, { runs: Math.max(5, settings.runs ?? 7), maxNewTokens: timedTokens, budget: 0.8 * seconds }, io);
  say(
    bold(`5. Speed and agreement: ${comparison.runs} interleaved greedy runs of ${timedTokens} tokens each way, medians`),
    ...table([["exits", "tokens/s", "ratio (quartiles)", "mean depth", "agreement"], ...ways.map((way) => {
      const { tokensPerSecond, ratio, meanDepth, agreement: agreed } = comparison.results[way];
      const ratios = way === "off" ? "1" : `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`;
      return [way === "off" ? "off" : `on, ${way}`, tokensPerSecond.toFixed(0), ratios, meanDepth.toFixed(2), percent(agreed)];
    })]),
    "", ...plainWords(model, policy, comparison.results, outcome), "", dim(`${duration((io.now() - started) / 1000)} in all.`),
  );
  if (json) {
    io.stdout.write(`${JSON.stringify({
      format: "early-exits/demo", version: 1, model: folder, device: device.backend, depths: heads.depths, training, policy, calibration: measured, test: outcome,
      texts: { plain: plain.text, exits: colored.summary.text }, runs: comparison.runs, ways: comparison.results, seconds: (io.now() - started) / 1000,
    })}\n`);
  }
  heads.dispose();
  model.dispose();
}

async function readDemoDocuments(folder: string): Promise<DemoDocuments> {
  const path = join(folder, "documents.json");
  const json = (await readJson(path).catch((error: unknown) => {
    throw new EarlyExitError("demo-model", `demo: ${path} cannot be read; the package is incomplete, or in a checkout the model is yet to be made: npm run pretrain`, { path }, { cause: error });
  })) as Partial<DemoDocuments> | null;
  const legal = (part: unknown): boolean => Array.isArray(part) && part.length > 0 && part.every((entry: Partial<DemoDocument> | null) => typeof entry?.title === "string" && typeof entry.text === "string");
  if (typeof json !== "object" || json === null || ![json.train, json.calibration, json.test].every(legal)) {
    throw new EarlyExitError("demo-documents", `${path}: expected lists train, calibration and test of { title, text }`, { path });
  }
  return json as DemoDocuments;
}

/** The first words of test documents, in the middle of a sentence. */
function prompts(model: Model, documents: readonly DemoDocument[]): number[][] {
  return documents.slice(0, 16).map(({ text }) => {
    const words = text.split(" ").slice(0, PROMPT_WORDS);
    while (words.length > 1 && /[.!?]["”']?$/.test(words.at(-1)!)) words.pop();
    return model.tokenizer.encode(words.join(" ")).slice(0, PROMPT_TOKENS);
  });
}

/** Generates; the text is coloured where colours are given. */
async function write(source: Model | ExitHeads, prompt: readonly number[], options: GenerateOptions, colors?: DepthColors): Promise<{ readonly text: string; readonly summary: GenerateSummary }> {
  const generation = generate(source, prompt, options);
  let text = "";
  for await (const token of generation) {
    text += colors === undefined || token.text === "" ? token.text : colors.paint(token.text, token.depth);
    await breathe();
  }
  return { text, summary: generation.summary };
}

function costOfHead({ config }: Model): { readonly multiplyAdds: number; readonly blocks: number } {
  const multiplyAdds = headCost(config, "dense");
  return { multiplyAdds, blocks: multiplyAdds / blockCost(config, Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings)) };
}

interface Training {
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** Agreement per head in the first and the last steps. */
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Trains for about `seconds`: a trial tells how many steps that is. */
async function train(heads: ExitHeads, documents: readonly DemoDocument[], seconds: number, seed: number, io: Io): Promise<Training> {
  const { model } = heads;
  const ids = documents.map(({ text }) => model.tokenizer.encode(text));
  const sequenceLength = Math.min(128, model.config.maxPositionEmbeddings);
  const trial = attachHeads(model, { exits: heads.depths, seed });
  const marks: number[] = [];
  await trainHeads(trial, ids, { steps: 3, batchSize: 1, sequenceLength, onStep: () => marks.push(io.now()) });
  trial.dispose();
  const secondsPerWindow = Math.max(1e-4, (marks[2]! - marks[1]!) / 1000);

  const windows = Math.max(8, seconds / secondsPerWindow);
  const batchSize = Math.min(8, Math.max(1, Math.round(windows / 100)));
  const steps = Math.min(600, Math.max(8, Math.floor(windows / batchSize)));
  const events: TrainStep[] = [];
  const progress = createProgress(io, "train");
  const started = io.now();
  const late = new AbortController();
  await trainHeads(heads, ids, {
    steps, batchSize, sequenceLength, learningRate: 2e-3, seed, signal: AbortSignal.any([io.signal, late.signal]), now: io.now,
    async onStep(event) {
      events.push(event);
      if (event.step < steps && io.now() - started > PATIENCE * 1000 * seconds) late.abort();
      progress.update({ done: event.step, total: steps, timeLeft: event.timeLeft, text: `loss ${event.loss.toFixed(3)}, agreement ${meanAgreement(events.slice(-10)).map((share) => percent(share)).join(" ")}` });
      await breathe();
    },
  }).catch((error: unknown) => {
    if (!late.signal.aborted || io.signal.aborted) throw error; // heads keep what they learned
  }).finally(() => progress.end());
  const took = (io.now() - started) / 1000;
  const few = Math.min(Math.ceil(events.length / 3), Math.ceil(40 / batchSize)); // about 40 windows: single batches are noisy
  const { tokensPerSecond } = events.at(-1)!;
  return { steps: events.length, tokens: Math.round(tokensPerSecond * took), seconds: took, tokensPerSecond, before: meanAgreement(events.slice(0, 1)), after: meanAgreement(events.slice(-few)) };
}

function meanAgreement(events: readonly TrainStep[]): number[] {
  return (events[0]?.agreement ?? []).map((_, i) => events.reduce((sum, { agreement }) => sum + agreement[i]! / events.length, 0));
}

/** Records documents until the seconds are spent (eight documents at least). */
async function recordWithin(heads: ExitHeads, documents: readonly DemoDocument[], seconds: number, io: Io, label: string): Promise<CalibrationRecords> {
  const started = io.now();
  const progress = createProgress(io, label);
  const parts: CalibrationRecords[] = [];
  try {
    for (const { text } of documents) {
      if (parts.length >= 8 && (io.now() - started) / 1000 > seconds) break;
      parts.push(await recordDocuments(heads, [text], { signal: io.signal }));
      progress.update({ done: parts.length, total: documents.length, text: "documents" });
      await breathe();
    }
  } finally {
    progress.end();
  }
  return { ...parts[0]!, documents: parts.flatMap((part) => part.documents) };
}

interface ChosenPolicy {
  readonly policy: Policy;
  readonly measured: PolicyOutcome;
  readonly promise: readonly string[];
}

/** A certified policy; where nothing can be certified, the paper's thresholds for the score whose tokens leave soonest, so that there is something to see. */
async function choosePolicy(records: CalibrationRecords, agreement: number): Promise<ChosenPolicy> {
  const { policy, certificate } = await calibrateRecords(records, { agreement });
  const promise = promiseLines(certificate);
  if (policy.exits.some(({ threshold }) => threshold !== "never")) return { policy, measured: certificate.measured, promise };
  const papers = await Promise.all(scoreNames.map((score) => calibrateRecords(records, { procedure: "paper", agreement, score })));
  const best = papers.reduce((one, other) => (other.certificate.measured.meanDepth < one.certificate.measured.meanDepth ? other : one));
  return { policy: best.policy, measured: best.certificate.measured, promise: [...promise, `So these are the paper's thresholds instead. ${NO_GUARANTEE}`] };
}

/** What the table means. */
function plainWords(model: Model, { exits }: Policy, results: Readonly<Record<Way, WayResult>>, test: PolicyOutcome): string[] {
  const verdict = (way: Way): string => {
    const { median: ratio, low, high } = results[way].ratio;
    const times = `${ratio.toFixed(2)} times the plain model's speed`;
    return low > 1 ? `faster, ${times}` : high < 1 ? `slower, ${times}` : `neither faster nor slower as far as these runs tell, ${times}`;
  };
  const { numLayers } = model.config;
  const head = costOfHead(model).blocks;
  const tried = exits.filter(({ threshold }) => threshold !== "never").length;
  return [
    `With lazy filling, decoding is ${verdict("lazy")}: tokens leave after ${results.lazy.meanDepth.toFixed(1)} of ${numLayers} blocks, but a block that was skipped still runs later, together with others, once a deeper token needs its keys and values; and each of the ${tried} heads tried costs ${head.toFixed(2)} blocks. Lazy filling is exact: nothing differs from the plain model but the tokens that left.`,
    `With propagated filling, it is ${verdict("propagate")}: skipped blocks never run, their keys and values are made from the state at the exit. That is approximate; later tokens may change, which the agreement in the table includes and the calibration does not.`,
    `Greedy text of so small a model repeats itself and is easier than what people write: on the test speeches tokens leave after ${test.meanDepth.toFixed(1)} blocks, with an agreement of ${percent(test.agreement)}.`,
    `Exits are about making this model cheaper; a model with fewer blocks, trained as such, may be as good and as fast.`,
  ];
}
