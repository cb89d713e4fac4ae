/** `early-exits generate`: text on stdout, each token in the colour of the depth it needed; telemetry on stderr. */
import { generate } from "../../index.js";
import { generateDefaults, samplingDefaults } from "../../model/decode/index.js";
import type { CommandDefinition } from "../command.js";
import { depthHistogram } from "../depth-colors.js";
import { decodingOptions, type DecodingSettings, openDecoding } from "../generation/index.js";
import { breathe, colorsOf, type CommonOptions, type Io, note } from "../io.js";
import { summaryLines } from "../lines/index.js";
import { modelDefaults } from "../open-model.js";
import { modelFolder, modelOptions } from "../options.js";

export interface GenerateSettings extends CommonOptions, DecodingSettings {
  readonly prompt: string;
  /** Prints the prompt before its continuation. @default true */
  readonly echo?: boolean | undefined;
}

export const generateCommand: CommandDefinition<GenerateSettings> = {
  name: "generate",
  description: "Continue a prompt; text on stdout, telemetry on stderr",
  positional: [modelFolder],
  options: [
    { flags: "--prompt <text>", description: "text to continue", required: true },
    ...decodingOptions,
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
  const { prompt, json = false, echo = true } = settings;
  const decoding = await openDecoding(io, "generate", settings);
  const { model, source, policy, options, colors } = decoding;
  if (policy !== undefined && io.color && !json) note(io, `legend: ${colors.legend}`);
  const run = generate(source, prompt, { ...options, signal: io.signal });
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
  decoding.dispose();
}
