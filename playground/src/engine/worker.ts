/**
 * Runs the library off the page's own thread. Requests run one after another; a cancelled one ends at its next token.
 */
import { EarlyExitError } from "early-exits";
import { Engine, type Listener } from "./engine.js";
import type { Events, Failure, FromWorker, Request, Results, ToWorker } from "./protocol.js";

/** Each request is answered by the engine's method of its type. */
const handlers = new Engine() as unknown as Readonly<
  Record<
    Request["type"],
    (request: Request, listener: Listener<Events[keyof Events]>) => Promise<Results[keyof Results]>
  >
>;
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
      const onEvent = (event: Events[keyof Events]): void => answer({ id, event });
      const { request } = data;
      answer({ id, result: await handlers[request.type](request, { signal: controller.signal, onEvent }) });
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

function failureOf(error: unknown): Failure {
  if (error instanceof EarlyExitError) return { code: error.code, message: error.message };
  return { code: "unexpected", message: error instanceof Error ? error.message : String(error) };
}

function answer(message: FromWorker): void {
  postMessage(message);
}
