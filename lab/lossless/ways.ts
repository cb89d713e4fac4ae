/**
 * Lossless ways of decoding side by side, on the same heads and prompts: plain greedy, LayerSkip's fixed exit with a
 * fixed draft length, dynamic exits, prompt lookup. Settings are chosen on tuning prompts (lossless-tuning.ts) and
 * judged on others, by wall clock of interleaved runs and by the ledger. Heads are the folder's own, or trained here
 * where it has none.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import {
  attachHeads,
  type ExitHeads,
  measureUnitTimes,
  type Model,
  splitDocuments,
  trainHeads,
  type UnitTimes,
} from "early-exits";
import { recordDrafting } from "early-exits/calibrate";
import { createDevice, readHeads, readJson, readModel, readText } from "early-exits/node";
import { embeddedHeads } from "../../src/cli/index.js";
import { duel, judge } from "./judge.js";
import { type Prompts, run, tuneDynamic, tuneFixed, tuneLookup, type Way, workOn } from "./tuning.js";
import type { Table } from "../report/index.js";

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

export const PROMPT_TOKENS = 24;
/** Of the tuning prompts, those on which whole settings are run in earnest. */
const TRIED = 40;
const ROUNDS = 5;

export async function compareLosslessWays({
  model: folder,
  heads: headsFolder = join(folder, "heads"),
  text,
  steps,
  prompts: count,
  tuning: tuningCount,
  tokens,
}: WaysOptions): Promise<{ tables: readonly Table[]; data: unknown }> {
  const device = await createDevice("wasm");
  const model = await readModel(folder, { device });
  const documents = await readParts(folder, text);
  const [heads, origin] = await openHeads(model, headsFolder, documents.train, steps);
  const tuning = beginnings(model, documents.calibration, tuningCount);
  const units = await measureUnitTimes(heads, { context: PROMPT_TOKENS + (tokens >> 1) });
  const records = await recordDrafting(heads, tuning, { maxNewTokens: tokens, stopAtEndOfText: false });
  const fixed = tuneFixed(heads, records, units);
  const work = workOn(Math.min(TRIED, tuning.length), units, (way, text) => run(heads, tuning[text]!, way, tokens));
  const ways: readonly Way[] = [
    { name: "plain greedy", setting: "" },
    fixed,
    await tuneDynamic(heads, records, fixed, units, work),
    await tuneLookup(work),
  ];
  console.error(ways.map(({ name, setting }) => `${name}: ${setting}`).join("\n"));

  const prompts = beginnings(model, documents.test, count);
  const judged = await judge(ways, {
    texts: prompts.length,
    tokens,
    rounds: ROUNDS,
    units,
    run: (way, text) => run(heads, prompts[text]!, way, tokens),
  });
  const { kind, dtype = "the model's dtype" } = heads.heads[0]!.shape;
  await device.dispose();
  return {
    data: { units, judged },
    tables: [
      {
        title: `Lossless ways of decoding, ${basename(folder)}`,
        note:
          `${kind} heads, ${dtype}, at depths ${heads.depths.join(", ")} of ${model.config.numLayers} ` +
          `(${origin}); ${tokens} new tokens after each of ${prompts.length} prompts of ${PROMPT_TOKENS} tokens, ` +
          `one thread. Settings were chosen on ${tuning.length} other prompts; the outputs were equal. Per token ` +
          `after the first round, prompts not included; medians of ${ROUNDS} interleaved runs of every prompt; ` +
          `"ms by counts" is the counted work at unit times measured beforehand; speed-up is time of plain ` +
          "greedy / time, run by run.",
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
      duel(judged[2]!, judged[1]!),
      passTable(basename(folder), units, model.config.numLayers),
    ],
  };
}

/** The beginnings of documents, all equally long. */
export function beginnings({ tokenizer }: Model, documents: readonly string[], most: number): Prompts {
  return documents
    .map((document) => tokenizer.encode(document).slice(0, PROMPT_TOKENS))
    .filter(({ length }) => length === PROMPT_TOKENS)
    .slice(0, most);
}

/** Texts to train on, to tune on and to judge on. */
export async function readParts(
  folder: string,
  text: string | undefined,
): Promise<Record<"train" | "calibration" | "test", readonly string[]>> {
  if (text !== undefined) {
    const { train, held } = splitDocuments(await readText(text), { train: 0.8, seed: 1 });
    return { train, calibration: held.slice(0, held.length >> 1), test: held.slice(held.length >> 1) };
  }
  const parts = (await readJson(join(folder, "documents.json"))) as Record<
    "train" | "calibration" | "test",
    readonly { readonly text: string }[]
  >;
  const texts = (part: readonly { readonly text: string }[]): string[] => part.map((document) => document.text);
  return { train: texts(parts.train), calibration: texts(parts.calibration), test: texts(parts.test) };
}

/** The heads in a folder, or heads trained here; and which it was. */
export async function openHeads(
  model: Model,
  folder: string,
  texts: readonly string[],
  steps: number,
): Promise<[heads: ExitHeads, origin: string]> {
  return existsSync(folder)
    ? [await readHeads(folder, model), "the folder's own heads"]
    : [await trainedHeads(model, texts, steps), `heads trained here, ${steps} steps`];
}

/** Sharp heads, stored small: a draft's probability counts less than its argmax, and every head asked is paid for. */
async function trainedHeads(model: Model, texts: readonly string[], steps: number): Promise<ExitHeads> {
  const { numLayers } = model.config;
  const heads = attachHeads(model, {
    exits: [Math.max(1, numLayers >> 2), numLayers >> 1],
    dtype: embeddedHeads.dtype,
  });
  await trainHeads(heads, texts, { steps, loss: embeddedHeads.loss });
  return heads;
}

/** What verifying so many rows takes, and of that each row, against one. */
function passTable(name: string, { block, finalHead }: UnitTimes, numLayers: number): Table {
  const one = numLayers * block[0]!.cost + finalHead[0]!.cost;
  return {
    title: `Passes of a few rows, ${name}`,
    note: "All blocks and the final head, read back; medians. Verifying k drafts is a pass of k + 1 rows.",
    columns: ["rows", "blocks, µs", "final head, µs", "per row / one row"],
    rows: block.map(({ rows, cost }, i) => [
      rows,
      1000 * numLayers * cost,
      1000 * finalHead[i]!.cost,
      (numLayers * cost + finalHead[i]!.cost) / rows / one,
    ]),
  };
}
