/**
 * `early-exits tune`: thresholds and draft length of lossless decoding that take least time on this machine. Writes
 * what `generate --lossless --policy` and `check-lossless --policy` read.
 */
import { type SamplingOptions, tuneDrafting, type WeightDtype } from "../../index.js";
import { readHeads, readModel, writeFileAtomic } from "../../node/index.js";
import { percent, table } from "../format.js";
import { breathe, type CommonOptions, type Io, openDevice, writeResult } from "../io.js";
import { createProgress } from "../progress.js";
import { readDocuments } from "../text-source.js";

/** The sampling options are those of the decoding that is tuned. @default greedy */
export interface TuneSettings extends CommonOptions, SamplingOptions {
  readonly dir: string;
  readonly heads: string;
  readonly text: string;
  /** @default 16 */
  readonly prompts?: number | undefined;
  /** @default 24 */
  readonly promptTokens?: number | undefined;
  /** @default 100 */
  readonly maxNewTokens?: number | undefined;
  /** Of sampling. @default 0 */
  readonly seed?: number | undefined;
  readonly out?: string | undefined;
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

export async function run(settings: TuneSettings, io: Io): Promise<void> {
  const {
    dir,
    heads: headsFolder,
    text,
    prompts: count = 16,
    promptTokens = 24,
    maxNewTokens = 100,
    temperature = 0,
    topK = 0,
    topP = 1,
    minP = 0,
    repetitionPenalty = 1,
    seed = 0,
    out,
  } = settings;
  const model = await readModel(dir, {
    device: await openDevice(io, settings.device),
    ...(settings.dtype && { dtype: settings.dtype }),
  });
  const heads = await readHeads(headsFolder, model);
  const { documents } = await readDocuments(text);
  const prompts = documents.slice(0, count).map((document) => model.tokenizer.encode(document).slice(0, promptTokens));
  const progress = createProgress(io, "tune");
  const drafting = await tuneDrafting(heads, prompts, {
    maxNewTokens,
    temperature,
    topK,
    topP,
    minP,
    repetitionPenalty,
    seed,
    signal: io.signal,
    async onText({ text: done, texts: total }) {
      progress.update({ done, total, text: "texts written and recorded" });
      await breathe();
    },
  }).finally(() => progress.end());
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(drafting, undefined, 2)}\n`);
  const {
    policy,
    lossless: { draftLimit, acceptance },
    expected: { tokens, rounds, drafted, accepted, cost, plainCost },
  } = drafting;
  const adaptive =
    acceptance === undefined
      ? "as many drafts a round as pay, chosen online"
      : "as many drafts a round as pay, by how often drafts of their score were right on these texts";
  writeResult(io, settings, drafting, [
    ...table([
      ["exit", `drafts where ${policy.score} passes`],
      ...policy.exits.map(({ depth, threshold }) => [
        `depth ${depth}`,
        typeof threshold === "number" ? threshold.toPrecision(4) : threshold,
      ]),
    ]),
    draftLimit === "adaptive" ? adaptive : `at most ${draftLimit} drafts a round`,
    draftLimit === 0
      ? "Drafting does not pay here: no setting was cheaper than plain decoding."
      : `expected on these ${tokens} tokens: ${(tokens / rounds).toFixed(2)} tokens a ` +
        `round, ${percent(accepted / drafted)} of the drafts accepted, ${(plainCost / cost).toFixed(2)} times ` +
        "plain decoding's speed (blocks and heads, as timed here)",
    ...(out === undefined ? [] : [`drafting: ${out}`]),
  ]);
  heads.dispose();
  model.dispose();
}
