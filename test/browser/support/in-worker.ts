/** Runs a task in a Web Worker; see worker.ts. */
import type { Answer } from "./worker.js";

export async function inWorker(task: {
  readonly threads: number;
  readonly url: string;
  readonly ids: readonly number[];
}): Promise<Answer> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  try {
    return await new Promise<Answer>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(`the worker failed: ${message}`));
      worker.postMessage(task);
    });
  } finally {
    worker.terminate();
  }
}

export interface Golden {
  readonly inputIds: number[];
  readonly logits: number[];
  readonly greedy24: number[];
}

/** URL of a golden checkpoint, and the numbers that PyTorch computed from it. */
export async function golden(name: string): Promise<{ readonly url: string; readonly numbers: Golden }> {
  const url = new URL(`/test/golden/${name}/`, location.href).href;
  return { url, numbers: (await (await fetch(`${url}golden.json`)).json()) as Golden };
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} numbers beside ${b.length}`);
  return Array.from(a).reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}
