/**
 * One model decoded in several ways, interleaved on the same prompts, so that other load on the machine meets all
 * alike. Speeds are ratios to the first way; the ledger counts blocks, multiply-adds and bytes per token; the full
 * model judges every emitted token given the text before it. The first round, which compiles code and packs heads, is
 * not measured.
 */
import type { ExitHeads } from "../exits/heads/exit-heads.js";
import { generate, type GenerateOptions, type GenerateSummary, type Policy } from "../exits/index.js";
import { argmaxOf } from "../model/decode/sampling.js";
import type { Model, UnembeddingKind } from "../model/index.js";

/** The first of a comparison is the baseline. */
export interface Way {
  readonly name: string;
  readonly options: Pick<GenerateOptions, "lossless"> & { readonly policy?: Policy };
  /** Search for greedy and top-k tokens, which are the same either way. @default as it is set */
  readonly unembedding?: UnembeddingKind;
}

export interface WayResult {
  readonly name: string;
  /** Median over the runs. */
  readonly tokensPerSecond: number;
  /** Relative to the first way. */
  readonly ratio: SpeedRatio;
  /** Blocks after which tokens left, on average. */
  readonly meanDepth: number;
  /** Counted by the ledger, per token: rows through blocks, multiply-adds, bytes of weights read. */
  readonly blocks: number;
  readonly multiplyAdds: number;
  readonly weightBytes: number;
  /** Share of tokens that are the full model's greedy choice after the same text; NaN if not judged. */
  readonly agreement: number;
  /** True if every run emitted the first way's tokens. */
  readonly identical: boolean;
  readonly tokensPerRound: number;
  /** NaN if nothing was drafted. */
  readonly acceptanceRate: number;
}

export interface SpeedRatio {
  /** Ratio of the medians; outside the quartiles if the machine's speed changed in between. */
  readonly median: number;
  /** The quartiles of the ratios run by run on the same prompt; the second is their median. */
  readonly low: number;
  readonly paired: number;
  readonly high: number;
}

interface CompareOptions extends Pick<GenerateOptions, "temperature" | "topK" | "signal"> {
  /** Runs of each way, at least 5; more on a fast device, where single runs are noisy. */
  readonly runs: number;
  readonly maxNewTokens: number;
  /** Ends a text where the model does; else all texts have `maxNewTokens` tokens. @default false */
  readonly stopAtEndOfText?: boolean;
  /** Judges greedy tokens by the full model, which takes about as long as a run. @default true */
  readonly judge?: boolean;
  /** Seconds after which no run beyond the fifth begins. @default Infinity */
  readonly budget?: number;
  /** Milliseconds, for the budget. @default performance.now */
  readonly now?: () => number;
  /** Called after every run with the number of complete rounds; a promise is awaited. */
  readonly onRun?: (event: CompareEvent) => unknown;
}

export interface CompareEvent {
  /** Rounds in which every way has run. The warm-up reports 0. */
  readonly done: number;
  /** Rounds asked for, or those done if a fast device runs more. */
  readonly total: number;
}

export interface Comparison {
  readonly runs: number;
  readonly results: readonly WayResult[];
  readonly summaries: readonly (readonly GenerateSummary[])[];
}

const FEWEST_RUNS = 5;
/** On a fast device, runs are added up to this number or this time. */
const MANY_RUNS = 99;
const QUICK_SECONDS = 8;

/** Runs greedily unless a temperature is given. */
export async function compareWays(
  heads: ExitHeads,
  ways: readonly Way[],
  promptIds: readonly (readonly number[])[],
  options: CompareOptions,
): Promise<Comparison> {
  const { runs, budget = Infinity, temperature = 0, judge = true, now = () => performance.now(), onRun } = options;
  const judged = judge && temperature === 0;
  const promptOf = (run: number): readonly number[] => promptIds[run % promptIds.length]!;
  const summaries: GenerateSummary[][] = ways.map(() => []);
  const agreed: number[][] = ways.map(() => []);
  const started = now();
  const goesOn = (run: number): boolean => {
    const elapsed = (now() - started) / 1000;
    const asked = run < runs && elapsed < budget;
    const further = run < MANY_RUNS && elapsed < Math.min(budget, QUICK_SECONDS);
    return run < FEWEST_RUNS || asked || further;
  };
  for (const way of ways) {
    await runOnce(heads, way, promptOf(0), 0, options);
    await onRun?.({ done: 0, total: runs });
  }
  for (let run = 0; goesOn(run); run++) {
    for (let turn = 0; turn < ways.length; turn++) {
      const index = (turn + run) % ways.length; // the order rotates, so that no way always runs first
      const summary = await runOnce(heads, ways[index]!, promptOf(run), run, options);
      summaries[index]!.push(summary);
      agreed[index]!.push(judged ? await agreementOf(heads.model, promptOf(run), summary.ids) : NaN);
      const done = turn === ways.length - 1 ? run + 1 : run;
      await onRun?.({ done, total: Math.max(runs, done) });
    }
  }
  return {
    runs: summaries[0]!.length,
    results: ways.map(({ name }, index) => resultOf(name, summaries[index]!, summaries[0]!, mean(agreed[index]!))),
    summaries,
  };
}

/** Does nothing else between the tokens, since they are timed. */
async function runOnce(
  heads: ExitHeads,
  way: Way,
  prompt: readonly number[],
  seed: number,
  { temperature = 0, topK, maxNewTokens, stopAtEndOfText = false, signal }: CompareOptions,
): Promise<GenerateSummary> {
  const { model } = heads;
  const before = model.unembedding;
  model.setUnembedding(way.unembedding ?? before);
  try {
    const generation = generate(heads, prompt, {
      ...way.options,
      ...(temperature !== 0 && { temperature, seed, ...(topK !== undefined && { topK }) }),
      signal,
      maxNewTokens,
      stopAtEndOfText,
    });
    const tokens = generation[Symbol.asyncIterator]();
    let ended = false;
    while (!ended) ended = (await tokens.next()).done === true;
    return generation.summary;
  } finally {
    model.setUnembedding(before);
  }
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
  const speeds = runs.map(({ tokensPerSecond }) => tokensPerSecond);
  const baseline = first.map(({ tokensPerSecond }) => tokensPerSecond);
  return {
    name,
    agreement,
    tokensPerSecond: median(speeds),
    ratio: {
      median: median(speeds) / median(baseline),
      ...quartiles(speeds.map((speed, run) => speed / baseline[run]!)),
    },
    meanDepth: mean(runs.map(({ meanDepth }) => meanDepth)),
    blocks: sum(({ ledger }) => ledger.decode.blocks) / tokens,
    multiplyAdds: sum(({ ledger }) => ledger.decode.multiplyAdds) / tokens,
    weightBytes: sum(({ ledger }) => ledger.decode.weightBytes) / tokens,
    identical: runs.every(({ ids }, run) => ids.join() === first[run]!.ids.join()),
    tokensPerRound: tokens / sum(({ rounds }) => rounds),
    acceptanceRate: sum(({ accepted }) => accepted) / sum(({ drafted }) => drafted),
  };
}

/** Share of `ids` that are the full model's greedy choice. */
async function agreementOf(model: Model, prompt: readonly number[], ids: readonly number[]): Promise<number> {
  const { vocabSize } = model.config;
  const logits = await model.logits([...prompt, ...ids].slice(0, -1)); // [T, V]
  const same = ids.filter((id, i) => {
    const row = prompt.length + i - 1;
    return argmaxOf(logits.subarray(row * vocabSize, (row + 1) * vocabSize)) === id;
  });
  return same.length / ids.length;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function quartiles(values: readonly number[]): Omit<SpeedRatio, "median"> {
  const sorted = values.toSorted((a, b) => a - b);
  const quarter = Math.floor(sorted.length / 4);
  return { low: sorted[quarter]!, paired: median(values), high: sorted[sorted.length - 1 - quarter]! };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
