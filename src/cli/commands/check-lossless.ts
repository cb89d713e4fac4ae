/**
 * `early-exits check-lossless`: plain and lossless decoding side by side, to the bit; the first difference with its
 * logits.
 */
import {
  checkLossless,
  createPolicy,
  EarlyExitError,
  type ExitHeads,
  type LosslessOptions,
  type Policy,
  type WeightDtype,
} from "../../index.js";
import type { LosslessCheck } from "../../exits/index.js";
import { draftingFrom, policyFrom } from "../../calibrate/index.js";
import { readHeads, readJson, readModel } from "../../node/index.js";
import { count, percent } from "../format.js";
import { type CommonOptions, type Io, note, openDevice, writeResult } from "../io.js";
import { createProgress } from "../progress.js";
import { readDocuments } from "../text-source.js";

export interface CheckLosslessSettings extends CommonOptions {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  readonly policy?: string | undefined;
  readonly prompts?: number | undefined;
  readonly promptTokens?: number | undefined;
  readonly maxNewTokens?: number | undefined;
  readonly draftLimit?: number | undefined;
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

/**
 * Drafting needs no certificate: without a policy, a head drafts where it gives its token at least this probability.
 */
const DRAFT_PROBABILITY = 0.5;

export async function run(settings: CheckLosslessSettings, io: Io): Promise<void> {
  const { dir, heads: headsFolder, text, prompts = 20, promptTokens = 32, maxNewTokens = 64, draftLimit } = settings;
  const model = await readModel(dir, {
    device: await openDevice(io, settings.device),
    ...(settings.dtype && { dtype: settings.dtype }),
  });
  const heads = await readHeads(headsFolder, model);
  const { policy, lossless } = await readDrafts(settings.policy, heads, io);
  const { documents } = await readDocuments(text);
  const encoded = documents
    .slice(0, prompts)
    .map((document) => model.tokenizer.encode(document).slice(0, promptTokens));
  const progress = createProgress(io, "check");
  const check = await checkLossless(heads, encoded, {
    policy,
    lossless: { ...lossless, ...(draftLimit !== undefined && { draftLimit }) },
    maxNewTokens,
    signal: io.signal,
    onPrompt: (done) => progress.update({ done, total: encoded.length, text: "prompts" }),
  }).finally(() => progress.end());
  writeResult(
    io,
    settings,
    check,
    describe(check, (id) => JSON.stringify(model.tokenizer.decode([id]))),
  );
  if (check.promised && (check.flips > 0 || check.equalBits < check.tokens)) {
    throw new EarlyExitError(
      "lossless-differs",
      `check-lossless: ${check.flips} of ${check.prompts} texts differ, ${check.tokens - check.equalBits} ` +
        `of ${check.tokens} tokens have other logits, on a device that promises equal bits; please report this`,
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
  note(io, `no --policy: heads draft where they give their token a probability of at least ${DRAFT_PROBABILITY}`);
  return { policy: createPolicy(heads, DRAFT_PROBABILITY, { score: "maxProb" }), lossless: {} };
}

function describe(
  {
    backend,
    promised,
    prompts,
    tokens,
    equalBits,
    largestDifference,
    ties,
    flips,
    first,
    acceptanceRate,
    tokensPerRound,
    ledger,
    plain,
  }: LosslessCheck,
  show: (id: number) => string,
): string[] {
  const lines = [
    `${prompts - flips} of ${prompts} texts are the same, ${count(tokens)} tokens ` +
      `compared; ${percent(equalBits / tokens, equalBits === tokens ? 0 : 2)} have the same bits of ` +
      `logits${equalBits === tokens ? "" : ` (largest difference ${largestDifference.toPrecision(3)})`}`,
    `${tokensPerRound.toFixed(2)} tokens per round, ${percent(acceptanceRate)} of the drafts accepted; weights ` +
      `read: ${percent(ledger.weightBytes / plain.weightBytes)} of plain decoding's`,
  ];
  if (!promised) {
    lines.push(
      `${backend} does not promise that rows computed together have the bits of one ` +
        `alone: ${percent(ties / tokens, 3)} of the tokens were near ties, ${percent(flips / tokens, 3)} flipped`,
    );
  }
  if (first !== undefined) {
    lines.push(
      `first difference: prompt ${first.prompt}, new token ${first.token}: plain ${show(first.ids[0])} ` +
        `(id ${first.ids[0]}), lossless ${show(first.ids[1])} (id ${first.ids[1]})`,
      `  their logits: plain ${first.plainLogits.join(", ")}; lossless ${first.losslessLogits.join(", ")}; ` +
        `gap ${first.gap.toPrecision(3)}`,
    );
  }
  return lines;
}
