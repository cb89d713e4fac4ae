/**
 * A replay: the predictions of a real, small model's heads (their scores, and whether the full model agreed), replayed
 * on a model of 110 M random weights with the same number of blocks, whose weights exceed the caches. Blocks, heads,
 * reading back, verification and truncation are real; only the drafts come from the record: if the small model's head
 * was right, the draft is the large model's token, and otherwise another token. This compares dynamic drafting with a
 * fixed exit at a size where lossless decoding should pay off, with the confidence scores of real heads. After a wrong
 * draft, the predictions at the same places of the right text are used.
 */
import { basename, join } from "node:path";
import { type ExitHeads, generate, type GenerateSummary, measureUnitTimes, type Policy } from "early-exits";
import { type DraftingRecords, recordDrafting } from "early-exits/calibrate";
import { createDevice, readModel } from "early-exits/node";
import { draftsOf } from "../../src/calibrate/drafting/index.js";
import { type Drafter, draftPlans, losslessDecoder } from "../../src/exits/draft/index.js";
import { countedCosts, Ledger } from "../../src/exits/cost/index.js";
import { exitFires } from "../../src/exits/heads/index.js";
import { advance } from "../../src/model/index.js";
import { generateWith } from "../../src/model/decode/index.js";
import { scope } from "../../src/tensor/index.js";
import { duel, judge, judgedTable } from "./judge.js";
import { randomHeads } from "./simulation.js";
import { tuneDynamic, tuneFixed, type Way, workOn } from "./tuning.js";
import { beginnings, openHeads, readParts } from "./texts.js";
import type { LosslessPart, WaysOptions } from "./ways.js";
import { benchShapes, drain, randomModel } from "../speed/index.js";
import { prose } from "../report/index.js";

const SHAPE = "llama 110M";
const TEXTS = 40;
const ROUNDS = 2;
/** The number of tuning texts on which settings are run. */
const TRIED = 10;

export async function replayDrafts({
  model: folder,
  heads: headsFolder = join(folder, "heads"),
  text,
  steps,
  tuning,
  tokens,
}: WaysOptions): Promise<LosslessPart> {
  const device = await createDevice("wasm");
  const small = await readModel(folder, { device });
  const parts = await readParts(folder, text);
  const [speakers] = await openHeads(small, headsFolder, parts.train, steps);
  const options = { maxNewTokens: tokens, stopAtEndOfText: false };
  const tuned = await recordDrafting(speakers, beginnings(small, parts.calibration, tuning), options);
  const test = await recordDrafting(speakers, beginnings(small, parts.test, TEXTS), options);
  const depths = speakers.depths;
  speakers.dispose();
  small.dispose();

  const model = await randomModel(benchShapes[SHAPE]!, device);
  if (model.config.numLayers !== test.numLayers) {
    throw new Error(
      `bench: a replay needs a model of ${model.config.numLayers} blocks, ${folder} has ${test.numLayers}`,
    );
  }
  const heads = await randomHeads(model, depths);
  const units = await measureUnitTimes(heads);
  const replayOf = async (
    records: DraftingRecords,
    count: number,
  ): Promise<(way: Way, text: number) => Promise<GenerateSummary>> => {
    const prompts = records.starts
      .slice(0, count)
      .map((start, t) =>
        Array.from({ length: start + 1 }, (_, i) => ((i + 31 * t) * 7919 + 13) % model.config.vocabSize),
      );
    const truths: number[][] = [];
    for (const prompt of prompts) truths.push([...prompt, ...(await plain(heads, prompt, options)).ids]);
    return (way, text) =>
      way.policy === undefined
        ? plain(heads, prompts[text]!, options)
        : replay(heads, prompts[text]!, way, options, { records, text, truth: truths[text]! });
  };
  const fixed = tuneFixed(heads, tuned, units);
  const dynamic = await tuneDynamic(heads, tuned, fixed, units, workOn(TRIED, units, await replayOf(tuned, TRIED)));
  const ways: readonly Way[] = [{ name: "plain greedy", setting: "" }, fixed, dynamic];
  const judged = await judge(ways, {
    texts: test.documents.length,
    tokens,
    rounds: ROUNDS,
    units,
    run: await replayOf(test, TEXTS),
  });
  await device.dispose();
  const note = prose`
    Blocks, heads (low-rank, at depths ${depths.join(", ")} of ${test.numLayers}) and verification are run and timed on
    ${SHAPE}, one thread; which drafts are right, and how confident the heads are, is replayed from the small model's
    heads at the same places of ${test.documents.length} test texts. ${tokens} tokens each, medians of ${ROUNDS}
    interleaved runs. Settings were chosen on ${tuned.documents.length} other texts, at unit times measured on the large
    model.`;
  return {
    data: { units, judged },
    tables: [
      judgedTable(`Replay: drafts of ${basename(folder)} on a model of 110 M random weights`, note, judged),
      { ...duel(judged[2]!, judged[1]!), title: "Replay: dynamic exits against fixed exit (LayerSkip)" },
    ],
  };
}

interface RunOptions {
  readonly maxNewTokens: number;
  readonly stopAtEndOfText: boolean;
}

async function plain(heads: ExitHeads, prompt: readonly number[], options: RunOptions): Promise<GenerateSummary> {
  const generation = generate(heads, prompt, options);
  await drain(generation);
  return generation.summary;
}

/** The small model's record of one text. */
interface Recorded {
  readonly records: DraftingRecords;
  readonly text: number;
  /** The large model's prompt and its own greedy text. */
  readonly truth: readonly number[];
}

async function replay(
  heads: ExitHeads,
  prompt: readonly number[],
  { policy, lossless }: Way,
  options: RunOptions,
  recorded: Recorded,
): Promise<GenerateSummary> {
  const { model } = heads;
  const ledger = new Ledger(heads);
  const length = typeof lossless === "object" ? lossless : {};
  const decoder = losslessDecoder(
    model,
    replayDrafter(heads, policy!, recorded, ledger),
    draftPlans(model.config.numLayers, length.costs ?? countedCosts(model.config, heads), length, heads.depths),
    { ledger },
  );
  const generation = generateWith(model, prompt, options, decoder);
  await drain(generation);
  const summary: GenerateSummary = {
    ...generation.summary,
    ledger: ledger.report([generation.summary]),
    promise: { kind: "lossless" },
  };
  if (summary.ids.join() !== recorded.truth.slice(prompt.length).join()) {
    throw new Error("bench: the replay is not lossless");
  }
  return summary;
}

/** Runs the heads as decoding does, and then uses the recorded predictions instead of theirs. */
function replayDrafter(
  { model, heads }: ExitHeads,
  { score, exits }: Policy,
  { records, text, truth }: Recorded,
  ledger: Ledger,
): Drafter {
  const document = records.documents[text]!;
  const drafts = draftsOf({ ...records, documents: [document] }, score)[0]!;
  return async ([request]) => {
    const { sequence } = request!;
    const position = sequence.length - 1;
    for (const [exit, { depth, threshold }] of exits.entries()) {
      if (threshold === "never") continue;
      advance(model, [{ sequence, positions: sequence.pending(depth) }], depth, ledger);
      const logits = scope(() => heads[exit]!.logits(sequence.hidden(position)));
      ledger.head(exit, 1);
      await heads[exit]!.readConfidences(logits);
      logits.dispose();
      const draft = drafts[exit]![position]!;
      if (!exitFires(draft.score, threshold, score)) continue;
      const right = truth[position + 1]!;
      const agrees = document.exits[exit]!.agrees[position] === 1;
      return [{ ...draft, depth, id: agrees ? right : (right + 1) % model.config.vocabSize }];
    }
    return [undefined];
  };
}
