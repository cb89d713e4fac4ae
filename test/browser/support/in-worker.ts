/** Runs a task in a Web Worker; see worker.ts. */
import type { Golden } from "../../support/golden.js";
import type { Answer, Task } from "./worker.js";

export async function inWorker(task: Task) {
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

/** URL of a golden checkpoint, and the numbers that PyTorch computed from it. */
export async function golden(name: string) {
  const url = new URL(`/test/golden/${name}/`, location.href).href;
  return { url, numbers: (await (await fetch(`${url}golden.json`)).json()) as Golden };
}
