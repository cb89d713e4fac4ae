/** `early-exits generate`: text on stdout, each token in the colour of the depth it needed; telemetry on stderr. */
import {
  generate,
  type GenerateOptions,
  type GenerateSummary,
  type LosslessOptions,
  type Model,
  type Policy,
} from "../../index.js";
import { draftingFrom, policyFrom } from "../../calibrate/index.js";
import { generateDefaults, samplingDefaults } from "../../model/decode/index.js";
import { readHeads, readJson } from "../../node/index.js";
import type { CommandDefinition } from "../command.js";
import { depthColors, depthHistogram } from "../depth-colors.js";
import { percent, speed } from "../format.js";
import { breathe, colorsOf, type CommonOptions, type Io, note, UsageError } from "../io.js";
import { modelDefaults, type ModelSettings, openModel } from "../open-model.js";
import { headsOption, integer, modelFolder, modelOptions, samplingOptions } from "../options.js";

export interface GenerateSettings extends CommonOptions, ModelSettings {
  readonly dir: string;
  readonly prompt: string;
  readonly heads?: string | undefined;
  readonly policy?: string | undefined;
  readonly lossless?: boolean | undefined;
  readonly maxNewTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  readonly seed?: number | undefined;
  /** Prints the prompt before its continuation. @default true */
  readonly echo?: boolean | undefined;
}

export const generateCommand: CommandDefinition<GenerateSettings> = {
  name: "generate",
  description: "Continue a prompt; text on stdout, telemetry on stderr",
  positional: [modelFolder],
  options: [
    { flags: "--prompt <text>", description: "text to continue", required: true },
    headsOption,
    {
      flags: "--policy <file>",
      description: "policy made by calibrate, which turns exits on; with --lossless, also a file written by tune",
    },
    {
      flags: "--lossless",
      description: "exits only draft and the full model verifies: exactly its tokens; needs --policy",
    },
    {
      flags: "--max-new-tokens <n>",
      description: "most tokens to generate",
      parse: integer(0),
      defaultNote: "fewer if the context has less room",
    },
    ...samplingOptions,
    { flags: "--seed <n>", description: "seed of sampling", parse: integer(0) },
    { flags: "--stop <text...>", description: "stop before any of these strings" },
    { flags: "--no-echo", description: "do not print the prompt" },
    ...modelOptions,
  ],
  defaults: { ...modelDefaults, ...samplingDefaults, ...generateDefaults }, // the library's own
  examples: [
    'generate my-model --prompt "Once upon a time"',
    'generate my-model --heads heads --policy policy.json --prompt "Once" --temperature .8 --seed 7',
  ],
  run,
};

async function run(settings: GenerateSettings, io: Io): Promise<void> {
  const { prompt, heads: headsFolder, policy: policyFile, lossless = false, json = false, echo = true } = settings;
  if (policyFile !== undefined && headsFolder === undefined) {
    throw new UsageError("generate: --policy needs --heads, the folder of the heads it was made for");
  }
  if (lossless && policyFile === undefined) {
    throw new UsageError(
      "generate: --lossless needs --policy, whose thresholds decide what is drafted (early-exits tune, or calibrate)",
    );
  }
  const model = await openModel(io, settings.dir, settings);
  const heads = headsFolder === undefined ? undefined : await readHeads(headsFolder, model);
  const exits = policyFile === undefined ? undefined : await readExits(policyFile, lossless);
  const policy = exits?.policy;
  if (heads !== undefined && policy === undefined) note(io, "no --policy: exits are off, every token runs all blocks");

  const colors = depthColors(io, policy?.exits.map(({ depth }) => depth) ?? [], model.config.numLayers);
  if (policy !== undefined && io.color && !json) note(io, `legend: ${colors.legend}`);
  const run = generate(heads ?? model, prompt, {
    ...samplingOf(settings),
    ...exits,
    signal: io.signal,
    now: () => performance.now(),
  });
  const tokens: { id: number; text: string; depth: number; exit: number | null; score: number | null }[] = [];
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
  for (const line of summaryLines(summary, model)) note(io, line);
  if (policy !== undefined) {
    for (const line of depthHistogram(summary.depthCounts, colors)) note(io, line);
  }
  heads?.dispose();
  model.dispose();
}

/** The policy, and how to draft with it; a file written by `tune` has its own settings. */
async function readExits(
  file: string,
  lossless: boolean,
): Promise<{ readonly policy: Policy; readonly lossless: boolean | LosslessOptions }> {
  const json = await readJson(file);
  const drafting = draftingFrom(json);
  if (drafting === undefined) return { policy: policyFrom(json), lossless };
  if (!lossless) {
    throw new UsageError(
      `generate: ${file} was tuned for drafting, with thresholds that promise no agreement; pass --lossless, or a ` +
        "policy made by calibrate",
    );
  }
  return { policy: drafting.policy, lossless: drafting.lossless };
}

/** What was given; generate has the defaults. */
function samplingOf(settings: GenerateSettings): GenerateOptions {
  const { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, stop, seed } = settings;
  const options = { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, stop, seed };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function summaryLines(summary: GenerateSummary, { config }: Model): string[] {
  const { newTokens, promptTokens, drafted } = summary;
  const reason = { endOfText: "end of text", stop: "stop string", length: "token limit" }[summary.finishReason];
  return [
    `${newTokens} tokens after a prompt of ${promptTokens} (ended by ${reason}); ${speed(summary.tokensPerSecond)}, ` +
      `first token after ${summary.timeToFirstToken.toFixed(0)} ms`,
    `mean depth ${summary.meanDepth.toFixed(2)} of ${config.numLayers} blocks`,
    ...(drafted === 0
      ? []
      : [
          `lossless: ${summary.tokensPerRound.toFixed(2)} tokens per round, ${percent(summary.acceptanceRate)} of ` +
            `${drafted} drafts accepted; the text is the full model's`,
        ]),
  ];
}
