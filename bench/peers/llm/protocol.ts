/** Measurements on a real model, and the messages between the run and its processes. */
import type { CacheDtype } from "early-exits/tensor";

export const PROMPTS = [128, 512] as const;
/** Greedy tokens after the first prompt, timed together. */
export const DECODED = 64;
/** No untimed prompt is longer, nor the one before the first token. */
export const UNTIMED = 1000;

/** A way of running the model: our weight type, llama.cpp's, or float32 in onnxruntime. */
export interface Way {
  readonly runtime: "ours" | "node-llama-cpp" | "onnxruntime-node";
  /** A weight type; of ours, what follows `@` is the name of another Node: `int8@node20`. */
  readonly type: string;
  readonly threads: number;
}

/** The parts of one of our types: its weights, and another Node that runs it. */
export function partsOf(type: string): { readonly dtype: string; readonly engine: string | undefined } {
  const [dtype = "", engine] = type.split("@");
  return { dtype, engine };
}

/**
 * Work of one process. `limits` measures the memory alone, where it is started as often at a time as there are threads,
 * and products of integers on one thread.
 */
export interface LlmJob extends Omit<Way, "runtime"> {
  readonly runtime: Way["runtime"] | "limits";
  readonly path: string;
  readonly vocabSize: number;
  /** Lengths of prompts; the text grows by DECODED tokens after the first. */
  readonly prompts: readonly number[];
  /** Of ours. @default "float32" */
  readonly kvCache?: CacheDtype;
  /** What times count: seconds, or those of the processor, where the machine has other work. @default "wall" */
  readonly clock?: string;
  /** Timed passes after one that is not. */
  readonly passes: number;
}

/** Times in milliseconds, sizes in bytes. */
export interface LlmTiming {
  readonly info: string;
  /** From nothing to a model that can decode: the runtime is imported before, the file is in the system's cache. */
  readonly load: number;
  /** From nothing to the first token after the first prompt, or after UNTIMED tokens of it: what a user waits for. */
  readonly firstToken: number;
  /** The median pass, by prompt. */
  readonly prefill: readonly number[];
  /** The median pass of DECODED tokens. */
  readonly decode: number;
  /** The largest resident size of the process until the model was loaded. */
  readonly loaded: number;
  /** The same at the end, and the part of it that loading and running added. */
  readonly peak: number;
  readonly added: number;
  /** Bytes of weights that one decoded token reads; 0 if unknown. */
  readonly weights: number;
  /** Bytes of keys and values that it reads for each token before it; 0 if unknown. */
  readonly perToken: number;
  /** Products of integers that the blocks' matrices take for one token of a prompt; 0 if they have other weights. */
  readonly products: number;
}

/** The answer of a process. */
export type LlmAnswer =
  | ({ readonly kind: "timing" } & LlmTiming)
  /** Bytes that one process reads, and products of integers, per second. */
  | { readonly kind: "limits"; readonly read: number; readonly products: number }
  | { readonly kind: "failed"; readonly reason: string };

export function labelOf({ runtime, type, threads }: Way): string {
  return `${runtime} ${type}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
}
