/**
 * Settings of lossless decoding: the best of each way on tuning texts, by counted work at measured unit times.
 *   fixed exit (LayerSkip)   one exit that always drafts the same number of tokens a round: the whole grid
 *   dynamic exits            `cheapestDrafting` at unit times and at mixtures of times and weight bytes; chosen is the
 *                            setting with the least maximum of time and bytes relative to the fixed exit
 *   prompt lookup            shortest match and draft length: the whole grid
 */
import { type ExitHeads, generate, type GenerateOptions, type GenerateSummary, type UnitTimes } from "early-exits";
import { predictTime, type UnitCosts } from "early-exits/exits";
import { cheapestDrafting, type DraftingRecords, type TunedDrafting } from "early-exits/calibrate";
import type { CostsByRows } from "../../src/exits/cost/index.js";
import { bytesOf } from "../../src/model/index.js";
import { cheapestFixedExit } from "./layer-skip.js";
import { drain } from "../speed/index.js";

export interface Way extends Pick<GenerateOptions, "policy" | "lossless"> {
  readonly name: string;
  readonly setting: string;
}

const LOOKUP_LENGTHS = [1, 2, 3, 4];
/** The weights of bytes in the mixtures. */
const SHARES = [0, 0.15, 0.3, 0.45];

export async function run(
  heads: ExitHeads,
  prompt: readonly number[],
  { policy, lossless }: Pick<GenerateOptions, "policy" | "lossless">,
  tokens: number,
): Promise<GenerateSummary> {
  const generation = generate(heads, prompt, {
    maxNewTokens: tokens,
    stopAtEndOfText: false,
    ...(policy && { policy }),
    ...(lossless !== undefined && { lossless }),
  });
  await drain(generation);
  return generation.summary;
}

/** Measures a way by running it on the first `texts` tuning texts and adding up what the ledger counts. */
export function workOn(
  texts: number,
  units: UnitTimes,
  run: (way: Way, text: number) => Promise<GenerateSummary>,
): WorkOf {
  return async (way) => {
    let time = 0;
    let bytes = 0;
    for (let text = 0; text < texts; text++) {
      const { ledger } = await run(way, text);
      time += predictTime(ledger, units);
      bytes += ledger.decode.weightBytes;
    }
    return { time, bytes };
  };
}

/** The way with the least `goal`. */
async function least<Of extends object>(ways: readonly Of[], goal: (way: Of) => number | Promise<number>): Promise<Of> {
  let chosen = ways[0]!;
  let found = Infinity;
  for (const way of ways) {
    const value = await goal(way);
    if (value >= found) continue;
    chosen = way;
    found = value;
  }
  return chosen;
}

/** The exit and draft length of LayerSkip; a recording shows exactly what each setting does. */
export function tuneFixed(heads: ExitHeads, records: DraftingRecords, units: UnitTimes): Way {
  const { policy, depth, draftLimit } = cheapestFixedExit(heads, records, units);
  return {
    name: "fixed exit (LayerSkip)",
    setting: `depth ${depth}, ${draftLimit} drafts`,
    policy,
    lossless: { draftLimit },
  };
}

/** Tuned drafting in words. */
export function describeSetting({ policy, lossless }: TunedDrafting): string {
  const thresholds = policy.exits
    .map(
      ({ depth, threshold }) => `${typeof threshold === "number" ? threshold.toPrecision(3) : threshold} at ${depth}`,
    )
    .join(", ");
  const length =
    lossless.acceptance !== undefined ? "each draft by its expected gain" : `${lossless.draftLimit} drafts`;
  return lossless.draftLimit === 0 ? "no drafts: none pays" : `${policy.score} ${thresholds}; ${length}`;
}

/** The cost of a way on tuning texts: milliseconds by counts, and bytes of weights. */
export type WorkOf = (way: Way) => Promise<{ readonly time: number; readonly bytes: number }>;

export async function tuneDynamic(
  heads: ExitHeads,
  records: DraftingRecords,
  fixed: Way,
  units: UnitTimes,
  work: WorkOf,
): Promise<Way> {
  const bar = await work(fixed);
  const settings = SHARES.map((share): Way => {
    const drafting = cheapestDrafting(
      heads,
      records,
      mixedCosts(heads.model.config.numLayers, units, weightBytes(heads), share),
    );
    return {
      name: "dynamic exits",
      setting: describeSetting(drafting),
      policy: drafting.policy,
      lossless: drafting.lossless,
    };
  });
  return least(settings, async (way) => {
    const { time, bytes } = await work(way);
    return Math.max(time / bar.time, bytes / bar.bytes);
  });
}

export function tuneLookup(work: WorkOf): Promise<Way> {
  const grid = LOOKUP_LENGTHS.flatMap((draftLimit) =>
    [1, 2, 3].map((shortest): Way => ({
      name: "prompt lookup",
      setting: `${shortest} to 3 tokens, ${draftLimit} drafts`,
      lossless: { draftLimit, promptLookup: { shortest } },
    })),
  );
  return least(grid, async (way) => (await work(way)).time);
}

/** Bytes of weights as unit costs: rows in the same pass read them once. */
function weightBytes({ model, heads }: ExitHeads): UnitCosts {
  const { blocks, unembedding, finalNorm } = model.weights;
  const once = (cost: number): CostsByRows => [
    { rows: 1, cost },
    { rows: 2, cost },
  ];
  return {
    block: once(blocks.reduce((sum, block) => sum + bytesOf(block), 0) / blocks.length),
    finalHead: once(bytesOf(unembedding) + bytesOf(finalNorm)),
    heads: heads.map(({ bytes }) => bytes),
  };
}

/** A mixture of two kinds of cost, each relative to the cost of a plain token. */
function mixedCosts(numLayers: number, times: UnitCosts, bytes: UnitCosts, share: number): UnitCosts {
  const plain = ({ block, finalHead }: UnitCosts): number => numLayers * block[0]!.cost + finalHead[0]!.cost;
  const mix = (time: number, byte: number): number =>
    ((1 - share) * time) / plain(times) + (share * byte) / plain(bytes);
  const byRows = (of: CostsByRows, byte: number): CostsByRows =>
    of.map(({ rows, cost }) => ({ rows, cost: mix(cost, byte) }));
  return {
    block: byRows(times.block, bytes.block[0]!.cost),
    finalHead: byRows(times.finalHead, bytes.finalHead[0]!.cost),
    heads: times.heads.map((cost, i) => mix(cost, bytes.heads[i]!)),
  };
}
