/** The page's side of the worker: requests as promises, events as callbacks, an AbortSignal to cancel. */
import type { EventOf, Failure, FromWorker, Request, Results, ToWorker } from "./protocol.js";

/** An error of the library, reported by the worker. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

interface Pending {
  readonly resolve: (result: Results[keyof Results]) => void;
  readonly reject: (error: Error) => void;
  readonly onEvent: ((event: never) => void) | undefined;
}

interface RequestOptions<T> {
  readonly onEvent?: (event: EventOf<T>) => void;
  readonly signal?: AbortSignal;
}

export class LibraryClient {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    this.#worker.onerror = ({ message }) => {
      const error = new LibraryError({
        code: "worker",
        message: `The worker stopped: ${message || "its script could not be loaded"}`,
      });
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    };
  }

  /** Rejects with a LibraryError if the library throws; its code is "cancelled" if the signal is aborted. */
  request<T extends Request>(
    request: T,
    { onEvent, signal }: RequestOptions<T["type"]> = {},
  ): Promise<Results[T["type"]]> {
    if (signal?.aborted === true) return Promise.reject(new LibraryError({ code: "cancelled", message: "cancelled" }));
    const id = ++this.#lastId;
    const post = (message: ToWorker): void => this.#worker.postMessage(message);
    signal?.addEventListener("abort", () => post({ id, cancel: true }), { once: true });
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject, onEvent });
      post({ id, request });
    });
  }

  #receive(message: FromWorker): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if ("event" in message) {
      pending.onEvent?.(message.event as never);
      return;
    }
    this.#pending.delete(message.id);
    if ("failure" in message) pending.reject(new LibraryError(message.failure));
    else pending.resolve(message.result);
  }
}
