/**
 * Ways of decoding in turns, in one process: prompt by prompt each way writes one text, in an order that changes from
 * prompt to prompt. The speed of a way is the median over prompts of its tokens per second, and its ratio the median of
 * its ratio to the first way on the same prompt, with quartiles.
 */
import { quantile } from "d3-array";
import { type ExitHeads, generate, type GenerateOptions } from "early-exits";
import type { Audit } from "early-exits/calibrate";
import { createRng } from "early-exits/tensor";

export interface JudgedWay {
  readonly name: string;
  readonly heads: ExitHeads;
  readonly options: GenerateOptions;
  /** Reads every text; that is not timed. */
  readonly audit?: Audit;
}

export interface WayOutcome {
  readonly name: string;
  /** Median tokens per second. */
  readonly tokensPerSecond: number;
  /** Of the tokens per second of the first way: quartiles over prompts. */
  readonly ratio: readonly [number, number, number];
  readonly meanDepth: number;
  /** Token ids of prompts and their continuations. */
  readonly texts: readonly (readonly number[])[];
}

interface CompareWaysOptions {
  /** New tokens of a text, at most. */
  readonly tokens: number;
  /** Seeds sampling and the order of the ways. */
  readonly seed: number;
  /** True if a text ends where the model ends it. @default false */
  readonly stopAtEndOfText?: boolean;
}

/** Runs all ways on all prompts. */
export async function compareWays(
  ways: readonly JudgedWay[],
  prompts: readonly (readonly number[])[],
  { tokens, seed, stopAtEndOfText = false }: CompareWaysOptions,
): Promise<WayOutcome[]> {
  const rng = createRng(seed);
  const speeds = ways.map(() => [] as number[]);
  const depths = ways.map(() => [] as number[]);
  const texts = ways.map(() => [] as number[][]);
  for (const [p, prompt] of prompts.entries()) {
    for (const w of rng.shuffle(ways.map((_, index) => index))) {
      const { heads, options, audit } = ways[w]!;
      const run = generate(heads, prompt, { ...options, maxNewTokens: tokens, stopAtEndOfText, seed: seed + p });
      const ids = [...prompt];
      for await (const { id } of run) ids.push(id);
      speeds[w]!.push(run.summary.tokensPerSecond);
      depths[w]!.push(run.summary.meanDepth);
      texts[w]!.push(ids);
      await audit?.read({ promptIds: prompt, ids: run.summary.ids });
    }
  }
  return ways.map(({ name }, w) => ({
    name,
    tokensPerSecond: quartiles(speeds[w]!)[1],
    ratio: quartiles(speeds[w]!.map((speed, p) => speed / speeds[0]![p]!)),
    meanDepth: depths[w]!.reduce((sum, depth) => sum + depth, 0) / prompts.length,
    texts: texts[w]!,
  }));
}

function quartiles(values: readonly number[]): [number, number, number] {
  return [quantile(values, 0.25)!, quantile(values, 0.5)!, quantile(values, 0.75)!];
}
