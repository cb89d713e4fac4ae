/** A temporary folder for the tests of one file. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

export interface Scratch {
  readonly path: (...parts: readonly string[]) => string;
  readonly remove: () => void;
}

/** Makes a folder that is removed after the tests of the file; `remove` does it earlier. */
export function scratch(prefix = "early-exits-"): Scratch {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  afterAll(remove);
  return { path: (...parts) => join(folder, ...parts), remove };
}
