/** A temporary folder for the tests of one file. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll } from "vitest";

/** Makes a folder, below the system's unless its prefix is a path; `remove`, or the end of the tests, removes it. */
export function scratch(prefix = "early-exits-") {
  const folder = mkdtempSync(resolve(tmpdir(), prefix));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  afterAll(remove);
  return { path: (...parts: readonly string[]) => join(folder, ...parts), remove };
}
