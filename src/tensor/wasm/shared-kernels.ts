/** The kernels whose items threads may share: the list, and how such a kernel is called. */
import { PARAMETERS } from "./kernels/kernels.generated.js";

/** Kernels whose items may be shared among threads. */
export const SHARED = [
  "linear",
  "coarseBounds",
  "quantizeIntegers",
  "linearIntegers",
  "matmul",
  "cacheAttention",
  "attention",
  "attentionBackward",
  "softmax",
  "softmaxBackward",
  "logSoftmax",
  "logSoftmaxBackward",
  "rowStats",
  "rowArgmax",
  "norm",
  "crossEntropy",
  "crossEntropyBackward",
  "kl",
  "klBackward",
  "swiglu",
  "swigluBackward",
] as const satisfies readonly (keyof typeof PARAMETERS)[];
export type SharedKernel = (typeof SHARED)[number];

export const OPS = Object.fromEntries(SHARED.map((name, op) => [name, op])) as Readonly<Record<SharedKernel, number>>;

export type Arguments = Readonly<Record<string, number>>;
/** A shared kernel, on items [begin, end). */
export type RangedKernel = (given: Arguments, begin: number, end: number) => void;

export interface Work {
  readonly items: number;
  /** An estimate of the microseconds that all items take on one thread. */
  readonly us: number;
  /** The fewest items worth a call of their own. @default 1 */
  readonly least?: number | undefined;
}

export function namesOf(kernel: SharedKernel): readonly string[] {
  return PARAMETERS[kernel];
}

/** Items [begin, end) of the `items` that several calls of a kernel have together, each as many. */
interface Range {
  readonly items: number;
  readonly begin: number;
  readonly end: number;
}

export function runItems(kernel: RangedKernel, calls: readonly Arguments[], { items, begin, end }: Range): void {
  const perCall = items / calls.length;
  for (let at = begin; at < end;) {
    const call = Math.floor(at / perCall);
    const first = call * perCall;
    const last = Math.min(end, first + perCall);
    kernel(calls[call]!, at - first, last - first);
    at = last;
  }
}
