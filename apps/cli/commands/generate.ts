/**
 * `early-exits generate`: text on stdout, each token in the colour of the depth it needed; telemetry on stderr. With
 * --prompts, a line of JSON for each prompt of a file.
 */
import { generate, generateBatch, type GenerateSummary, type Model } from "early-exits";
import type { AuditReport } from "early-exits/calibrate";
import type { NoPromise } from "early-exits/exits";
import { allWeights, describeSampling, storedBytes } from "early-exits/model";
import { libraryDefaults, type PromptLine, readPrompts, writeFileAtomic } from "early-exits/node";
import { auditOption } from "../audit.js";
import type { CommandDefinition, OptionDefinition, SettingsOf } from "../command.js";
import { depthHistogram } from "../depth-colors.js";
import { bytes, percent, promised, speed } from "../format.js";
import { type Decoding, decodingOptions, openDecoding } from "../decoding.js";
import { breathe, colorsOf, type Io, note, refuseIf, UsageError } from "../io.js";
import { commandLine, nextLines } from "../next-lines.js";
import { modelDefaults } from "../open-model.js";
import {
  modelFolder,
  modelOptions,
  outFileOption,
  promptsOption,
  samplingFlags,
  samplingOptionDefaults,
} from "../options.js";
import { withProgress } from "../progress.js";

const options = [
  { flags: "--prompt <text>", description: "text to continue; - for what stdin holds", defaultNote: "stdin" },
  {
    ...promptsOption,
    description: "prompts to continue, each with its own seed: text, token ids or messages; a line of JSON for each",
  },
  ...decodingOptions,
  auditOption,
  { flags: "--no-echo", description: "do not print the prompt" },
  { ...outFileOption, description: "with --prompts: write the lines to this file" },
  ...modelOptions,
] as const satisfies readonly OptionDefinition[];

type GenerateSettings = SettingsOf<typeof options, "dir">;

export const generateCommand: CommandDefinition<GenerateSettings> = {
  name: "generate",
  description: "Continue a prompt; text on stdout, telemetry on stderr",
  positional: [modelFolder],
  options,
  defaults: { ...modelDefaults, ...samplingOptionDefaults, ...libraryDefaults.generate }, // the library's own
  examples: [
    'generate my-model --prompt "Once upon a time"',
    'generate my-model --heads heads --policy policy.json --prompt "Once" --temperature .8 --seed 7',
    'generate sotu-12 --shipped .9 --prompt "The people of the United States"',
    "generate my-model < prompt.txt",
    "generate my-model --prompts prompts.jsonl --out texts.jsonl",
  ],
  run,
};

async function run(settings: GenerateSettings, io: Io): Promise<void> {
  const { prompt, prompts, out, audit, allowUncertified = false } = settings;
  refuseIf(out !== undefined && prompts === undefined, "generate: --out holds the texts of --prompts; give these too");
  refuseIf(
    prompt !== undefined && prompts !== undefined,
    "generate: give either --prompt TEXT or --prompts FILE, what is to be continued",
  );
  refuseIf(
    audit !== undefined && prompts === undefined,
    "generate: --audit judges many texts, one of k; give their prompts with --prompts FILE",
  );
  refuseIf(
    audit !== undefined && allowUncertified,
    "generate: --audit tests a promise, and with --allow-uncertified there is none; leave one out",
  );
  const text = prompts === undefined ? await promptOf(settings, io) : undefined;
  const decoding = await openDecoding(io, "generate", settings);
  try {
    if (prompts === undefined) await writeOne(io, decoding, { ...settings, prompt: text! });
    else await writeMany(io, decoding, { ...settings, prompts });
  } finally {
    decoding.dispose();
  }
}

async function writeMany(
  io: Io,
  decoding: Decoding,
  { prompts, out, json }: GenerateSettings & { readonly prompts: string },
): Promise<void> {
  const asked = await readPrompts(prompts, decoding.model);
  const lines: string[] = [];
  try {
    await withProgress(io, "generate", async (report) => {
      while (lines.length < asked.length) {
        const first = lines.length;
        lines.push(...(await writeTexts(decoding, asked.slice(first, first + TEXTS_TOGETHER), first, io.signal)));
        await report({ done: lines.length, total: asked.length, text: "texts" });
      }
    });
  } finally {
    // What was written before an error or Ctrl-C, too.
    if (out === undefined) io.stdout.write(lines.join(""));
    else if (lines.length > 0) {
      await writeFileAtomic(out, lines.join(""));
      io.stdout.write(`${json ? JSON.stringify({ out, texts: lines.length }) : `${lines.length} texts: ${out}`}\n`);
    }
  }
  if (decoding.audit !== undefined) note(io, auditLine(decoding.audit.report));
}

async function writeOne(
  io: Io,
  decoding: Decoding,
  settings: GenerateSettings & { readonly prompt: string },
): Promise<void> {
  const { prompt, json = false, echo = true } = settings;
  const { model, source, policy, options, colors } = decoding;
  if (policy !== undefined && io.color && !json) note(io, `legend: ${colors.legend}`);
  await warmUp(decoding, prompt, io);
  const run = generate(source, prompt, { ...options, signal: io.signal });
  const tokens: object[] = [];
  if (!json && echo) io.stdout.write(colorsOf(io).dim(prompt));
  try {
    for await (const { id, text, depth, exit, score } of run) {
      if (json) tokens.push({ id, text, depth, exit: exit ?? null, score: score ?? null });
      else if (text !== "") io.stdout.write(colors.paint(text, depth));
      await breathe();
    }
  } finally {
    if (!json) io.stdout.write("\n");
  }
  const { summary } = run;
  if (json) {
    io.stdout.write(
      `${JSON.stringify({ prompt, text: summary.text, tokens, summary, device: model.device.backend })}\n`,
    );
  }
  note(io, ...summaryLines(summary, model));
  if (policy !== undefined) note(io, ...depthHistogram(summary.depthCounts, colors));
  if (!json) note(io, ...nextLines(...nextSteps(settings, decoding)));
}

/** Throws a UsageError if there is nothing to continue. */
async function promptOf({ prompt }: GenerateSettings, io: Io): Promise<string> {
  if (prompt !== undefined && prompt !== "-") return prompt;
  const text = await io.readInput();
  if (text !== undefined) return text.replace(/\n$/, "");
  throw new UsageError('generate: give --prompt "text to continue", or the text on stdin');
}

/** Milliseconds of decoding before the timed text: the engine has compiled the kernels by then. */
const WARM_UP = 300;
/** Tokens of the prompt, and of the text at most. */
const WARM_UP_TOKENS = 32;
const WARM_UP_CHARACTERS = 1024;

/** Decodes for a moment, so that the reported speed is the one that lasts. */
async function warmUp({ source, model, options }: Decoding, prompt: string, { signal }: Io): Promise<void> {
  const { maxNewTokens } = options;
  const ids = model.tokenizer.encode(prompt.slice(0, WARM_UP_CHARACTERS)).slice(0, WARM_UP_TOKENS);
  const limit = Math.min(
    maxNewTokens ?? WARM_UP_TOKENS,
    WARM_UP_TOKENS,
    model.config.maxPositionEmbeddings - ids.length,
  );
  const started = performance.now();
  while (limit > 0 && performance.now() - started < WARM_UP) {
    const tokens = generate(source, ids, { ...options, maxNewTokens: limit, signal })[Symbol.asyncIterator]();
    while (performance.now() - started < WARM_UP) {
      if ((await tokens.next()).done === true) break;
    }
    await tokens.return?.();
  }
}

function nextSteps(settings: GenerateSettings, { model }: Decoding): string[] {
  const { dir, heads, policy, shipped, lossless } = settings;
  if (policy ?? shipped ?? lossless) {
    const exits = { heads, policy, shipped, lossless };
    const asked = { ...exits, ...samplingFlags(settings) };
    const serve = commandLine("serve", [dir], shipped ? asked : exits);
    return model.tokenizer.chatTemplate === undefined ? [serve] : [commandLine("chat", [dir], asked), serve];
  }
  if (heads !== undefined) return [commandLine("calibrate", [dir], { heads, self: true, out: "policy.json" })];
  return [commandLine("plan", [dir]), commandLine("train", [dir], { self: true, out: "heads" })];
}

function summaryLines(summary: GenerateSummary, model: Model): string[] {
  const { config, screened } = model;
  const { newTokens, promptTokens, drafted, promise } = summary;
  const { screenedHeads, exactLogits } = summary.ledger.decode;
  const reason = { endOfText: "end of text", stop: "stop string", length: "token limit" }[summary.finishReason];
  if (newTokens === 0) return [`no tokens after a prompt of ${promptTokens} (ended by ${reason})`];
  return [
    `${newTokens} tokens after a prompt of ${promptTokens} (ended by ${reason}); ${speed(summary.tokensPerSecond)}, ` +
      `first token after ${summary.timeToFirstToken.toFixed(0)} ms`,
    `mean depth ${summary.meanDepth.toFixed(2)} of ${config.numLayers} blocks` +
      (drafted === 0 ? "" : ", before drafts are verified"),
    ...(screenedHeads === 0
      ? []
      : [
          `unembedding screened: ${(exactLogits / screenedHeads).toFixed(1)} of ${config.vocabSize} logits computed ` +
            `exactly per full-depth token; the coarse copy takes ${(screened!.bytes / 1e6).toFixed(1)} MB`,
        ]),
    ...(drafted === 0
      ? []
      : [
          `lossless: ${summary.tokensPerRound.toFixed(2)} tokens per round, ${percent(summary.acceptanceRate)} of ` +
            `${drafted} drafts accepted; the text is the full model's`,
        ]),
    memoryLine(summary, model),
    ...promiseLine(promise),
  ];
}

/** Memory of the device: weights, KV cache, screening copy, and the rest (heads, tables, working memory). */
function memoryLine({ cacheBytes }: GenerateSummary, { weights, dtype, kvCache, device, screened }: Model): string {
  const weightBytes = allWeights(weights).reduce((sum, weight) => sum + storedBytes(weight), 0);
  // The cache is free again, so it is not among what is in use.
  const used = device.memory?.().used;
  return (
    `memory: weights ${bytes(weightBytes)} (${dtype}), KV cache ${bytes(cacheBytes)} (${kvCache})` +
    (screened === undefined ? "" : `, coarse unembedding ${bytes(screened.bytes)}`) +
    (used === undefined ? "" : `, heads and working memory ${bytes(used - weightBytes - (screened?.bytes ?? 0))}`)
  );
}

/** Nothing where the full model wrote the text. */
function promiseLine(promise: GenerateSummary["promise"]): string[] {
  switch (promise.kind) {
    case "plain":
    case "lossless": // said with its numbers
      return [];
    case "certified": {
      const { loss, agreement, sampling, reference, population, beyond = 0 } = promise;
      const isOfTokens = ["token", "totalVariation", "anyChange"].includes(loss);
      const claim = isOfTokens
        ? `keep ${promised(agreement)} of ${loss === "anyChange" ? "documents" : "tokens"}`
        : `lose at most ${promised(1 - agreement)} of answers (${loss})`;
      const { kind, dtype, checkpoint } = reference;
      const model = kind === "same" ? "the full model" : `the ${dtype} model (checkpoint ${checkpoint.slice(0, 8)}…)`;
      return [
        `promise: certified to ${claim} against ${model}, for text by ${describeSampling(sampling)}` +
          (population === undefined ? "" : `; certified on: ${population}`) +
          (beyond === 0 ? "" : `; not for its last ${beyond} tokens, past those that were judged`),
      ];
    }
    case "none":
      return [`promise: none, ${NO_PROMISE[promise.reason]}`];
  }
}

const NO_PROMISE: Readonly<Record<NoPromise, string>> = {
  uncertified: "the policy has no certificate",
  unchecked: "the policy was copied or changed since its certificate was opened",
  impossible: "nothing could be certified against the reference",
  sampling: "the certificate is for other sampling settings",
  observer: "an observer set thresholds",
};

function auditLine({ units, meanLoss, interval, target, raised }: AuditReport): string {
  if (units === 0) return "audit: none of these texts was chosen";
  return (
    `audit: ${units} texts judged by the reference, mean loss ${percent(meanLoss)} (${percent(interval.low)} to ` +
    `${percent(interval.high)}), promised at most ${percent(target)}; ` +
    (raised ? "the alarm was raised, and exits are off" : "no alarm")
  );
}

const TEXTS_TOGETHER = 8;

/**
 * Lines of JSON for texts after several prompts, the first of which has number `first`; prompt i has seed + i, so its
 * text is the one that it gets alone. They hold nothing of the machine: no times, no counts of work. After an audit's
 * alarm, texts are written without exits.
 */
async function writeTexts(
  { source, model, audit, ...decoding }: Decoding,
  prompts: readonly PromptLine[],
  first: number,
  signal: AbortSignal,
): Promise<string[]> {
  const options = audit?.state.alarm.raised === true ? decoding.plain : decoding.options;
  const { seed = libraryDefaults.generate.seed, lossless = false } = options;
  const batch = generateBatch(
    source,
    prompts.map(({ ids }) => ids),
    { ...options, seed: seed + first, signal },
  );
  const depths = prompts.map((): number[] => []);
  for await (const { prompt, depth } of batch) depths[prompt]!.push(depth);
  for (const [i, { ids }] of batch.summaries.entries()) {
    if (audit?.state.alarm.raised === false) await audit.read({ promptIds: prompts[i]!.ids, ids }, { signal });
  }
  return batch.summaries.map(({ text, ids, finishReason }, i) => {
    const line = {
      prompt: model.tokenizer.decode(prompts[i]!.ids),
      text,
      ids,
      ...(lossless === false && { depths: depths[i]! }), // those of lossless text depend on what runs beside it
      finishReason,
    };
    return `${JSON.stringify(line)}\n`;
  });
}
