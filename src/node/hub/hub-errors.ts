/**
 * Errors for the responses of the Hub. The header X-Error-Code states the reason. The Hub also responds with 401 to
 * requests for models that do not exist, so that the names of private models stay secret.
 */
import { HubError } from "../../errors.js";

/** What was requested, for messages. */
export interface Asked {
  /** "org/name@main", or with a file. */
  readonly what: string;
  readonly repo: string;
  readonly endpoint: string;
}

const RETRIABLE: ReadonlySet<string> = new Set(["hub-network", "hub-timeout", "hub-server", "hub-rate-limited"]);

/** Whether a retry may help. */
export function isRetriable(error: unknown): error is HubError {
  return error instanceof HubError && RETRIABLE.has(error.code);
}

/** Whether the Hub could not be reached, so that the cache may be used instead. */
export function isUnreachable(error: unknown): error is HubError {
  return isRetriable(error) && error.code !== "hub-rate-limited";
}

/** The error for a response that is neither a success nor a redirect. */
export function statusError({ what, repo, endpoint }: Asked, { status, headers }: Response): HubError {
  const reason = headers.get("x-error-code") ?? "";
  const make = (code: string, sentence: string): HubError =>
    new HubError(`hub-${code}`, `${what}: ${sentence}`, { what, status, reason, ...retryAfter(headers) });

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

/** The error for a connection that failed or broke. */
export function networkError(what: string, url: URL, cause: unknown): HubError {
  const inner = cause instanceof Error ? cause.cause : undefined;
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : undefined;
  const found = code ?? (cause instanceof Error ? cause.message : String(cause));
  return new HubError(
    "hub-network",
    `${what}: the connection to ${url.host} failed (${found}); check the network, or set HF_HUB_OFFLINE=1 to use ` +
      "models that were downloaded before",
    { what, host: url.host, found },
    { cause },
  );
}

/** The error for a response that does not look like the Hub's. */
export function answerError(what: string, found: string, cause?: unknown): HubError {
  return new HubError(
    "hub-answer",
    `${what}: the server's response cannot be used: ${found}; is HF_ENDPOINT the address of a Hub?`,
    { what, found },
    { cause },
  );
}

function retryAfter(headers: Headers): { readonly retryAfter?: number } {
  const seconds = Number(headers.get("retry-after") ?? NaN);
  return seconds >= 0 ? { retryAfter: seconds } : {};
}
