/**
 * `early-exits demo`: the whole story on the embedded model, in one go and in under two minutes on whatever device
 * comes up: write plainly, train heads, calibrate and check the certificate, look at speeches that neither model nor
 * calibration has seen, write with exits and losslessly, and say in plain words what became faster or slower. Every
 * stage has a share of the time; what fits into it is measured first. Heads are trained and calibrated in front of the
 * reader; where the model's folder brings heads that were trained longer and a certificate from more documents, those
 * go on.
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  attachHeads,
  type Certified,
  checkCertificate,
  EarlyExitError,
  exactFill,
  type ExitHeads,
  generate,
  type GenerateOptions,
  type GenerateSummary,
  type HeadLoss,
  type Model,
  type Policy,
  trainHeads,
  type TrainStep,
  tuneDrafting,
  verifyCertificate,
  type WeightDtype,
} from "../../index.js";
import { blockCost, headCost, QUOTED_CONTEXT, withFill } from "../../exits/index.js";
import { calibrateRecords, type CalibrationRecords, playPolicy, recordDocuments } from "../../calibrate/index.js";
import { fileExists, readHeads, readJson, readModel } from "../../node/index.js";
import { NO_GUARANTEE, outcomeTable, promiseLines } from "./calibrate.js";
import { compareWays, type Way, type WayResult } from "../compare-ways.js";
import { type DepthColors, depthColors, depthHistogram } from "../depth-colors.js";
import { count, duration, percent, speed, table } from "../format.js";
import { breathe, colorsOf, type CommonOptions, type Io, openDevice } from "../io.js";
import { createProgress } from "../progress.js";

/** The embedded model, beside src and dist alike. */
export const embeddedModel = fileURLToPath(new URL("../../../models/sotu-12", import.meta.url));

/**
 * How the embedded model's heads are made: at temperature .5, which stresses the best token, since that is what an exit
 * emits; kept in int8, which takes a third of the time of float32.
 */
export const embeddedHeads = { loss: { kind: "kl", temperature: 0.5 }, dtype: "int8" } as const satisfies {
  readonly loss: HeadLoss;
  readonly dtype: WeightDtype;
};

export interface DemoSettings extends CommonOptions {
  /** Another model folder with a documents.json. @default the embedded model */
  readonly model?: string | undefined;
  /** Seconds for training the heads; the other stages get their shares of it. @default 20 */
  readonly seconds?: number | undefined;
  /** @default 0.95 */
  readonly agreement?: number | undefined;
  /** @default 0.05 */
  readonly delta?: number | undefined;
  /** How many, or which depths. @default those of the heads in the folder, or 2 */
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

/** Test documents on which heads are looked at before and after training. */
const HELD_OUT = 8;
/** Prompts that drafting is tuned on. */
const TUNING_PROMPTS = 10;
const PROMPT_WORDS = 10;
/** Prompts are cut to this; the rest of the context is for writing. */
const PROMPT_TOKENS = 32;
/** Training is cut off after this many times its planned seconds: other programs may have taken the processor. */
const PATIENCE = 1.6;
const SAMPLING = { temperature: 0.8, topK: 40 } as const;

export async function run(settings: DemoSettings, io: Io): Promise<void> {
  const {
    model: folder = embeddedModel,
    seconds = 20,
    agreement = 0.95,
    delta = 0.05,
    seed = 1,
    json = false,
  } = settings;
  const started = io.now();
  const { bold, dim } = colorsOf(io);
  const say = (...lines: readonly string[]): void => {
    if (!json) io.stdout.write(`${lines.join("\n")}\n`);
  };

  const documents = await readDemoDocuments(folder);
  const device = await openDevice(io, settings.device);
  const model = await readModel(folder, { device });
  const { config } = model;
  say(
    bold(
      `1. The model: ${basename(folder)}, ${config.numLayers} blocks, hidden ` +
        `size ${config.hiddenSize}, ${config.vocabSize} tokens, on device ${device.backend}`,
    ),
  );
  const promptIds = prompts(model, documents.test);
  const room = config.maxPositionEmbeddings - PROMPT_TOKENS;
  const maxNewTokens = Math.min(settings.maxNewTokens ?? 64, room);
  const shown: GenerateOptions = { ...SAMPLING, seed, maxNewTokens, signal: io.signal };
  const prompt = promptIds[0]!;
  const plain = await write(model, prompt, shown);
  say(
    `It continues a speech it has never seen (${documents.test[0]!.title}):`,
    "",
    `${dim(model.tokenizer.decode(prompt))}${plain.text}`,
    "",
  );

  const shipped =
    settings.exits === undefined && (await fileExists(join(folder, "heads", "heads.json")))
      ? await readHeads(join(folder, "heads"), model)
      : undefined;
  const fresh = attachHeads(model, { exits: shipped?.depths ?? settings.exits ?? 2, dtype: embeddedHeads.dtype, seed });
  const { multiplyAdds, blocks } = costOfHead(model);
  say(
    bold(`2. Heads after blocks ${fresh.depths.join(" and ")}, trained to say what the full model says`),
    `A head costs ${count(multiplyAdds)} multiply-adds per token, ${blocks.toFixed(2)} blocks. The model ` +
      "itself stays frozen.",
  );
  const held = documents.test.slice(0, HELD_OUT).map(({ text }) => text);
  const before = await agreementOn(fresh, held);
  const training = await train(fresh, documents.train, seconds, seed, io);
  const after = await agreementOn(fresh, held);
  const longer = shipped && (await agreementOn(shipped, held));
  say(
    `${training.steps} steps on ${count(training.tokens)} tokens in ${duration(training.seconds)} ` +
      `(${speed(training.tokensPerSecond)}). Agreement with the full model on ${held.length} test documents; an ` +
      "untrained head is the model's own final norm and unembedding:",
    ...table([
      ["", "untrained", "trained", ...(longer ? ["trained longer"] : [])],
      ...fresh.depths.map((depth, i) => [
        `depth ${depth}`,
        percent(before[i]),
        percent(after[i]),
        ...(longer ? [percent(longer[i])] : []),
      ]),
    ]),
    ...(longer === undefined
      ? []
      : ["The heads that come with the model, trained the same way for longer, are used from here on."]),
    "",
  );
  const heads = shipped ?? fresh;

  say(
    bold(
      `3. Thresholds that keep ${percent(agreement, 0)} agreement with probability ${percent(1 - delta, 0)}, ` +
        "and a look at test speeches",
    ),
  );
  const calibration = await recordWithin(heads, documents.calibration, 1.5 * seconds, io, "calibrate");
  const test = await recordWithin(heads, documents.test, 0.6 * seconds, io, "test");
  const fill = exactFill(config);
  const here = await certify(calibration, { agreement, delta, fill, seed });
  const brought = shipped === undefined ? undefined : await shippedCertificate(folder, shipped, agreement, delta);
  const { policy, certificate, valid } = brought ?? here;
  const outcome = playPolicy(test, policy);
  const verdict = (sound: boolean): string =>
    `Checked by code that shares nothing with what made it: ${sound ? "valid" : "NOT VALID"}.`;
  say(
    ...(here.certificate === undefined
      ? [
          `${calibration.documents.length} documents certify nothing at this ` +
            `level${brought === undefined ? `; the paper's thresholds go on. ${NO_GUARANTEE}` : "."}`,
        ]
      : [...promiseLines(here.certificate), verdict(here.valid)]),
    ...(brought === undefined
      ? []
      : [
          "",
          `The certificate that comes with the model rests on ${brought.certificate.documents.length} ` +
            "documents, so its policy may be bolder; it is used from here on:",
          ...promiseLines(brought.certificate),
          verdict(brought.valid),
          "",
        ]),
    `On ${outcome.positions} tokens of ${outcome.documents} test documents, which neither model, heads nor ` +
      "calibration has seen:",
    ...outcomeTable(
      outcome,
      policy.exits.map(({ threshold }) => threshold),
      policy.score,
    ),
    `All tokens: agreement ${percent(outcome.agreement)} (mean over ` +
      `documents ${percent(outcome.documentAgreement)}), mean depth ${outcome.meanDepth.toFixed(2)} ` +
      `of ${config.numLayers} blocks.`,
    "",
  );

  say(bold("4. Writing with exits, and losslessly"));
  const colors = depthColors(io, heads.depths, config.numLayers);
  const greedy: GenerateOptions = { maxNewTokens, signal: io.signal };
  const colored = await write(heads, prompt, { ...shown, policy }, colors);
  const reference = await write(model, prompt, greedy);
  const lossless = await write(heads, prompt, { ...greedy, policy, lossless: true }, colors);
  say(
    `${io.color ? `Colours: ${colors.legend}. ` : ""}Keys and values of skipped blocks: ${fillWords[fill]}.`,
    "",
    `${dim(model.tokenizer.decode(prompt))}${colored.text}`,
    "",
    ...depthHistogram(colored.summary.depthCounts, colors),
    "",
    "Lossless: exits draft, the full model verifies. The greedy text " +
      `is ${lossless.summary.text === reference.summary.text ? "the plain model's, token for token" : "NOT THE PLAIN MODEL'S"}; ${lossless.summary.tokensPerRound.toFixed(2)} tokens a round, ${percent(lossless.summary.acceptanceRate, 0)} of the drafts accepted:`,
    "",
    `${dim(model.tokenizer.decode(prompt))}${lossless.text}`,
    "",
  );

  // Drafts are verified, so their thresholds are not those of lossy decoding: they are tuned for time, on other
  // prompts.
  const drafting = await tuneDrafting(heads, prompts(model, documents.calibration).slice(0, TUNING_PROMPTS), {
    maxNewTokens,
    signal: io.signal,
  });
  const timedTokens = Math.min(2 * maxNewTokens, room);
  const lossy =
    fill === "shared"
      ? [{ name: "exits", options: { policy } }]
      : (["lazy", "propagate"] as const).map((name) => ({
          name: `exits, ${name}`,
          options: { policy: withFill(policy, name) },
        }));
  const ways: Way[] = [
    { name: "plain", options: {} },
    ...lossy,
    { name: "lossless", options: { policy: drafting.policy, lossless: drafting.lossless } },
  ];
  const comparison = await compareWays(
    heads,
    ways,
    promptIds,
    { runs: Math.max(5, settings.runs ?? 7), maxNewTokens: timedTokens, budget: 0.8 * seconds },
    io,
  );
  say(
    bold(
      `5. Speed: ${comparison.runs} interleaved greedy runs of ${timedTokens} tokens each way on test prompts, medians`,
    ),
    ...table([
      [
        "",
        "tokens/s",
        "ratio (quartiles)",
        "depth",
        "blocks/token",
        "multiply-adds/token",
        "weights read/token",
        "agreement",
      ],
      ...comparison.results.map((way, i) => {
        const { tokensPerSecond, ratio, meanDepth, agreement: agreed } = way;
        const ratios =
          i === 0 ? "1" : `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`;
        return [
          way.name,
          tokensPerSecond.toFixed(0),
          ratios,
          meanDepth.toFixed(2),
          way.blocks.toFixed(2),
          count(way.multiplyAdds),
          `${count(way.weightBytes)}B`,
          way.identical ? "identical" : percent(agreed),
        ];
      }),
    ]),
    "",
    ...plainWords(model, policy, comparison.results),
    "",
    dim(`${duration((io.now() - started) / 1000)} in all.`),
  );
  if (json) {
    io.stdout.write(
      `${JSON.stringify({
        format: "early-exits/demo",
        version: 1,
        model: folder,
        device: device.backend,
        depths: heads.depths,
        training: { ...training, agreement: { before, after, longer: longer ?? null } },
        policy,
        certificate: certificate ?? null,
        certificateValid: valid,
        test: outcome,
        texts: { plain: plain.text, exits: colored.summary.text, lossless: lossless.summary.text },
        runs: comparison.runs,
        ways: comparison.results,
        seconds: (io.now() - started) / 1000,
      })}\n`,
    );
  }
  shipped?.dispose();
  fresh.dispose();
  model.dispose();
}

const fillWords = {
  shared: "the blocks above share one block's, which every token makes",
  lazy: "made later, when a deeper token needs them",
} as const;

/** Share of the tokens of some documents at which each head says what the full model says. */
async function agreementOn(heads: ExitHeads, documents: readonly string[]): Promise<number[]> {
  const records = await recordDocuments(heads, documents);
  const policy = heads.depths.map((depth) => ({ depth, threshold: "always" as const }));
  return policy.map(
    (_, exit) =>
      playPolicy(records, {
        score: "margin",
        exits: policy.map((one, i) => (i === exit ? one : { ...one, threshold: "never" })),
      }).agreement,
  );
}

/**
 * The certificate of this level in the model's folder, at delta or a smaller one, checked against its heads; undefined
 * where there is none.
 */
async function shippedCertificate(
  folder: string,
  heads: ExitHeads,
  agreement: number,
  delta: number,
): Promise<
  { readonly policy: Policy; readonly certificate: Certified["certificate"]; readonly valid: boolean } | undefined
> {
  const path = join(folder, "certificates", `${Math.round(100 * agreement)}.json`);
  if (!(await fileExists(path))) return undefined;
  const certificate = checkCertificate(await readJson(path));
  // the promise asked for, or none
  if (certificate.agreement !== agreement || certificate.delta > delta) return undefined;
  return { policy: certificate.policy, certificate, valid: (await verifyCertificate(certificate, { heads })).valid };
}

/** A certified policy with its certificate, checked; where nothing can be certified, the paper's. */
async function certify(
  records: CalibrationRecords,
  {
    agreement,
    delta,
    fill,
    seed,
  }: { readonly agreement: number; readonly delta: number; readonly fill: "shared" | "lazy"; readonly seed: number },
): Promise<{ readonly policy: Policy; readonly certificate?: Certified["certificate"]; readonly valid: boolean }> {
  const { policy, certificate } = await calibrateRecords(records, { agreement, delta, fill, seed });
  if (policy.exits.some(({ threshold }) => threshold !== "never")) {
    return { policy, certificate, valid: (await verifyCertificate(certificate, { records })).valid };
  }
  return {
    policy: (await calibrateRecords(records, { procedure: "paper", agreement, fill, score: "margin" })).policy,
    valid: false,
  };
}

async function readDemoDocuments(folder: string): Promise<DemoDocuments> {
  const path = join(folder, "documents.json");
  const json = (await readJson(path).catch((error: unknown) => {
    throw new EarlyExitError(
      "demo-model",
      `demo: ${path} cannot be read; the package is incomplete, or in a checkout the model is yet to be made: ` +
        "npm run pretrain",
      { path },
      { cause: error },
    );
  })) as Partial<DemoDocuments> | null;
  const legal = (part: unknown): boolean =>
    Array.isArray(part) &&
    part.length > 0 &&
    part.every(
      (entry: Partial<DemoDocument> | null) => typeof entry?.title === "string" && typeof entry.text === "string",
    );
  if (typeof json !== "object" || json === null || ![json.train, json.calibration, json.test].every(legal)) {
    throw new EarlyExitError(
      "demo-documents",
      `${path}: expected lists train, calibration and test of { title, text }`,
      { path },
    );
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
async function write(
  source: Model | ExitHeads,
  prompt: readonly number[],
  options: GenerateOptions,
  colors?: DepthColors,
): Promise<{ readonly text: string; readonly summary: GenerateSummary }> {
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
  return {
    multiplyAdds,
    blocks: multiplyAdds / blockCost(config, Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings)),
  };
}

interface Training {
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/** Trains for about `seconds`: a trial tells how many steps that is. */
async function train(
  heads: ExitHeads,
  documents: readonly DemoDocument[],
  seconds: number,
  seed: number,
  io: Io,
): Promise<Training> {
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
    steps,
    batchSize,
    sequenceLength,
    learningRate: 2e-3,
    loss: embeddedHeads.loss,
    seed,
    signal: AbortSignal.any([io.signal, late.signal]),
    now: io.now,
    async onStep(event) {
      events.push(event);
      if (event.step < steps && io.now() - started > PATIENCE * 1000 * seconds) late.abort();
      progress.update({
        done: event.step,
        total: steps,
        timeLeft: event.timeLeft,
        text: `loss ${event.loss.toFixed(3)}, agreement ${meanAgreement(events.slice(-10))
          .map((share) => percent(share))
          .join(" ")}`,
      });
      await breathe();
    },
  })
    .catch((error: unknown) => {
      if (!late.signal.aborted || io.signal.aborted) throw error; // heads keep what they learned
    })
    .finally(() => progress.end());
  const took = (io.now() - started) / 1000;
  const { tokensPerSecond } = events.at(-1)!;
  return { steps: events.length, tokens: Math.round(tokensPerSecond * took), seconds: took, tokensPerSecond };
}

function meanAgreement(events: readonly TrainStep[]): number[] {
  return (events[0]?.agreement ?? []).map((_, i) =>
    events.reduce((sum, { agreement }) => sum + agreement[i]! / events.length, 0),
  );
}

/** Records documents until the seconds are spent (eight documents at least). */
async function recordWithin(
  heads: ExitHeads,
  documents: readonly DemoDocument[],
  seconds: number,
  io: Io,
  label: string,
): Promise<CalibrationRecords> {
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

/** What the table means. */
function plainWords(model: Model, { exits }: Policy, [, ...others]: readonly WayResult[]): string[] {
  const verdict = ({ ratio: { median: ratio, low, high } }: WayResult): string => {
    const times = `${ratio.toFixed(2)} times the plain model's speed`;
    return low > 1
      ? `faster, ${times}`
      : high < 1
        ? `slower, ${times}`
        : `neither faster nor slower as far as these runs tell, ${times}`;
  };
  const tried = exits.filter(({ threshold }) => threshold !== "never").length;
  return [
    ...others.map(
      (way) =>
        `With ${way.name}, decoding is ${verdict(way)}${way.name === "lossless" ? ", and nothing changes" : ""}.`,
    ),
    `A token that no exit lets go pays for the ${tried} heads it tried, ${costOfHead(model).blocks.toFixed(2)} ` +
      "blocks each. Blocks per token count what ran later for others' sake, and rejected drafts.",
    "Exits make this model cheaper; a model with fewer blocks, trained as such, may be as good and as fast.",
  ];
}
