/** Errors of this library are told apart by their codes. */
import { expect } from "vitest";

/** Matches errors with this code whose message holds a text or matches a pattern. */
export function failing(code: string, says: string | RegExp = "") {
  const message: unknown = typeof says === "string" ? expect.stringContaining(says) : expect.stringMatching(says);
  return expect.objectContaining({ code, message }) as Error;
}

export async function expectCode(work: Promise<unknown> | (() => unknown), code: string, says?: string | RegExp) {
  const done = typeof work === "function" ? Promise.resolve().then(work) : work;
  await expect(done).rejects.toThrow(failing(code, says));
}
