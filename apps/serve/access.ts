/**
 * Access control. Without a key, only programs on this machine may ask: a page in a browser could reach the loopback
 * address too, so the Host must be a loopback name (against DNS rebinding) and the Origin, which browsers send, the
 * server's own. No CORS headers are sent.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { ApiError } from "./api-error.js";

export interface AccessOptions {
  /** Key that clients send as `Authorization: Bearer`; undefined: none is asked for. */
  readonly key?: string | undefined;
  /** Host names allowed beside the loopback ones. */
  readonly hosts?: readonly string[];
}

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** Throws an ApiError if the request may not be answered. */
export function requireAccess(headers: Headers, { key, hosts = [] }: AccessOptions): void {
  const host = headers.get("host") ?? "";
  // With a key the client has proved itself, under whatever name it reached the server.
  if (key === undefined && ![...LOOPBACK, ...hosts.map((name) => name.toLowerCase())].includes(nameOf(host))) {
    throw new ApiError(403, `the Host ${JSON.stringify(host)} is not one that this server answers for`, "host");
  }
  const origin = headers.get("origin");
  if (origin !== null && !isSameOrigin(origin, host)) {
    throw new ApiError(403, `requests from pages of ${JSON.stringify(origin)} are not answered`, "origin");
  }
  if (key === undefined) return;
  const given = /^Bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (given === undefined || !equal(given, key)) {
    throw new ApiError(401, "a key is required: send it as Authorization: Bearer KEY", "invalid_api_key");
  }
}

function nameOf(host: string): string {
  return host.replace(/:\d+$/, "").toLowerCase();
}

function isSameOrigin(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}

/** Takes a time that does not depend on where they differ. */
function equal(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
