/**
 * Runs one file of laws under vitest at a scale, and returns what it found: JSON that the file wrote where LAWS_REPORT
 * says.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** vitest's own output goes to stderr; `status` is vitest's. */
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
