/** OpenAI's error envelope, and the HTTP status of every error that a request can meet. */
import { EarlyExitError } from "early-exits";

export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
  ) {
    super(message);
  }
}

/** Seconds after which a client may ask again. */
const RETRY_AFTER = 1;

/** Status of the errors that are not the client's, by code or class. */
const STATUS: Readonly<Record<string, number>> = {
  "queue-full": 429,
  "serve-closed": 503,
  "reader-slow": 503,
  DeviceError: 503,
  NumericsError: 500,
};

/** Errors that are not the library's are not explained to clients. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof EarlyExitError) {
    return new ApiError(STATUS[error.code] ?? STATUS[error.name] ?? 400, error.message, error.code);
  }
  return new ApiError(500, "the server failed; its log says why", "internal");
}

/** `{ error }` as OpenAI's clients expect it. */
export function envelopeOf({ status, message, code, param }: ApiError) {
  return { error: { message, type: typeOf(status), code, param } };
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

export function errorResponse(error: ApiError): Response {
  const retry = error.status === 429 || error.status === 503 ? { "retry-after": String(RETRY_AFTER) } : {};
  const challenge = error.status === 401 ? { "www-authenticate": "Bearer" } : {};
  return Response.json(envelopeOf(error), { status: error.status, headers: { ...retry, ...challenge } });
}
