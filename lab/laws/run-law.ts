/**
 * Runs one file of laws under vitest at a given scale, and returns its findings: the JSON that the file writes to the
 * path in LAWS_REPORT.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs a file of laws. vitest's output goes to stderr; `status` is vitest's exit status. */
export function runLaw(file: string, scale: string): { readonly findings: unknown; readonly status: number } {
  const folder = mkdtempSync(join(tmpdir(), "early-exits-laws-"));
  const path = join(folder, "findings.json");
  const { status } = spawnSync("npx", ["vitest", "run", file, "--testTimeout=36000000"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, LAWS_SCALE: scale, LAWS_REPORT: path },
  });
  const findings: unknown = JSON.parse(readFileSync(path, "utf8"));
  rmSync(folder, { recursive: true });
  return { findings, status: status ?? 1 };
}
