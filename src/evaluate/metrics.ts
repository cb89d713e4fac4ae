/**
 * Metrics of a task from the scores of its passages, with the names of lm-evaluation-harness:
 *   acc              multiple choice: the likeliest choice is the right one (on ties, the first counts)
 *                    lambada: the model predicts the last word greedily
 *   acc_norm         the same as acc by log-likelihood per byte of the choice (the harness counts characters, which is
 *                    equal for ASCII)
 *   perplexity       lambada: exp of the mean negative log-likelihood of the last words
 *   token_perplexity, word_perplexity, byte_perplexity, bits_per_byte
 *                    negative log-likelihood of all text per token, per word (split at white space), per byte
 * Each metric is a function of a ratio of sums over items, so resampling items (bootstrap) resamples every metric;
 * `Columns` keeps the two summands of each item.
 */
import type { Rng } from "../tensor/index.js";
import type { TaskItem, TaskKind } from "./tasks.js";

export type MetricName =
  "acc" | "acc_norm" | "perplexity" | "token_perplexity" | "word_perplexity" | "byte_perplexity" | "bits_per_byte";

/** Score over all tokens of a passage. */
export interface PassageScore {
  readonly logLikelihood: number;
  /** True if every token is the model's greedy choice. */
  readonly greedy: boolean;
  readonly tokens: number;
}

const share = (ratio: number): number => ratio;
const perplexity = (meanLogLikelihood: number): number => Math.exp(-meanLogLikelihood);

/** metric = of(Σ top / Σ bottom). */
const METRICS: Readonly<Record<TaskKind, readonly { readonly name: MetricName; of(ratio: number): number }[]>> = {
  "multiple-choice": [
    { name: "acc", of: share },
    { name: "acc_norm", of: share },
  ],
  lambada: [
    { name: "acc", of: share },
    { name: "perplexity", of: perplexity },
  ],
  perplexity: [
    { name: "token_perplexity", of: perplexity },
    { name: "word_perplexity", of: perplexity },
    { name: "byte_perplexity", of: perplexity },
    { name: "bits_per_byte", of: (meanLogLikelihood) => -meanLogLikelihood / Math.LN2 },
  ],
};

export interface Summands {
  readonly top: number;
  readonly bottom: number;
}

/** One pair per metric of the kind, in the order of METRICS. */
export function summandsOf(item: TaskItem, passages: readonly PassageScore[]): Summands[] {
  const sums = passages.map(({ logLikelihood }) => logLikelihood);
  switch (item.kind) {
    case "multiple-choice": {
      const perByte = sums.map((sum, i) => sum / byteLength(item.choices[i]!.continuation));
      return [sums, perByte].map((values) => ({
        top: Number(values.indexOf(Math.max(...values)) === item.gold),
        bottom: 1,
      }));
    }
    case "lambada":
      return [
        { top: Number(passages[0]!.greedy), bottom: 1 },
        { top: sums[0]!, bottom: 1 },
      ];
    case "perplexity": {
      const top = sums.reduce((total, sum) => total + sum, 0);
      const words = item.text.split(/\s+/).length;
      const bytes = byteLength(item.text);
      return [passages.reduce((total, { tokens }) => total + tokens, 0), words, bytes, bytes].map((bottom) => ({
        top,
        bottom,
      }));
    }
    default:
      return item satisfies never;
  }
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

export interface Columns {
  readonly top: number[];
  readonly bottom: number[];
}

export function createColumns(kind: TaskKind): Columns[] {
  return METRICS[kind].map(() => ({ top: [], bottom: [] }));
}

export function addSummands(columns: readonly Columns[], summands: readonly Summands[]): void {
  for (const [m, { top, bottom }] of summands.entries()) {
    columns[m]!.top.push(top);
    columns[m]!.bottom.push(bottom);
  }
}

export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

type Estimates = Readonly<Partial<Record<MetricName, Estimate>>>;

/** Metrics of one way, and differences to the first way on the same items. */
export interface WayEstimates {
  readonly metrics: Estimates;
  readonly difference: Estimates;
}

interface BootstrapOptions {
  readonly resamples: number;
  readonly level: number;
  readonly rng: Rng;
}

/**
 * Percentile intervals for [ways][metrics]. Items are drawn with replacement, the same for every way, so differences
 * are paired.
 */
export function bootstrap(
  kind: TaskKind,
  ways: readonly (readonly Columns[])[],
  { resamples, level, rng }: BootstrapOptions,
): WayEstimates[] {
  const metrics = METRICS[kind];
  const items = ways[0]![0]!.top.length;
  /** [ways][metrics] with each item counted so many times. */
  const metricsOf = (counts: Float64Array): number[][] =>
    ways.map((columns) =>
      columns.map(({ top, bottom }, m) => metrics[m]!.of(weighted(top, counts) / weighted(bottom, counts))),
    );
  const point = metricsOf(new Float64Array(items).fill(1));
  const drawn = Array.from({ length: resamples }, () => {
    const counts = new Float64Array(items);
    for (let i = 0; i < items; i++) counts[rng.integer(items)]!++;
    return metricsOf(counts);
  });
  const estimates = (of: (sample: readonly (readonly number[])[], metric: number) => number): Estimates => {
    const estimate = (m: number): Estimate => {
      const samples = drawn.map((sample) => of(sample, m));
      return { value: of(point, m), ...interval(samples, level) };
    };
    return Object.fromEntries(metrics.map(({ name }, m) => [name, estimate(m)]));
  };
  return ways.map((_, way) => ({
    metrics: estimates((sample, m) => sample[way]![m]!),
    difference: estimates((sample, m) => sample[way]![m]! - sample[0]![m]!),
  }));
}

function weighted(values: readonly number[], weights: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += weights[i]! * values[i]!;
  return sum;
}

function interval(samples: readonly number[], level: number): { low: number; high: number } {
  const sorted = Float64Array.from(samples).sort();
  const outside = Math.floor(((1 - level) / 2) * sorted.length);
  return { low: sorted[outside]!, high: sorted[sorted.length - 1 - outside]! };
}
