/**
 * What the Hub's refusals mean. The Hub names the reason in the header X-Error-Code; it answers 401 for models that do
 * not exist too, lest strangers learn the names of private ones.
 */
import { HubError } from "../../errors.js";

/** What was asked for: the start of every sentence, and where a reader may look. */
export interface Asked {
  /** "org/name@main", or with a file. */
  readonly what: string;
  readonly repo: string;
  readonly endpoint: string;
}

const RETRIABLE: ReadonlySet<string> = new Set(["hub-network", "hub-timeout", "hub-server", "hub-rate-limited"]);

/** Whether asking again may help. */
export function isRetriable(error: unknown): error is HubError {
  return error instanceof HubError && RETRIABLE.has(error.code);
}

/** Whether the Hub was out of reach, so that the cache may stand in. */
export function isUnreachable(error: unknown): error is HubError {
  return isRetriable(error) && error.code !== "hub-rate-limited";
}

/** The error for an answer that is neither a success nor a redirect. */
export function statusError({ what, repo, endpoint }: Asked, { status, headers }: Response): HubError {
  const reason = headers.get("x-error-code") ?? "";
  const make = (code: string, sentence: string): HubError =>
    new HubError(`hub-${code}`, `${what}: ${sentence}`, { what, status, reason, ...retryAfter(headers) });

  if (reason === "GatedRepo") {
    return make(
      "gated",
      `access to this model has to be granted; ask for it at ${endpoint}/${repo}, then set HF_TOKEN`,
    );
  }
  if (reason === "RevisionNotFound") return make("not-found", "the Hub has no such revision; check the part after @");
  if (reason === "EntryNotFound") return make("not-found", "the repository has no such file");
  if (reason === "RepoNotFound" || status === 404) {
    return make(
      "not-found",
      `${endpoint} has no such model, or keeps it private; check the name, or set HF_TOKEN to a token that may read it`,
    );
  }
  if (status === 401 || status === 403) {
    return make(
      "unauthorized",
      `${endpoint} refused the request (status ${status}); set HF_TOKEN to a token that may read this model`,
    );
  }
  if (status === 429) return make("rate-limited", "the Hub asks for fewer requests (status 429); try again later");
  if (status >= 500 || status === 408) {
    return make("server", `${endpoint} failed (status ${status}); try again later`);
  }
  return make("answer", `expected a file or a list of files, found status ${status}`);
}

/** The error for a connection that could not be made, or broke. */
export function networkError(what: string, url: URL, cause: unknown): HubError {
  const inner = cause instanceof Error ? cause.cause : undefined;
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : undefined;
  const found = code ?? (cause instanceof Error ? cause.message : String(cause));
  return new HubError(
    "hub-network",
    `${what}: no connection to ${url.host}, or it broke (${found}); check the network, or set HF_HUB_OFFLINE=1 to ` +
      "use what was downloaded before",
    { what, host: url.host, found },
    { cause },
  );
}

/** An answer that does not have the form of the Hub's. */
export function answerError(what: string, found: string, cause?: unknown): HubError {
  return new HubError(
    "hub-answer",
    `${what}: the server's answer cannot be used, ${found}; is HF_ENDPOINT the address of a Hub?`,
    { what, found },
    { cause },
  );
}

function retryAfter(headers: Headers): { readonly retryAfter?: number } {
  const seconds = Number(headers.get("retry-after") ?? NaN);
  return seconds >= 0 ? { retryAfter: seconds } : {};
}
