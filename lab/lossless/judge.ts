/**
 * Compares ways of lossless decoding: the wall clock of interleaved runs on the same texts, the ledger's counts, and
 * whether one way is ahead of another, with intervals over the texts.
 */
import type { GenerateSummary, UnitTimes } from "early-exits";
import { createRng } from "early-exits/tensor";
import { predictTime } from "early-exits/exits";
import type { Way } from "./tuning.js";
import { percent, prose, quartiles, type Table } from "../report/index.js";
import { type Timing, timingOf } from "../speed/index.js";

/** The results of a way. */
export interface Judged extends Way {
  /** Milliseconds per token, run by run. */
  readonly time: Timing;
  /** Relative to plain decoding, run by run. */
  readonly speedup: Timing;
  /** Milliseconds per token by the ledger's counts, at unit times. */
  readonly predicted: number;
  readonly tokensPerRound: number;
  readonly acceptance: number;
  readonly blocks: number;
  readonly bytes: number;
  /** Per prompt: the median time of its runs in milliseconds per token, and bytes of weights per token. */
  readonly byPrompt: readonly { readonly time: number; readonly bytes: number }[];
}

export interface Judging {
  /** The number of texts that each way writes, of tokens per text, and of repetitions. */
  readonly texts: number;
  readonly tokens: number;
  readonly rounds: number;
  readonly units: UnitTimes;
  readonly run: (way: Way, text: number) => Promise<GenerateSummary>;
}

/**
 * Runs every way on every text, several times and in rotating order, after one round of warm-up. The first way is the
 * one that the others are compared with. Throws if a way is not lossless, or not deterministic.
 */
export async function judge(ways: readonly Way[], { texts, tokens, rounds, units, run }: Judging): Promise<Judged[]> {
  const numbers = Array.from({ length: texts }, (_, text) => text);
  const times = ways.map<number[][]>(() => numbers.map(() => []));
  const summaries = ways.map<GenerateSummary[]>(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const text of numbers) {
      for (let i = 0; i < ways.length; i++) {
        const w = (i + text + round) % ways.length;
        const summary = await run(ways[w]!, text);
        if (round > 0) times[w]![text]!.push(1000 / summary.tokensPerSecond);
        summaries[w]![text] ??= summary;
        if (summary.ids.join() !== summaries[w]![text].ids.join()) {
          throw new Error(`bench: ${ways[w]!.name} wrote another text the second time`);
        }
      }
    }
  }
  return ways.map((way, w) => {
    const mine = summaries[w]!;
    if (mine.some(({ ids }, p) => ids.join() !== summaries[0]![p]!.ids.join())) {
      throw new Error(`bench: ${way.name} is not lossless`);
    }
    const total = (of: (summary: GenerateSummary) => number): number =>
      mine.reduce((sum, summary) => sum + of(summary), 0);
    const all = tokens * texts;
    const flat = times[w]!.flat();
    const plain = times[0]!.flat();
    return {
      ...way,
      time: timingOf(flat),
      speedup: timingOf(flat.map((time, i) => plain[i]! / time)),
      predicted: total(({ ledger }) => predictTime(ledger, units)) / all,
      tokensPerRound: all / total(({ rounds }) => rounds),
      acceptance: total(({ accepted }) => accepted) / total(({ drafted }) => drafted),
      blocks: total(({ ledger }) => ledger.decode.blocks) / all,
      bytes: total(({ ledger }) => ledger.decode.weightBytes) / all,
      byPrompt: mine.map(({ ledger }, p) => ({
        time: timingOf(times[w]![p]!).median,
        bytes: ledger.decode.weightBytes / tokens,
      })),
    };
  });
}

/** What every way did, one line per way. */
export function judgedTable(title: string, note: string, judged: readonly Judged[]): Table {
  return {
    title,
    note,
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
      Number.isNaN(way.acceptance) ? "" : percent(way.acceptance),
      way.blocks,
      way.bytes / 1e6,
      way.predicted,
      way.time.median,
      way.speedup.median,
      quartiles(way.speedup),
    ]),
  };
}

const RESAMPLES = 2000;

/** One way against another, in time and in bytes, with bootstrap intervals over the prompts. */
export function duel(challenger: Judged, bar: Judged): Table {
  const rng = createRng(1);
  const prompts = bar.byPrompt.length;
  const ratioOf = (of: "time" | "bytes", drawn: readonly number[]): number =>
    drawn.reduce((sum, p) => sum + challenger.byPrompt[p]![of], 0) /
    drawn.reduce((sum, p) => sum + bar.byPrompt[p]![of], 0);
  const row = (name: string, of: "time" | "bytes"): (string | number)[] => {
    const resampled = Array.from({ length: RESAMPLES }, () =>
      ratioOf(
        of,
        Array.from({ length: prompts }, () => rng.integer(prompts)),
      ),
    ).sort((a, b) => a - b);
    const low = resampled[Math.floor(0.025 * RESAMPLES)]!;
    const high = resampled[Math.floor(0.975 * RESAMPLES)]!;
    return [
      name,
      ratioOf(
        of,
        bar.byPrompt.map((_, p) => p),
      ),
      `${low.toFixed(3)} to ${high.toFixed(3)}`,
      high < 1 ? "yes" : low > 1 ? "no, it loses" : "not shown",
    ];
  };
  return {
    title: `${challenger.name} against ${bar.name}`,
    note: prose`
      Sums over the prompts, each with the median of its runs; 95 % intervals over ${RESAMPLES} draws of ${prompts}
      prompts. Acceptance ${percent(challenger.acceptance)} against ${percent(bar.acceptance)}
      (${(challenger.acceptance / bar.acceptance).toFixed(2)} times; the paper states 1.66), tokens per round
      ${challenger.tokensPerRound.toFixed(2)} against ${bar.tokensPerRound.toFixed(2)}.`,
    columns: ["per token", "ratio", "95 %", "ahead"],
    rows: [
      row("time", "time"),
      row("bytes of weights", "bytes"),
      ["time by counts", challenger.predicted / bar.predicted, "", ""],
    ],
  };
}
