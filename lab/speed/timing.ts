/**
 * Timing with tinybench, the same in Node and in pages: warm up, sample, report median and quartiles in milliseconds.
 */
import { Bench } from "tinybench";

export interface Timing {
  /** Milliseconds. */
  readonly median: number;
  readonly lowerQuartile: number;
  readonly upperQuartile: number;
  readonly samples: number;
}

export interface MeasureOptions {
  /** The least time to sample, in milliseconds. @default 150 */
  readonly time?: number;
  /** The least number of samples. @default 8 */
  readonly iterations?: number;
  /** Runs before the first sample. @default 3 */
  readonly warmup?: number;
}

/** Times a function, synchronous or not. */
export async function measure(
  name: string,
  run: () => void | Promise<void>,
  { time = 150, iterations = 8, warmup = 3 }: MeasureOptions = {},
): Promise<Timing> {
  const bench = new Bench({ time, warmupTime: time / 3, iterations, warmupIterations: warmup, retainSamples: true });
  bench.add(name, run, run.constructor.name === "AsyncFunction" ? {} : { async: false });
  const [task] = await bench.run();
  const result = task!.result;
  if (!("latency" in result)) {
    throw new Error(`bench: ${name} did not complete`, { cause: "error" in result ? result.error : undefined });
  }
  return timingOf(result.latency.samples!);
}

/** Consumes a stream to its end and does nothing else. */
export async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  const items = stream[Symbol.asyncIterator]();
  while ((await items.next()).done !== true);
}

/** Median and quartiles of samples in milliseconds. */
export function timingOf(samples: readonly number[]): Timing {
  const at = (share: number): number => quantileOf(samples, share);
  return { median: at(0.5), lowerQuartile: at(0.25), upperQuartile: at(0.75), samples: samples.length };
}

export function quantileOf(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** Milliseconds of processor time of all threads of this process: programs beside it hardly count. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
