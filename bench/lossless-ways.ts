/**
 * Lossless ways of decoding side by side, on the same heads and prompts: plain greedy, LayerSkip's fixed exit with a fixed draft length,
 * dynamic exits, prompt lookup. Settings are chosen on tuning prompts (lossless-tuning.ts) and judged on others, by wall clock of
 * interleaved runs and by the ledger. Heads are the folder's own, or trained here where it has none.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { attachHeads, createRng, type ExitHeads, type GenerateSummary, measureUnitTimes, type Model, predictTime, recordDrafting, splitDocuments, trainHeads, type UnitTimes } from "early-exits";
import { createDevice, readHeads, readJson, readModel, readText } from "early-exits/node";
import { embeddedHeads } from "../src/cli/demo.js";
import { type Prompts, run, tuneDynamic, tuneFixed, tuneLookup, type Way } from "./lossless-tuning.js";
import type { Table } from "./report.js";
import { type Timing, timingOf } from "./timing.js";

export interface WaysOptions {
  readonly model: string;
  /** @default the model folder's heads/, or trained here where there are none */
  readonly heads?: string | undefined;
  /** Documents, where the model's folder has no documents.json. */
  readonly text?: string | undefined;
  /** Of training heads. */
  readonly steps: number;
  /** For judging. */
  readonly prompts: number;
  /** Prompts for tuning. */
  readonly tuning: number;
  readonly tokens: number;
}

const PROMPT_TOKENS = 24;
/** Of the tuning prompts, those on which whole settings are run in earnest. */
const TRIED = 40;
const ROUNDS = 5;

export async function compareLosslessWays({ model: folder, heads: headsFolder = join(folder, "heads"), text, steps, prompts: count, tuning: tuningCount, tokens }: WaysOptions): Promise<{ tables: readonly Table[]; data: unknown }> {
  const device = await createDevice("wasm");
  const model = await readModel(folder, { device });
  const documents = await readParts(folder, text);
  const [heads, origin] = existsSync(headsFolder) ? [await readHeads(headsFolder, model), "the folder's own heads"] : [await trainedHeads(model, documents.train, steps), `heads trained here, ${steps} steps`];
  const promptsOf = (part: readonly string[], most: number): Prompts => part.map((document) => model.tokenizer.encode(document).slice(0, PROMPT_TOKENS)).filter(({ length }) => length === PROMPT_TOKENS).slice(0, most);
  const tuning = promptsOf(documents.calibration, tuningCount);
  const units = await measureUnitTimes(heads, { context: PROMPT_TOKENS + (tokens >> 1) });
  const records = await recordDrafting(heads, tuning, { maxNewTokens: tokens, stopAtEndOfText: false });
  const fixed = tuneFixed(heads, records, units);
  const dynamic = await tuneDynamic(heads, records, tuning.slice(0, TRIED), fixed, units, tokens);
  const ways: readonly Way[] = [{ name: "plain greedy", setting: "" }, fixed, dynamic, await tuneLookup(heads, tuning.slice(0, TRIED), units, tokens)];
  console.error(ways.map(({ name, setting }) => `${name}: ${setting}`).join("\n"));

  const prompts = promptsOf(documents.test, count);
  const judged = await judge(heads, prompts, ways, units, tokens);
  const { kind, dtype = "the model's dtype" } = heads.heads[0]!.shape;
  await device.dispose();
  return {
    data: { units, judged },
    tables: [{
      title: `Lossless ways of decoding, ${basename(folder)}`,
      note: `${kind} heads, ${dtype}, at depths ${heads.depths.join(", ")} of ${model.config.numLayers} (${origin}); ${tokens} new tokens after each of ${prompts.length} prompts of ${PROMPT_TOKENS} tokens, one thread. Settings were chosen on ${tuning.length} other prompts; the outputs were equal. Per token after the first round, prompts not included; medians of ${ROUNDS} interleaved runs of every prompt; "ms by counts" is the counted work at unit times measured beforehand; speed-up is time of plain greedy / time, run by run.`,
      columns: ["way", "chosen setting", "tokens/round", "accepted", "blocks", "MB of weights", "ms by counts", "ms", "speed-up", "quartiles"],
      rows: judged.map((way) => [
        way.name, way.setting, way.tokensPerRound, Number.isNaN(way.acceptance) ? "" : `${(100 * way.acceptance).toFixed(1)} %`, way.blocks, way.bytes / 1e6, way.predicted, way.time.median,
        way.speedup.median, `${way.speedup.lowerQuartile.toFixed(2)} to ${way.speedup.upperQuartile.toFixed(2)}`,
      ]),
    }, duel(judged[2]!, judged[1]!), passTable(basename(folder), units, model.config.numLayers)],
  };
}

/** Texts to train on, to tune on and to judge on. */
async function readParts(folder: string, text: string | undefined): Promise<Record<"train" | "calibration" | "test", readonly string[]>> {
  if (text !== undefined) {
    const { train, held } = splitDocuments(await readText(text), { train: 0.8, seed: 1 });
    return { train, calibration: held.slice(0, held.length >> 1), test: held.slice(held.length >> 1) };
  }
  const parts = (await readJson(join(folder, "documents.json"))) as Record<"train" | "calibration" | "test", readonly { readonly text: string }[]>;
  const texts = (part: readonly { readonly text: string }[]): string[] => part.map((document) => document.text);
  return { train: texts(parts.train), calibration: texts(parts.calibration), test: texts(parts.test) };
}

/** Sharp heads, stored small: a draft's probability counts less than its argmax, and every head asked is paid for. */
async function trainedHeads(model: Model, texts: readonly string[], steps: number): Promise<ExitHeads> {
  const { numLayers } = model.config;
  const heads = attachHeads(model, { exits: [Math.max(1, numLayers >> 2), numLayers >> 1], dtype: embeddedHeads.dtype });
  await trainHeads(heads, texts, { steps, loss: embeddedHeads.loss });
  return heads;
}

interface Judged extends Way {
  /** Milliseconds per token, run by run. */
  readonly time: Timing;
  /** Against plain decoding, run by run. */
  readonly speedup: Timing;
  readonly predicted: number;
  readonly tokensPerRound: number;
  readonly acceptance: number;
  readonly blocks: number;
  readonly bytes: number;
  /** Per prompt: the median time of its runs in milliseconds per token, and bytes of weights per token. */
  readonly byPrompt: readonly { readonly time: number; readonly bytes: number }[];
}

/** Every way on every prompt, in turning order, several times over; once before that, for the compiler. */
async function judge(heads: ExitHeads, prompts: Prompts, ways: readonly Way[], units: UnitTimes, tokens: number): Promise<Judged[]> {
  const times = ways.map<number[][]>(() => prompts.map(() => []));
  const summaries = ways.map<GenerateSummary[]>(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [p, prompt] of prompts.entries()) {
      for (let i = 0; i < ways.length; i++) {
        const w = (i + p + round) % ways.length;
        const summary = await run(heads, prompt, ways[w]!, tokens);
        if (round > 0) times[w]![p]!.push(1000 / summary.tokensPerSecond);
        summaries[w]![p] ??= summary;
        if (summary.ids.join() !== summaries[w]![p].ids.join()) throw new Error(`bench: ${ways[w]!.name} repeated itself otherwise`);
      }
    }
  }
  return ways.map((way, w) => {
    const mine = summaries[w]!;
    if (mine.some(({ ids }, p) => ids.join() !== summaries[0]![p]!.ids.join())) throw new Error(`bench: ${way.name} is not lossless`);
    const total = (of: (summary: GenerateSummary) => number): number => mine.reduce((sum, summary) => sum + of(summary), 0);
    const all = tokens * prompts.length;
    const [flat, plain] = [times[w]!.flat(), times[0]!.flat()];
    return {
      ...way, time: timingOf(flat), speedup: timingOf(flat.map((time, i) => plain[i]! / time)), predicted: total(({ ledger }) => predictTime(ledger, units)) / all,
      tokensPerRound: all / total(({ rounds }) => rounds), acceptance: total(({ accepted }) => accepted) / total(({ drafted }) => drafted),
      blocks: total(({ ledger }) => ledger.decode.blocks) / all, bytes: total(({ ledger }) => ledger.decode.weightBytes) / all,
      byPrompt: mine.map(({ ledger }, p) => ({ time: timingOf(times[w]![p]!).median, bytes: ledger.decode.weightBytes / tokens })),
    };
  });
}

const RESAMPLES = 2000;

/** One way against another, with intervals over resampled prompts (bootstrap): whether it wins in time and in bytes. */
function duel(challenger: Judged, bar: Judged): Table {
  const rng = createRng(1);
  const prompts = bar.byPrompt.length;
  const ratioOf = (of: "time" | "bytes", drawn: readonly number[]): number => drawn.reduce((sum, p) => sum + challenger.byPrompt[p]![of], 0) / drawn.reduce((sum, p) => sum + bar.byPrompt[p]![of], 0);
  const row = (name: string, of: "time" | "bytes"): (string | number)[] => {
    const resampled = Array.from({ length: RESAMPLES }, () => ratioOf(of, Array.from({ length: prompts }, () => rng.integer(prompts)))).sort((a, b) => a - b);
    const [low, high] = [resampled[Math.floor(0.025 * RESAMPLES)]!, resampled[Math.floor(0.975 * RESAMPLES)]!];
    return [name, ratioOf(of, bar.byPrompt.map((_, p) => p)), `${low.toFixed(3)} to ${high.toFixed(3)}`, high < 1 ? "yes" : low > 1 ? "no, it loses" : "not shown"];
  };
  return {
    title: `${challenger.name} against ${bar.name}`,
    note: `Sums over the prompts, each with the median of its runs; the interval is of 95 %, over ${RESAMPLES} draws of ${prompts} prompts. Acceptance ${(100 * challenger.acceptance).toFixed(1)} % against ${(100 * bar.acceptance).toFixed(1)} % (${(challenger.acceptance / bar.acceptance).toFixed(2)} times; the paper states 1.66), tokens per round ${challenger.tokensPerRound.toFixed(2)} against ${bar.tokensPerRound.toFixed(2)}.`,
    columns: ["per token", "ratio", "95 %", "ahead"],
    rows: [row("time", "time"), row("bytes of weights", "bytes"), ["time by counts", challenger.predicted / bar.predicted, "", ""]],
  };
}

/** What verifying so many rows takes, and of that each row, against one. */
function passTable(name: string, { block, finalHead }: UnitTimes, numLayers: number): Table {
  const one = numLayers * block[0]!.cost + finalHead[0]!.cost;
  return {
    title: `Passes of a few rows, ${name}`, note: "All blocks and the final head, read back; medians. Verifying k drafts is a pass of k + 1 rows.",
    columns: ["rows", "blocks, µs", "final head, µs", "per row / one row"],
    rows: block.map(({ rows, cost }, i) => [rows, 1000 * numLayers * cost, 1000 * finalHead[i]!.cost, (numLayers * cost + finalHead[i]!.cost) / rows / one]),
  };
}
