/** `early-exits generate`: text on stdout, each token in the colour of the depth it needed; telemetry on stderr. */
import {
  generate,
  type GenerateOptions,
  type GenerateSummary,
  type LosslessOptions,
  type Model,
  type Policy,
  type WeightDtype,
} from "../../index.js";
import { draftingFrom, policyFrom } from "../../calibrate/index.js";
import { readHeads, readJson, readModel } from "../../node/index.js";
import { depthColors, depthHistogram } from "../depth-colors.js";
import { percent, speed } from "../format.js";
import { breathe, colorsOf, type CommonOptions, type Io, note, openDevice, UsageError } from "../io.js";

export interface GenerateSettings extends CommonOptions {
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
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

export async function run(settings: GenerateSettings, io: Io): Promise<void> {
  const { dir, prompt, heads: headsFolder, policy: policyFile, lossless = false, json = false, echo = true } = settings;
  if (policyFile !== undefined && headsFolder === undefined) {
    throw new UsageError("generate: --policy needs --heads, the folder of the heads it was made for");
  }
  if (lossless && policyFile === undefined) {
    throw new UsageError(
      "generate: --lossless needs --policy, whose thresholds decide what is drafted (early-exits tune, or calibrate)",
    );
  }
  const model = await readModel(dir, {
    device: await openDevice(io, settings.device),
    ...(settings.dtype && { dtype: settings.dtype }),
  });
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
  if (policy !== undefined) for (const line of depthHistogram(summary.depthCounts, colors)) note(io, line);
  heads?.dispose();
  model.dispose();
}

/** The policy, and how to draft by it; a file of `tune` brings its own settings. */
async function readExits(
  file: string,
  lossless: boolean,
): Promise<{ readonly policy: Policy; readonly lossless: boolean | LosslessOptions }> {
  const json = await readJson(file);
  const drafting = draftingFrom(json);
  if (drafting === undefined) return { policy: policyFrom(json), lossless };
  if (!lossless) {
    throw new UsageError(
      `generate: ${file} was tuned for drafting, with thresholds that promise no agreement; pass --lossless, ` +
        "or a policy made by calibrate",
    );
  }
  return { policy: drafting.policy, lossless: drafting.lossless };
}

function samplingOf({
  maxNewTokens,
  temperature,
  topK,
  topP,
  minP,
  repetitionPenalty,
  stop,
  seed,
}: GenerateSettings): GenerateOptions {
  const given = Object.entries({ maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, stop, seed }).filter(
    ([, value]) => value !== undefined,
  );
  return Object.fromEntries(given);
}

function summaryLines(
  {
    newTokens,
    finishReason,
    tokensPerSecond,
    timeToFirstToken,
    meanDepth,
    promptTokens,
    drafted,
    acceptanceRate,
    tokensPerRound,
  }: GenerateSummary,
  { config }: Model,
): string[] {
  const reason = { endOfText: "end of text", stop: "stop string", length: "token limit" }[finishReason];
  return [
    `${newTokens} tokens after a prompt of ${promptTokens} (ended by ${reason}); ${speed(tokensPerSecond)}, ` +
      `first token after ${timeToFirstToken.toFixed(0)} ms`,
    `mean depth ${meanDepth.toFixed(2)} of ${config.numLayers} blocks`,
    ...(drafted === 0
      ? []
      : [
          `lossless: ${tokensPerRound.toFixed(2)} tokens a round, ${percent(acceptanceRate)} of ${drafted} ` +
            "drafts accepted; the text is the full model's",
        ]),
  ];
}
