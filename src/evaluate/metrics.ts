/**
 * What scores of passages say about a task, by the names that lm-evaluation-harness gives them:
 *   acc                the likeliest choice is the right one; lambada: the last word is what the model says greedily
 *   acc_norm           the same by log-likelihood per byte of the choice (the harness counts characters: equal for ASCII)
 *   perplexity         lambada: exp of the mean negative log-likelihood of the last words
 *   token_, word_, byte_perplexity, bits_per_byte   negative log-likelihood of all text, per token, per word between white space, per byte
 * Every one is a function of a ratio of sums over items, so that resampling items (bootstrap) resamples all of them:
 * `Columns` keeps the two summands of each item. Among equally likely choices the first counts.
 */
import type { Rng } from "../tensor/index.js";
import type { TaskItem, TaskKind } from "./tasks.js";

export type MetricName =
  "acc" | "acc_norm" | "perplexity" | "token_perplexity" | "word_perplexity" | "byte_perplexity" | "bits_per_byte";

/** A passage's tokens together. */
export interface PassageScore {
  readonly logLikelihood: number;
  /** Whether every token is what the model would have said. */
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

/** An item's part in every metric of its kind, in their order. */
function summandsOf(
  item: TaskItem,
  passages: readonly PassageScore[],
): { readonly top: number; readonly bottom: number }[] {
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

/** A metric's summands, one pair per item. */
export interface Columns {
  readonly top: number[];
  readonly bottom: number[];
}

/** Empty columns for the metrics of a kind. */
export function createColumns(kind: TaskKind): Columns[] {
  return METRICS[kind].map(() => ({ top: [], bottom: [] }));
}

/** Adds an item to the columns of the metrics of its kind. */
export function addItem(columns: readonly Columns[], item: TaskItem, passages: readonly PassageScore[]): void {
  for (const [m, { top, bottom }] of summandsOf(item, passages).entries()) {
    columns[m]!.top.push(top);
    columns[m]!.bottom.push(bottom);
  }
}

/** A number with its interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export type Estimates = Readonly<Partial<Record<MetricName, Estimate>>>;

/** The metrics of one way to run a model, and how they differ from those of the first way on the same items. */
export interface WayEstimates {
  readonly metrics: Estimates;
  readonly difference: Estimates;
}

export interface BootstrapOptions {
  readonly resamples: number;
  /** The share of resamples inside the interval. */
  readonly level: number;
  readonly rng: Rng;
}

/**
 * Metrics of several ways ([ways][metrics]) with percentile intervals: items are drawn with replacement, the same ones
 * for every way, so that differences are paired.
 */
export function bootstrap(
  kind: TaskKind,
  ways: readonly (readonly Columns[])[],
  { resamples, level, rng }: BootstrapOptions,
): WayEstimates[] {
  const metrics = METRICS[kind];
  const items = ways[0]![0]!.top.length;
  const counts = new Float64Array(items);
  const values = (): number[][] =>
    ways.map((columns) =>
      columns.map(({ top, bottom }, m) => metrics[m]!.of(weighted(top, counts) / weighted(bottom, counts))),
    ); // [ways][metrics]
  const point = (counts.fill(1), values());
  const drawn = Array.from({ length: resamples }, () => {
    counts.fill(0);
    for (let i = 0; i < items; i++) counts[rng.integer(items)]!++;
    return values();
  });
  const estimates = (of: (sample: readonly (readonly number[])[], metric: number) => number): Estimates =>
    Object.fromEntries(
      metrics.map(({ name }, m) => [
        name,
        {
          value: of(point, m),
          ...interval(
            drawn.map((sample) => of(sample, m)),
            level,
          ),
        },
      ]),
    );
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
