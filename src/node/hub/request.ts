/**
 * One HTTP request. Redirects are followed here rather than by `fetch`, because the Hub puts the checksum and the size
 * of a file into the headers of its redirect to the CDN, and because the token must not be sent to the CDN. A
 * connection that delivers nothing for `timeout` milliseconds is aborted. Proxies are left to Node
 * (NODE_USE_ENV_PROXY).
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { HubError } from "../../errors.js";
import { libraryVersion } from "../../version.js";
import { answerError, networkError } from "./hub-errors.js";

export interface RequestOptions {
  /** What is requested, for messages. */
  readonly what: string;
  /** @default "GET" */
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to the origin of the first address only. */
  readonly token: string | undefined;
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: CancelSignal | undefined;
  /** Whether the headers of a redirect suffice, so that it need not be followed. */
  readonly enough?: (headers: Headers) => boolean;
}

export interface Answer {
  /** The last response; a redirect only if it was `enough`. */
  readonly response: Response;
  /** A header of the first response that has it, redirects included. */
  readonly header: (name: string) => string | null;
  /** The body, which may be read once. Throws a HubError if the connection breaks or stalls. */
  readonly chunks: () => AsyncGenerator<Uint8Array, void, undefined>;
  /** Closes a response whose body is not read. */
  readonly close: () => Promise<void>;
}

const MOST_REDIRECTS = 8;

export async function request(address: string, options: RequestOptions): Promise<Answer> {
  const { what, method = "GET", token, timeout, signal, enough = () => false } = options;
  const passed: Headers[] = [];
  const first = new URL(address);
  for (let url = first; ;) {
    const watch = new Watch(what, url, timeout, signal);
    const headers: Record<string, string> = {
      "user-agent": `early-exits/${libraryVersion}`,
      "accept-encoding": "identity", // sizes and ranges count bytes of the file
      ...options.headers,
      ...(token !== undefined && url.origin === first.origin ? { authorization: `Bearer ${token}` } : {}),
    };
    const response = await watch.guard(fetch(url, { method, headers, redirect: "manual", signal: watch.signal }));
    passed.push(response.headers);
    const location = isRedirect(response.status) ? response.headers.get("location") : null;
    if (location === null || enough(response.headers)) {
      return {
        response,
        header: (name) => firstOf(passed, name),
        chunks: () => watch.chunks(response),
        close: () => discard(response),
      };
    }
    await discard(response);
    if (passed.length > MOST_REDIRECTS) {
      throw new HubError(
        "hub-redirects",
        `${what}: the server redirected more than ${MOST_REDIRECTS} times, last to ${location}; check HF_ENDPOINT`,
        { what, location },
      );
    }
    url = redirected(what, url, location);
  }
}

/** The whole body as text. Throws a HubError `hub-answer` if it has more than `limit` bytes. */
export async function textOf(what: string, answer: Answer, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.chunks()) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > limit) throw answerError(what, `it has more than ${limit} bytes`);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Aborts an exchange that stalls. The time that the reader of the body takes does not count. */
class Watch {
  readonly #stalled = new AbortController();
  readonly signal: AbortSignal;

  constructor(
    readonly what: string,
    readonly url: URL,
    readonly timeout: number,
    readonly outer: CancelSignal | undefined,
  ) {
    this.signal = AbortSignal.any([this.#stalled.signal, ...(outer instanceof AbortSignal ? [outer] : [])]);
  }

  /** Waits for one step. Throws the reason of an abort, or a HubError `hub-network`. */
  async guard<T>(step: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.#stall(), this.timeout);
    try {
      const result = await step;
      this.outer?.throwIfAborted();
      return result;
    } catch (error) {
      this.outer?.throwIfAborted();
      this.#stalled.signal.throwIfAborted();
      throw networkError(this.what, this.url, error);
    } finally {
      clearTimeout(timer);
    }
  }

  async *chunks(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = response.body?.getReader();
    if (reader === undefined) return;
    try {
      for (;;) {
        const step = await this.guard(reader.read());
        if (step.done) return;
        yield step.value;
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  #stall(): void {
    this.#stalled.abort(
      new HubError(
        "hub-timeout",
        `${this.what}: ${this.url.host} sent nothing for ${this.timeout / 1000} s; try again, or set ` +
          "HF_HUB_DOWNLOAD_TIMEOUT higher",
        { what: this.what, host: this.url.host, timeout: this.timeout },
      ),
    );
  }
}

async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function redirected(what: string, from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw answerError(what, `it redirects to "${location}"`);
  const to = new URL(location, from);
  const secure = to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:");
  if (!secure) throw answerError(what, `it redirects from ${from.protocol} to ${to.protocol}`);
  return to;
}

function firstOf(answers: readonly Headers[], name: string): string | null {
  return answers.find((headers) => headers.has(name))?.get(name) ?? null;
}
