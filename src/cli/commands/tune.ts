/**
 * `early-exits tune`: finds the thresholds and draft length of lossless decoding that take the least time on this
 * machine. Writes the file that `generate --lossless --policy` and `check-lossless --policy` read.
 */
import { type SamplingOptions, tuneDrafting } from "../../index.js";
import type { TunedDrafting } from "../../calibrate/index.js";
import { samplingDefaults } from "../../model/decode/index.js";
import { readHeads, writeFileAtomic } from "../../node/index.js";
import { type CommandDefinition, withDefaults } from "../command.js";
import { promptsOf, readDocuments } from "../documents.js";
import { percent, table, threshold } from "../format.js";
import { type CommonOptions, type Io, writeResult } from "../io.js";
import { commandLine, nextLines } from "../lines/index.js";
import { modelDefaults, type ModelSettings, openModel } from "../open-model.js";
import { headsOption, integer, modelFolder, modelOptions, promptOptions, samplingOptions } from "../options.js";
import { withProgress } from "../progress.js";

/** The sampling options are those of the decoding that is tuned. */
export interface TuneSettings extends CommonOptions, ModelSettings, SamplingOptions {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  readonly prompts?: number | undefined;
  readonly promptTokens?: number | undefined;
  readonly maxNewTokens?: number | undefined;
  /** Of sampling. */
  readonly seed?: number | undefined;
  readonly out?: string | undefined;
}

const defaults = {
  ...modelDefaults,
  ...samplingDefaults,
  prompts: 16,
  promptTokens: 24,
  maxNewTokens: 100,
  seed: 0,
} as const;

export const tuneCommand: CommandDefinition<TuneSettings> = {
  name: "tune",
  description: "Find the thresholds and draft length of lossless decoding that take the least time on this machine",
  positional: [modelFolder],
  options: [
    { ...headsOption, required: true },
    ...promptOptions,
    { flags: "--max-new-tokens <n>", description: "tokens generated after each prompt", parse: integer(2) },
    ...samplingOptions,
    { flags: "--seed <n>", description: "seed of sampling", parse: integer(0) },
    { flags: "--out <file>", description: "write the settings to this file, for generate --lossless --policy" },
    ...modelOptions,
  ],
  defaults,
  examples: [
    "tune my-model --heads heads --text held.txt --out drafting.json",
    'generate my-model --heads heads --policy drafting.json --lossless --prompt "Once"',
  ],
  run,
};

async function run(settings: TuneSettings, io: Io): Promise<void> {
  const tuned = withDefaults(defaults, settings);
  const { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, out } = tuned;
  const model = await openModel(io, settings.dir, settings);
  const heads = await readHeads(settings.heads, model);
  const { documents } = await readDocuments(settings.text);
  const prompts = promptsOf(model, documents, { count: tuned.prompts, tokens: tuned.promptTokens });
  const drafting = await withProgress(io, "tune", (report) =>
    tuneDrafting(heads, prompts, {
      maxNewTokens,
      temperature,
      topK,
      topP,
      minP,
      repetitionPenalty,
      seed,
      signal: io.signal,
      onText: ({ text: done, texts: total }) => report({ done, total, text: "texts written and recorded" }),
    }),
  );
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(drafting, undefined, 2)}\n`);
  writeResult(io, settings, drafting, [
    ...draftingLines(drafting),
    ...(out === undefined ? [] : [`drafting: ${out}`]),
    ...nextLines(nextStep(settings, drafting)),
  ]);
  heads.dispose();
  model.dispose();
}

/** Lossless decoding with these settings; certified exits if drafting does not pay. */
function nextStep(
  { dir, heads, text, out = "drafting.json", dtype }: TuneSettings,
  { lossless }: TunedDrafting,
): string {
  return lossless.draftLimit === 0
    ? commandLine("calibrate", [dir], { heads, text, dtype, out: "policy.json" })
    : commandLine("generate", [dir], { heads, policy: out, lossless: true, dtype, prompt: "Once upon a time" });
}

function draftingLines({ policy, lossless, expected }: TunedDrafting): string[] {
  const { draftLimit, acceptance } = lossless;
  const { tokens, rounds, drafted, accepted, cost, plainCost } = expected;
  const adaptive =
    acceptance === undefined
      ? "as many drafts per round as pay, chosen during decoding"
      : "as many drafts per round as pay, judged by how often drafts with the same score were accepted on these texts";
  return [
    ...table([
      ["exit", `drafts if ${policy.score} passes`],
      ...policy.exits.map((exit) => [`depth ${exit.depth}`, threshold(exit.threshold)]),
    ]),
    draftLimit === "adaptive" ? adaptive : `at most ${draftLimit} drafts per round`,
    draftLimit === 0
      ? "Drafting does not pay here: no setting was cheaper than plain decoding."
      : `expected on these ${tokens} tokens: ${(tokens / rounds).toFixed(2)} tokens per round, ` +
        `${percent(accepted / drafted)} of the drafts accepted, ${(plainCost / cost).toFixed(2)} times the speed of ` +
        "plain decoding (times of blocks and heads measured here)",
  ];
}
