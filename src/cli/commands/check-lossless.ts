/**
 * `early-exits check-lossless`: compares plain and lossless decoding bit for bit; shows the first difference with its
 * logits.
 */
import {
  checkLossless,
  createPolicy,
  EarlyExitError,
  type ExitHeads,
  type LosslessOptions,
  type Policy,
} from "../../index.js";
import type { LosslessCheck } from "../../exits/index.js";
import { draftingFrom, policyFrom } from "../../calibrate/index.js";
import { readHeads, readJson } from "../../node/index.js";
import { type CommandDefinition, withDefaults } from "../command.js";
import { promptsOf, readDocuments } from "../documents.js";
import { count, percent } from "../format.js";
import { type CommonOptions, type Io, note, writeResult } from "../io.js";
import { modelDefaults, type ModelSettings, openModel } from "../open-model.js";
import { headsOption, integer, modelFolder, modelOptions, promptOptions } from "../options.js";
import { withProgress } from "../progress.js";

export interface CheckLosslessSettings extends CommonOptions, ModelSettings {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  readonly policy?: string | undefined;
  readonly prompts?: number | undefined;
  readonly promptTokens?: number | undefined;
  readonly maxNewTokens?: number | undefined;
  readonly draftLimit?: number | undefined;
}

const defaults = { ...modelDefaults, prompts: 20, promptTokens: 32, maxNewTokens: 64 } as const;

export const checkLosslessCommand: CommandDefinition<CheckLosslessSettings> = {
  name: "check-lossless",
  description: "Compare lossless decoding with plain decoding, token by token and bit by bit",
  positional: [modelFolder],
  options: [
    { ...headsOption, required: true },
    ...promptOptions,
    {
      flags: "--policy <file>",
      description: "policy written by calibrate or tune; its thresholds decide what is drafted",
    },
    { flags: "--max-new-tokens <n>", description: "tokens generated after each prompt", parse: integer(1) },
    {
      flags: "--draft-limit <n>",
      description: "most drafts per round",
      parse: integer(0),
      defaultNote: "chosen during decoding",
    },
    ...modelOptions,
  ],
  defaults,
  examples: [
    "check-lossless my-model --heads heads --text held.txt --prompts 50",
    "check-lossless my-model --heads heads --policy policy.json --text held.txt --dtype int8",
  ],
  run,
};

/** Drafting needs no certificate: without a policy, a head drafts a token of at least this probability. */
const DRAFT_PROBABILITY = 0.5;

async function run(settings: CheckLosslessSettings, io: Io): Promise<void> {
  const { text, prompts: count, promptTokens, maxNewTokens, draftLimit } = withDefaults(defaults, settings);
  const model = await openModel(io, settings.dir, settings);
  const heads = await readHeads(settings.heads, model);
  const { policy, lossless } = await readDrafts(settings.policy, heads, io);
  const { documents } = await readDocuments(text);
  const prompts = promptsOf(model, documents, { count, tokens: promptTokens });
  const check = await withProgress(io, "check", (report) =>
    checkLossless(heads, prompts, {
      policy,
      lossless: { ...lossless, ...(draftLimit !== undefined && { draftLimit }) },
      maxNewTokens,
      signal: io.signal,
      onPrompt: (done) => void report({ done, total: prompts.length, text: "prompts" }),
    }),
  );
  const show = (id: number): string => JSON.stringify(model.tokenizer.decode([id]));
  writeResult(io, settings, check, checkLines(check, show));
  if (check.promised && (check.flips > 0 || check.equalBits < check.tokens)) {
    throw new EarlyExitError(
      "lossless-differs",
      `check-lossless: ${check.flips} of ${check.prompts} texts differ, and ${check.tokens - check.equalBits} of ` +
        `${check.tokens} tokens have other logits, on a device that promises equal bits; please report this`,
      { flips: check.flips },
    );
  }
}

async function readDrafts(
  file: string | undefined,
  heads: ExitHeads,
  io: Io,
): Promise<{ readonly policy: Policy; readonly lossless: LosslessOptions }> {
  if (file !== undefined) {
    const json = await readJson(file);
    return draftingFrom(json) ?? { policy: policyFrom(json), lossless: {} };
  }
  note(io, `no --policy: heads draft tokens to which they give a probability of at least ${DRAFT_PROBABILITY}`);
  return { policy: createPolicy(heads, DRAFT_PROBABILITY, { score: "maxProb" }), lossless: {} };
}

function checkLines(check: LosslessCheck, show: (id: number) => string): string[] {
  const { backend, prompts, tokens, equalBits, ties, flips, first } = check;
  const different = equalBits < tokens;
  const largest = different ? ` (largest difference ${check.largestDifference.toPrecision(3)})` : "";
  return [
    `${prompts - flips} of ${prompts} texts are identical; ${percent(equalBits / tokens, different ? 2 : 0)} of ` +
      `${count(tokens)} tokens compared have bit-identical logits${largest}`,
    `${check.tokensPerRound.toFixed(2)} tokens per round, ${percent(check.acceptanceRate)} of the drafts accepted; ` +
      `weights read: ${percent(check.ledger.weightBytes / check.plain.weightBytes)} of plain decoding's`,
    ...(check.promised
      ? []
      : [
          `${backend} does not promise that rows computed together are bit-identical to rows computed alone: ` +
            `${percent(ties / tokens, 3)} of the tokens were near ties, ${percent(flips / tokens, 3)} flipped`,
        ]),
    ...(first === undefined ? [] : differenceLines(first, show)),
  ];
}

function differenceLines(first: NonNullable<LosslessCheck["first"]>, show: (id: number) => string): string[] {
  const { prompt, token, ids, plainLogits, losslessLogits, gap } = first;
  return [
    `first difference: prompt ${prompt}, new token ${token}: plain ${show(ids[0])} (id ${ids[0]}), lossless ` +
      `${show(ids[1])} (id ${ids[1]})`,
    `  their logits: plain ${plainLogits.join(", ")}; lossless ${losslessLogits.join(", ")}; gap ${gap.toPrecision(3)}`,
  ];
}
