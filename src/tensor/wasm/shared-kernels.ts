/** Kernels whose items threads may share. */
import { PARAMETERS } from "./kernels/kernels.generated.js";

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
/** On items [begin, end). */
export type RangedKernel = (given: Arguments, begin: number, end: number) => void;

export interface Work {
  readonly items: number;
  /** Estimated microseconds of all items on one thread. */
  readonly us: number;
  /** Fewest items worth a call. @default 1 */
  readonly least?: number | undefined;
}

export function namesOf(kernel: SharedKernel): readonly string[] {
  return PARAMETERS[kernel];
}

/** Of the `items` that several calls have together, each as many. */
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
