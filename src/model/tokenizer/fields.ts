/**
 * Checked fields of a tokenizer's files, which nobody trusts: errors name the field, what was found and what is legal.
 */
import { TokenError } from "../../errors.js";
import { shown } from "../../shown.js";

export function record(where: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(where, describe(value), "an object");
  }
  return value as Record<string, unknown>;
}

export function list(where: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) throw malformed(where, describe(value), "an array");
  return value;
}

/** Ids index arrays, so they are bounded: 2^24 is far above any vocabulary. `where` is asked for only in an error. */
export function tokenId(where: () => string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= 2 ** 24) {
    throw malformed(where(), shown(value), "an integer in [0, 2^24)");
  }
  return value;
}

export function malformed(where: string, found: string, legal: string): TokenError {
  return new TokenError("tokenizer-malformed", `${where}: found ${found}; expected ${legal}`, { where, found });
}

export function unsupported(where: string, found: string, legal: string): TokenError {
  return new TokenError("tokenizer-unsupported", `${where}: found ${found}; supported is ${legal}`, { where, found });
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "nothing";
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
