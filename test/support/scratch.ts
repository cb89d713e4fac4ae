/** A temporary folder for the tests of one file. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll } from "vitest";

export interface Scratch {
  readonly path: (...parts: readonly string[]) => string;
  /** Removes it earlier. */
  readonly remove: () => void;
}

/** Makes a folder, below the system's unless its prefix is a path, and removes it after the tests of the file. */
export function scratch(prefix = "early-exits-"): Scratch {
  const folder = mkdtempSync(resolve(tmpdir(), prefix));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  afterAll(remove);
  return { path: (...parts) => join(folder, ...parts), remove };
}
