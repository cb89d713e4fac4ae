/**
 * Node's side of `Host`: the performance clock, the V8 flag that Node 20 wants before it compiles fused multiply-adds, and
 * worker_threads made to look like Web Workers.
 */
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { Host } from "../tensor/host.js";

export const nodeHost: Host = {
  now: () => performance.now(),
  // Node 22 and later have it on and never ask. Must come before the first module that uses it is compiled.
  enableRelaxedSimd: () => setFlagsFromString("--experimental-wasm-relaxed-simd"),

  spawnWorker(script, onMessage, onFailure) {
    // No inherited flags: those of a loader (tsx, vitest) would only slow the start down.
    const worker = new Worker(WEB_WORKER + script, { eval: true, execArgv: [], env: {} });
    let ended = false;
    const fail = (reason: Error): void => {
      if (!ended) onFailure(reason);
      ended = true;
    };
    worker.once("message", () => worker.unref());
    worker.on("message", onMessage);
    worker.once("error", (error: unknown) => fail(error instanceof Error ? error : new Error(String(error))));
    worker.once("exit", (code) => fail(new Error(`the worker exited with code ${code}`)));
    return {
      post: (message) => worker.postMessage(message),
      async terminate() {
        ended = true;
        await worker.terminate();
      },
    };
  },
};

/** What a Web Worker's script finds in its global scope. */
const WEB_WORKER = `{
  const { parentPort } = require("node:worker_threads");
  globalThis.postMessage = (message) => parentPort.postMessage(message);
  parentPort.on("message", (data) => globalThis.onmessage({ data }));
}
`;
