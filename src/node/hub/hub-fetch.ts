/**
 * Requests to the Hub. `hubFetch` makes a `fetch`, for @huggingface/hub too: it sends the token to the Hub alone, drops
 * silent connections, ends with the caller's signal, limits the bytes it reads, and throws a HubError for whatever is
 * no success. Proxies are left to Node (NODE_USE_ENV_PROXY).
 */
import { ReadableStream } from "node:stream/web";
import { setTimeout as sleep } from "node:timers/promises";
import type { CancelSignal } from "../../cancel-signal.js";
import { HubError } from "../../errors.js";
import { libraryVersion } from "../../version.js";

export interface Connection {
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: CancelSignal | undefined;
  readonly retries: number;
  /** Milliseconds before the first retry; doubles with each. */
  readonly backoff: number;
}

export interface Asked {
  /** "org/name@main", or with a file. */
  readonly what: string;
  readonly repo: string;
  readonly mostBytes: number;
  readonly onBytes?: (received: number) => void;
}

export function hubFetch({ endpoint, token, timeout, signal }: Connection, asked: Asked): typeof fetch {
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const stalled = new AbortController();
    const stop = AbortSignal.any([stalled.signal, ...(signal instanceof AbortSignal ? [signal] : [])]);
    const inTime = async <T>(step: Promise<T>): Promise<T> => {
      const timer = setTimeout(() => stalled.abort(stallError(asked, url, timeout)), timeout);
      try {
        return await step;
      } catch (error) {
        stop.throwIfAborted();
        throw networkError(asked, url, error);
      } finally {
        clearTimeout(timer);
        signal?.throwIfAborted();
      }
    };
    const headers = new Headers(init.headers);
    headers.set("user-agent", `early-exits/${libraryVersion}`);
    headers.set("accept-encoding", "identity"); // sizes count bytes of the file
    // `fetch` does not send it on to another origin, such as the CDN.
    if (token !== undefined && url.origin === new URL(endpoint).origin) headers.set("authorization", `Bearer ${token}`);
    const response = await inTime(fetch(url, { ...init, headers, signal: stop }));
    if (!response.ok) {
      await response.body?.cancel().catch(() => undefined);
      throw statusError(asked, endpoint, response);
    }
    async function* body(): AsyncGenerator<Uint8Array, void, undefined> {
      const reader = response.body!.getReader();
      let received = 0;
      try {
        for (;;) {
          const { done, value } = await inTime(reader.read());
          if (done) return;
          received += value.length;
          if (received > asked.mostBytes) throw answerError(asked.what, `it has more than ${asked.mostBytes} bytes`);
          asked.onBytes?.(received);
          yield value;
        }
      } finally {
        await reader.cancel().catch(() => undefined);
      }
    }
    return new Response(response.body && (ReadableStream.from(body()) as BodyInit), { status: response.status });
  };
}

const LONGEST_PAUSE = 60_000;

/** Runs `attempt` again if the network or the server failed, after 0.5 s, 1 s, 2 s, … or what Retry-After demands. */
export async function withRetries<T>(
  { retries, backoff, signal }: Pick<Connection, "retries" | "backoff" | "signal">,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!(isUnreachable(error) || isRateLimited(error)) || failures > retries) throw error;
      const asked = 1000 * ((error.details["retryAfter"] as number | undefined) ?? 0);
      const pause = Math.min(Math.max(asked, backoff * 2 ** (failures - 1)), LONGEST_PAUSE);
      await sleep(pause, undefined, signal instanceof AbortSignal ? { signal } : {}).catch(() => undefined);
    }
  }
}

/** Tells whether the cache may serve instead. */
export function isUnreachable(error: unknown): error is HubError {
  return error instanceof HubError && ["hub-network", "hub-timeout", "hub-server"].includes(error.code);
}

function isRateLimited(error: unknown): error is HubError {
  return error instanceof HubError && error.code === "hub-rate-limited";
}

/**
 * The header X-Error-Code states the reason. The Hub also responds with 401 to requests for models that do not exist,
 * so that the names of private models stay secret.
 */
function statusError({ what, repo }: Asked, endpoint: string, { status, headers, url }: Response): HubError {
  const reason = headers.get("x-error-code") ?? "";
  const seconds = Number(headers.get("retry-after") ?? NaN);
  const make = (code: string, sentence: string): HubError =>
    new HubError(`hub-${code}`, `${what}: ${sentence}`, {
      what,
      status,
      reason,
      ...(seconds >= 0 && { retryAfter: seconds }),
    });
  const { host, origin } = new URL(url);
  if (origin !== new URL(endpoint).origin && [400, 401, 403, 410].includes(status)) {
    return make("server", `${host} refused its link (status ${status}); try again later`); // the Hub issues a new one
  }
  if (reason === "GatedRepo") {
    return make("gated", `this model is gated; request access at ${endpoint}/${repo}, then set HF_TOKEN`);
  }
  if (reason === "RevisionNotFound") return make("not-found", "the Hub has no such revision; check the part after @");
  if (reason === "EntryNotFound") return make("not-found", "the repository has no such file");
  if (reason === "RepoNotFound" || status === 404) {
    return make(
      "not-found",
      `${endpoint} has no such model, or it is private; check the name (or the path, if a local model was meant), ` +
        "or set HF_TOKEN to a token that can read it",
    );
  }
  if (status === 401 || status === 403) {
    return make(
      "unauthorized",
      `${endpoint} refused the request (status ${status}); set HF_TOKEN to a token that can read this model`,
    );
  }
  if (status === 429) return make("rate-limited", "too many requests (status 429); try again later");
  if (status >= 500 || status === 408) {
    return make("server", `${endpoint} failed (status ${status}); try again later`);
  }
  return make("answer", `expected a file or a list of files, found status ${status}`);
}

function networkError({ what }: Asked, { host }: URL, cause: unknown): HubError {
  const inner = cause instanceof Error ? cause.cause : undefined;
  const named = inner instanceof Error ? ("code" in inner ? String(inner.code) : inner.message) : undefined;
  const found = named ?? (cause instanceof Error ? cause.message : String(cause));
  return new HubError(
    "hub-network",
    `${what}: the connection to ${host} failed (${found}); check the network, or set HF_HUB_OFFLINE=1 to use ` +
      "models that were downloaded before",
    { what, host, found },
    { cause },
  );
}

function stallError({ what }: Asked, { host }: URL, timeout: number): HubError {
  return new HubError(
    "hub-timeout",
    `${what}: ${host} sent nothing for ${timeout / 1000} s; try again, or set HF_HUB_DOWNLOAD_TIMEOUT higher`,
    { what, host, timeout },
  );
}

export function answerError(what: string, found: string, cause?: unknown): HubError {
  return new HubError(
    "hub-answer",
    `${what}: the server's response cannot be used: ${found}; is HF_ENDPOINT the address of a Hub?`,
    { what, found },
    { cause },
  );
}
