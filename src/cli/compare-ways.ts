/**
 * One model, several ways of decoding, side by side: interleaved runs on the same prompts, speeds as ratios to the
 * first way, the ledger's counts per token, and every emitted token judged by the full model on the text before it.
 */
import { type ExitHeads, generate, type GenerateOptions, type GenerateSummary, type Model } from "../index.js";
import { median } from "./format.js";
import { breathe, type Io } from "./io.js";
import { createProgress } from "./progress.js";

/** A way of decoding; the first of a comparison is what the others are compared with. */
export interface Way {
  readonly name: string;
  readonly options: Pick<GenerateOptions, "policy" | "lossless">;
}

export interface WayResult {
  readonly name: string;
  readonly tokensPerSecond: number;
  /**
   * Speed over that of the first way: the ratio of the medians, and the quartiles of the ratios run by run on the same
   * prompt.
   */
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number };
  /** Blocks after which tokens left, on average. */
  readonly meanDepth: number;
  /** Counted by the ledger, per token: rows through blocks, multiply-adds, bytes of weights read. */
  readonly blocks: number;
  readonly multiplyAdds: number;
  readonly weightBytes: number;
  /**
   * Share of the emitted tokens that the full model would have chosen after the same text; NaN where it was sampled.
   */
  readonly agreement: number;
  /** Whether every run gave the very tokens of the first way. */
  readonly identical: boolean;
  readonly tokensPerRound: number;
  /** Share of the drafts that were accepted; NaN where nothing was drafted. */
  readonly acceptanceRate: number;
}

export interface CompareOptions extends Pick<GenerateOptions, "temperature" | "topK"> {
  /** Runs of each way, at least 5. */
  readonly runs: number;
  readonly maxNewTokens: number;
  /** Seconds after which there are no more than 5 runs. */
  readonly budget: number;
}

export interface Comparison {
  readonly runs: number;
  readonly results: readonly WayResult[];
  /** Every run of every way. */
  readonly summaries: readonly (readonly GenerateSummary[])[];
}

/** A fast device runs more than asked, up to this many or this long: single runs are noisy there. */
const MANY_RUNS = 99;
const QUICK_SECONDS = 8;

/** Runs every way in turn on the same prompts, greedily unless told to sample. */
export async function compareWays(
  heads: ExitHeads,
  ways: readonly Way[],
  promptIds: readonly (readonly number[])[],
  { runs, maxNewTokens, budget, temperature = 0, topK }: CompareOptions,
  io: Io,
): Promise<Comparison> {
  const progress = createProgress(io, "generate");
  const summaries: GenerateSummary[][] = ways.map(() => []);
  const agreed: number[][] = ways.map(() => []);
  const started = io.now();
  const once = async ({ options }: Way, run: number): Promise<GenerateSummary> => {
    const sampling = temperature === 0 ? {} : { temperature, seed: run, ...(topK !== undefined && { topK }) };
    const generation = generate(heads, promptIds[run % promptIds.length]!, {
      ...options,
      ...sampling,
      maxNewTokens,
      stopAtEndOfText: false,
      signal: io.signal,
    });
    const tokens = generation[Symbol.asyncIterator]();
    while ((await tokens.next()).done !== true) {
      // No pause between tokens: this is timed.
    }
    await breathe();
    return generation.summary;
  };
  try {
    for (const way of ways) await once(way, 0); // warm-up: compiled code, packed heads
    const elapsed = (): number => (io.now() - started) / 1000;
    for (
      let run = 0;
      run < 5 || (run < runs && elapsed() < budget) || (run < MANY_RUNS && elapsed() < Math.min(budget, QUICK_SECONDS));
      run++
    ) {
      // The order turns, so that no way always runs first.
      for (const index of ways.map((_, i) => (i + run) % ways.length)) {
        const summary = await once(ways[index]!, run);
        summaries[index]!.push(summary);
        agreed[index]!.push(
          temperature === 0 ? await agreementOf(heads.model, promptIds[run % promptIds.length]!, summary.ids) : NaN,
        );
      }
      progress.update({ done: run + 1, total: Math.max(runs, run + 1), text: "runs" });
    }
  } finally {
    progress.end();
  }
  return {
    runs: summaries[0]!.length,
    results: ways.map(({ name }, index) => resultOf(name, summaries[index]!, summaries[0]!, mean(agreed[index]!))),
    summaries,
  };
}

function resultOf(
  name: string,
  runs: readonly GenerateSummary[],
  first: readonly GenerateSummary[],
  agreement: number,
): WayResult {
  const sum = (of: (summary: GenerateSummary) => number): number =>
    runs.reduce((total, summary) => total + of(summary), 0);
  const tokens = sum(({ newTokens }) => newTokens);
  const drafted = sum((run) => run.drafted);
  const accepted = sum((run) => run.accepted);
  return {
    name,
    agreement,
    tokensPerSecond: median(runs.map(({ tokensPerSecond }) => tokensPerSecond)),
    ratio: {
      median:
        median(runs.map(({ tokensPerSecond }) => tokensPerSecond)) /
        median(first.map(({ tokensPerSecond }) => tokensPerSecond)),
      ...quartiles(runs.map(({ tokensPerSecond }, run) => tokensPerSecond / first[run]!.tokensPerSecond)),
    },
    meanDepth: mean(runs.map(({ meanDepth }) => meanDepth)),
    blocks: sum(({ ledger }) => ledger.decode.blocks) / tokens,
    multiplyAdds: sum(({ ledger }) => ledger.decode.multiplyAdds) / tokens,
    weightBytes: sum(({ ledger }) => ledger.decode.weightBytes) / tokens,
    identical: runs.every(({ ids }, run) => ids.join() === first[run]!.ids.join()),
    tokensPerRound: tokens / sum(({ rounds }) => rounds),
    acceptanceRate: accepted / drafted,
  };
}

/** Share of `ids` that are the full model's greedy choice after the text before them. */
async function agreementOf(model: Model, prompt: readonly number[], ids: readonly number[]): Promise<number> {
  const all = [...prompt, ...ids];
  const logits = await model.logits(all.slice(0, -1));
  const { vocabSize } = model.config;
  const same = ids.filter((id, i) => {
    const row = logits.subarray((prompt.length + i - 1) * vocabSize, (prompt.length + i) * vocabSize);
    return row.every((value, other) => value < row[id]! || (value === row[id] && other >= id));
  });
  return same.length / ids.length;
}

function quartiles(values: readonly number[]): { readonly low: number; readonly high: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const quarter = Math.floor(sorted.length / 4);
  return { low: sorted[quarter]!, high: sorted[sorted.length - 1 - quarter]! };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
