/**
 * A replay: what the heads of a real, small model said of each of its tokens (their scores, and whether the full model
 * agreed), played on a model of 110 M random weights with as many blocks, whose weights lie outside the caches. Blocks,
 * heads, reading back, verification and cuts are real; only the words are the small model's: where its head was right,
 * the draft is the large model's token, where it was wrong, another. So dynamic drafting meets a fixed exit where
 * lossless decoding is meant to pay, with confidences as real heads have them. After a wrong draft the words at the
 * same places of the right text stand in.
 */
import { join } from "node:path";
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
import { duel, judge } from "./judge.js";
import { randomHeads } from "./simulation.js";
import { tuneDynamic, tuneFixed, type Way, workOn } from "./tuning.js";
import { beginnings, openHeads, readParts, type WaysOptions } from "./ways.js";
import { benchShapes, drain, randomModel } from "../speed/index.js";
import { type Table } from "../report/index.js";

const SHAPE = "llama 110M";
const TEXTS = 40;
const ROUNDS = 2;
/** Of the tuning texts, those on which whole settings are run in earnest. */
const TRIED = 10;

export async function replayDrafts({
  model: folder,
  heads: headsFolder = join(folder, "heads"),
  text,
  steps,
  tuning,
  tokens,
}: WaysOptions): Promise<{ tables: readonly Table[]; data: unknown }> {
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
  const title = `Replay: drafts of ${folder.split("/").at(-1)} on a model of 110 M random weights`;
  return {
    data: { units, judged },
    tables: [
      {
        title,
        note:
          `Blocks, heads (low-rank, at depths ${depths.join(", ")} of ${test.numLayers}) and verification are ` +
          `run and paid for on ${SHAPE}, one thread; which drafts are right and how sure the heads are of them ` +
          `is what the small model's heads said at the same places of ${test.documents.length} test ` +
          `texts. ${tokens} tokens each, medians of ${ROUNDS} interleaved runs. Settings were chosen ` +
          `on ${tuned.documents.length} other texts, at unit times measured on the large model.`,
        columns: [
          "way",
          "chosen setting",
          "tokens/round",
          "accepted",
          "blocks",
          "MB of weights",
          "ms by counts",
          "ms",
          "speed-up",
          "quartiles",
        ],
        rows: judged.map((way) => [
          way.name,
          way.setting,
          way.tokensPerRound,
          Number.isNaN(way.acceptance) ? "" : `${(100 * way.acceptance).toFixed(1)} %`,
          way.blocks,
          way.bytes / 1e6,
          way.predicted,
          way.time.median,
          way.speedup.median,
          `${way.speedup.lowerQuartile.toFixed(2)} to ${way.speedup.upperQuartile.toFixed(2)}`,
        ]),
      },
      { ...duel(judged[2]!, judged[1]!), title: `Replay: dynamic exits against fixed exit (LayerSkip)` },
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

/** What the small model's heads said of one text. */
interface Words {
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
  words: Words,
): Promise<GenerateSummary> {
  const { model } = heads;
  const ledger = new Ledger(heads);
  const length = typeof lossless === "object" ? lossless : {};
  const decoder = losslessDecoder(
    model,
    replayDrafter(heads, policy!, words, ledger),
    draftPlans(model.config.numLayers, length.costs ?? countedCosts(model.config, heads), length, heads.depths),
    { ledger },
  );
  const generation = generateWith(model, prompt, options, decoder);
  await drain(generation);
  const summary = { ...generation.summary, ledger: ledger.report([generation.summary]) };
  if (summary.ids.join() !== words.truth.slice(prompt.length).join()) {
    throw new Error("bench: the replay is not lossless");
  }
  return summary;
}

/** Asks the heads as decoding does, and then takes the recorded word for theirs. */
function replayDrafter(
  { model, heads }: ExitHeads,
  { score, exits }: Policy,
  { records, text, truth }: Words,
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
      const word = drafts[exit]![position]!;
      if (!exitFires(word.score, threshold, score)) continue;
      const right = truth[position + 1]!;
      return [
        {
          ...word,
          depth,
          id: document.exits[exit]!.agrees[position] === 1 ? right : (right + 1) % model.config.vocabSize,
        },
      ];
    }
    return [undefined];
  };
}
