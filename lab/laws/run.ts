/**
 * `npm run laws`: the long statistical laws, one after another; with --explain, what they say, without running them.
 *   tsx lab/laws/run.ts [--explain]
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { explainedLines, explainLaws } from "./explain.js";
import { root } from "./run-law.js";

if (process.argv.includes("--explain")) {
  console.log(explainedLines(explainLaws(join(root, "test", "laws"))).join("\n"));
} else {
  for (const script of ["lab/laws/run-lossless.ts", "lab/laws/run-groups.ts", "lab/laws.ts", "lab/laws/run-micro.ts"]) {
    const { status } = spawnSync("npx", ["tsx", script, ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
    if (status !== 0) process.exitCode = status ?? 1;
  }
}
