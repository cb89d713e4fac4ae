/**
 * Runs the library off the page's own thread. Requests run one after another; a cancelled one ends at its next token.
 */
import { EarlyExitError } from "early-exits";
import { Engine } from "./engine.js";
import type { Failure, FromWorker, Request, Results, ToWorker } from "./protocol.js";

const engine = new Engine();
const running = new Map<number, AbortController>();
let last: Promise<unknown> = Promise.resolve();

onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const { id } = data;
  if ("cancel" in data) {
    running.get(id)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(id, controller);
  last = last.then(async () => {
    try {
      answer({ id, result: await handle(id, data.request, controller.signal) });
    } catch (error) {
      answer({
        id,
        failure: controller.signal.aborted ? { code: "cancelled", message: "cancelled" } : failureOf(error),
      });
    } finally {
      running.delete(id);
    }
  });
};

function handle(id: number, request: Request, signal: AbortSignal): Promise<Results[keyof Results]> {
  switch (request.type) {
    case "open":
      return engine.open(request, { onLoaded: (loaded) => answer({ id, loaded }) });
    case "write":
      return engine.write(request, { signal, onToken: (token) => answer({ id, token }) });
    case "compare":
      return engine.compare(request, { signal });
    case "race":
      return engine.race(request, { signal, onStep: (step) => answer({ id, step }) });
    case "verify":
      return engine.verify(request);
    case "chat":
      return engine.chat(request, { signal, onToken: (token) => answer({ id, token }) });
    case "clearChat":
      return Promise.resolve(engine.clearChat());
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof EarlyExitError) return { code: error.code, message: error.message };
  return { code: "unexpected", message: error instanceof Error ? error.message : String(error) };
}

function answer(message: FromWorker): void {
  postMessage(message);
}
