/**
 * The same model without exits and with each way of filling skipped keys and values, side by side: interleaved greedy runs on the same
 * prompts, speeds as ratios run by run, and every emitted token judged by the full model on the text before it.
 */
import { type ExitHeads, generate, type GenerateSummary, type Model, type Policy, withFill } from "../index.js";
import { median } from "./format.js";
import { breathe, type Io } from "./io.js";
import { createProgress } from "./progress.js";

/** No exits, or exits with a way of filling the keys and values they skip. */
export const ways = ["off", "lazy", "propagate"] as const;
export type Way = (typeof ways)[number];

/** A fast device runs more than asked, up to this many or this long: single runs are noisy there. */
const MANY_RUNS = 99;
const QUICK_SECONDS = 8;

export interface WayResult {
  readonly tokensPerSecond: number;
  /** Speed over that of the plain model, run by run on the same prompt: median and quartiles. */
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number };
  readonly meanDepth: number;
  readonly depthCounts: readonly number[];
  /** Share of the emitted tokens that the full model would have chosen after the same text: greedy, end to end. */
  readonly agreement: number;
}

export interface CompareOptions {
  /** Runs of each way, at least 5. */
  readonly runs: number;
  readonly maxNewTokens: number;
  /** Seconds after which there are no more than 5 runs. */
  readonly budget: number;
}

export interface Comparison {
  readonly runs: number;
  readonly results: Readonly<Record<Way, WayResult>>;
}

/** Runs every way in turn, on the same prompts, and judges each emitted token by the full model on the same text. */
export async function compareWays(heads: ExitHeads, policy: Policy, promptIds: readonly (readonly number[])[], { runs, maxNewTokens, budget }: CompareOptions, io: Io): Promise<Comparison> {
  const progress = createProgress(io, "generate");
  const summaries: Record<Way, GenerateSummary[]> = { off: [], lazy: [], propagate: [] };
  const agreed: Record<Way, number[]> = { off: [], lazy: [], propagate: [] };
  const started = io.now();
  const once = async (way: Way, prompt: readonly number[]): Promise<GenerateSummary> => {
    const options = { maxNewTokens, stopAtEndOfText: false, signal: io.signal };
    const generation = generate(heads, prompt, way === "off" ? options : { ...options, policy: withFill(policy, way) });
    const tokens = generation[Symbol.asyncIterator]();
    while ((await tokens.next()).done !== true) {
      // No pause between tokens: this is timed.
    }
    await breathe();
    return generation.summary;
  };
  try {
    for (const way of ways) await once(way, promptIds[0]!); // warm-up: compiled code, packed heads
    const elapsed = (): number => (io.now() - started) / 1000;
    for (let run = 0; run < 5 || (run < runs && elapsed() < budget) || (run < MANY_RUNS && elapsed() < Math.min(budget, QUICK_SECONDS)); run++) {
      const prompt = promptIds[run % promptIds.length]!;
      // The order turns, so that no way always runs first.
      for (const way of ways.map((_, i) => ways[(i + run) % ways.length]!)) {
        const summary = await once(way, prompt);
        summaries[way].push(summary);
        agreed[way].push(await agreementOf(heads.model, prompt, summary.ids));
      }
      progress.update({ done: run + 1, total: Math.max(runs, run + 1), text: "runs" });
    }
  } finally {
    progress.end();
  }
  const speedsOf = (way: Way): number[] => summaries[way].map(({ tokensPerSecond }) => tokensPerSecond);
  const ratiosOf = (way: Way): number[] => speedsOf(way).map((value, run) => value / summaries.off[run]!.tokensPerSecond);
  const resultOf = (way: Way): WayResult => ({
    tokensPerSecond: median(speedsOf(way)),
    ratio: quartiles(ratiosOf(way)),
    meanDepth: mean(summaries[way].map(({ meanDepth }) => meanDepth)),
    depthCounts: summaries[way].reduce<number[]>((sum, { depthCounts }) => depthCounts.map((tokens, depth) => tokens + (sum[depth] ?? 0)), []),
    agreement: mean(agreed[way]),
  });
  return { runs: summaries.off.length, results: { off: resultOf("off"), lazy: resultOf("lazy"), propagate: resultOf("propagate") } };
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

function quartiles(values: readonly number[]): WayResult["ratio"] {
  const sorted = values.toSorted((a, b) => a - b);
  const quarter = Math.floor(sorted.length / 4);
  return { median: median(values), low: sorted[quarter]!, high: sorted[sorted.length - 1 - quarter]! };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
