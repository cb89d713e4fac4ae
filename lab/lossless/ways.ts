/**
 * Lossless ways of decoding compared on the same heads and prompts: plain greedy, LayerSkip's fixed exit with a fixed
 * draft length, dynamic exits, prompt lookup. Settings are chosen on tuning prompts (tuning.ts) and judged on others,
 * by wall clock of interleaved runs and by the ledger. Heads are the folder's own, or trained here if it has none.
 */
import { basename, join } from "node:path";
import { measureUnitTimes, type UnitTimes } from "early-exits";
import { recordDrafting } from "early-exits/calibrate";
import { kindOf } from "early-exits/exits";
import { createDevice, readModel } from "early-exits/node";
import { prose, type Table } from "../report/index.js";
import { duel, judge, judgedTable } from "./judge.js";
import { beginnings, openHeads, PROMPT_TOKENS, readParts } from "./texts.js";
import { run, tuneDynamic, tuneFixed, tuneLookup, type Way, workOn } from "./tuning.js";

export interface WaysOptions {
  readonly model: string;
  /** @default the model folder's heads/; heads are trained if it does not exist */
  readonly heads?: string | undefined;
  /** Documents, if the model's folder has no documents.json. */
  readonly text?: string | undefined;
  /** Training steps, if heads are trained. */
  readonly steps: number;
  /** Prompts for judging. */
  readonly prompts: number;
  /** Prompts for tuning. */
  readonly tuning: number;
  readonly tokens: number;
}

/** A part of the report. */
export interface LosslessPart {
  readonly tables: readonly Table[];
  readonly data: unknown;
}

/** The number of tuning prompts on which settings are run, because records cannot show what they do. */
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
}: WaysOptions): Promise<LosslessPart> {
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
  const { shape } = heads.heads[0]!;
  const { map, vocabulary, dtype = "the model's dtype" } = shape;
  const kind = kindOf(shape) ?? `${map} + ${vocabulary}`;
  const { numLayers } = model.config;
  await device.dispose();
  const name = basename(folder);
  const note = prose`
    ${kind} heads, ${dtype}, at depths ${heads.depths.join(", ")} of ${numLayers} (${origin}); ${tokens} new tokens
    after each of ${prompts.length} prompts of ${PROMPT_TOKENS} tokens, one thread. Settings were chosen on
    ${tuning.length} other prompts; the outputs were equal. Per token after the first round, without the prompt;
    medians of ${ROUNDS} interleaved runs of every prompt; "ms by counts" is the counted work at unit times measured
    beforehand; speed-up is time of plain greedy / time, run by run.`;
  return {
    data: { units, judged },
    tables: [
      judgedTable(`Lossless ways of decoding, ${name}`, note, judged),
      duel(judged[2]!, judged[1]!),
      passTable(name, units, numLayers),
    ],
  };
}

/** The time of a pass of several rows, and its time per row relative to one row. */
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
